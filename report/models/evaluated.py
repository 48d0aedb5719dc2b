"""Every number of the best models on validation and on test, among them the importance-weighted bound.

The only place that reads the test split.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from report.models.checkpoints import Checkpoint
from tuning.records import TrialRecord
from vae.cli.arguments import all_cores
from vae.cli.progress import Lines
from vae.datasets.registry import load, spec
from vae.datasets.types import Images
from vae.errors import CheckpointError
from vae.evaluate.evaluate import Importance, Neighbours, evaluate
from vae.evaluate.result import Evaluation
from vae.model.metrics import EpochMetrics

Say = Callable[[str], None]

BOUND_SAMPLES, BOUND_IMAGES = 500, 200  # a second for each model and split at the default widths, on one CPU core


@dataclass(frozen=True)
class EvaluatedModel:
    """One of the best models: its rank from 1, its checkpoint, and every number on validation and on test."""

    rank: int
    checkpoint: Checkpoint
    validation_evaluation: Evaluation
    test: Evaluation

    @property
    def record(self) -> TrialRecord:
        return self.checkpoint.record

    @property
    def trial(self) -> str:
        """Which trial it is, see Checkpoint.trial."""
        return self.checkpoint.trial

    @property
    def validation(self) -> EpochMetrics:
        """The metrics of the epoch whose weights these are."""
        return self.checkpoint.description.history[-1]


def evaluated(checkpoints: Sequence[Checkpoint], dataset: str, data_dir: Path, say: Say) -> list[EvaluatedModel]:
    """In the same order. A model whose numbers are not finite is skipped with one line to `say`. Raises DataError."""
    validation, test = load(dataset, data_dir, "validation"), load(dataset, data_dir, "test")
    labelled = len(spec(dataset, data_dir).class_names) > 1
    train = load(dataset, data_dir, "train") if labelled else None
    say(f"Test split: the best {len(checkpoints)} on {len(test.pixels):,} images")
    best: list[EvaluatedModel] = []
    for one in checkpoints:
        try:
            numbers = [_numbers(one, images, train, say) for images in (validation, test)]
        except CheckpointError as error:
            say(f"Skipped trial {one.trial}: {error}")
            continue
        best.append(EvaluatedModel(len(best) + 1, one, *numbers))
    return best


def _numbers(one: Checkpoint, images: Images, train: Images | None, say: Say) -> Evaluation:
    """Every number on the whole split, but the costly importance-weighted bound on its first images."""
    importance = Importance(BOUND_SAMPLES, BOUND_IMAGES, all_cores())
    n_bound = min(BOUND_IMAGES, len(images.pixels))
    told = Lines(f"Trial {one.trial}, importance-weighted bound, images", n_bound, say)
    neighbours = None if train is None else Neighbours(images.labels, train)
    pixels, noise_factor = torch.from_numpy(images.pixels), one.record.config.noise_factor
    return evaluate(one.model, pixels, importance, neighbours, told, noise_factor)
