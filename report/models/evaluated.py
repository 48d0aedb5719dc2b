"""Every number of the best models on validation and on test, among them the importance-weighted bound.

The only place that reads the test split.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from report.models.checkpoints import Checkpoint
from tuning.records import TrialRecord
from vae.backend.threads import side_by_side
from vae.cli.arguments import all_cores
from vae.cli.progress import Advance, Lines
from vae.datasets.registry import load, spec
from vae.datasets.types import Images, SplitName
from vae.errors import CheckpointError
from vae.evaluate.evaluate import Importance, Neighbours, evaluate
from vae.evaluate.result import Evaluation
from vae.model.metrics import EpochMetrics

Say = Callable[[str], None]

SPLITS: tuple[SplitName, SplitName] = ("validation", "test")
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


def evaluated(
    checkpoints: Sequence[Checkpoint], dataset: str, data_dir: Path, say: Say, n_threads: int | None = None
) -> list[EvaluatedModel]:
    """In the same order. A model whose numbers are not finite is skipped with one line to `say`. Raises DataError.

    n_threads: that share the work, one for each core by default; their number does not change the numbers.
    """
    splits = {name: load(dataset, data_dir, name) for name in SPLITS}
    labelled = len(spec(dataset, data_dir).class_names) > 1
    train = load(dataset, data_dir, "train") if labelled else None
    say(f"Test split: the best {len(checkpoints)} on {len(splits['test'].pixels):,} images")
    # The long jobs first, so that no core waits at the end for one of them.
    by_length = sorted(SPLITS, key=lambda name: -len(splits[name].pixels))
    jobs = [(place, name) for name in by_length for place in range(len(checkpoints))]
    n_threads = n_threads or all_cores()
    n_bound = sum(min(BOUND_IMAGES, len(splits[name].pixels)) for place, name in jobs if _has_bound(checkpoints[place]))
    told = Lines(f"Every number of the best {len(checkpoints)}: importance-weighted bound, images", n_bound, say)

    def numbers(job: tuple[int, SplitName], advance: Advance) -> Evaluation | CheckpointError:
        place, name = job
        importance = Importance(BOUND_SAMPLES, BOUND_IMAGES, max(1, n_threads // len(jobs)))
        try:
            return _numbers(checkpoints[place], splits[name], train, importance, advance)
        except CheckpointError as error:
            return error

    found = dict(zip(jobs, side_by_side(numbers, jobs, n_threads, told), strict=True))
    best: list[EvaluatedModel] = []
    for place, one in enumerate(checkpoints):
        validation, test = (found[place, name] for name in SPLITS)
        if isinstance(validation, Evaluation) and isinstance(test, Evaluation):
            best.append(EvaluatedModel(len(best) + 1, one, validation, test))
        else:
            error = test if isinstance(validation, Evaluation) else validation
            say(f"Skipped trial {one.trial}: {error}")
    return best


def _has_bound(one: Checkpoint) -> bool:
    return one.record.config.mode != "autoencoder"


def _numbers(
    one: Checkpoint, images: Images, train: Images | None, importance: Importance, advance: Advance
) -> Evaluation:
    """Every number on the whole split, but the costly importance-weighted bound on its first images."""
    neighbours = None if train is None else Neighbours(images.labels, train)
    pixels, noise_factor = torch.from_numpy(images.pixels), one.record.config.noise_factor
    return evaluate(one.model, pixels, importance, neighbours, advance, noise_factor)
