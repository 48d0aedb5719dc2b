"""The best trials of a sweep as folders of their own, with every number of them on validation and on test.

The only place that reads the test split.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from report.models.checkpoints import Checkpoint, read_checkpoint
from report.output.folder_swap import rebuilt
from tuning.records import SweepRecord, TrialRecord, ranked
from vae.cli.command_line import all_cores
from vae.cli.progress import Lines
from vae.datasets.registry import load, spec
from vae.datasets.types import Images
from vae.errors import CheckpointError
from vae.evaluate.evaluate import Importance, Neighbours, evaluate
from vae.evaluate.result import Evaluation
from vae.files import Files, LocalFiles
from vae.model.metrics import EpochMetrics
from vae.storage.checkpoint import MODEL_FILE
from vae.storage.snapshots import SNAPSHOTS_FILE

Say = Callable[[str], None]

BOUND_SAMPLES, BOUND_IMAGES = 500, 200  # a second for each model and split at the default widths, on one CPU core


@dataclass(frozen=True)
class BestModel:
    """One of the best: its trial, its checkpoint and every number of it on validation and on test."""

    rank: int
    checkpoint: Checkpoint
    validation_evaluation: Evaluation
    test: Evaluation

    @property
    def record(self) -> TrialRecord:
        return self.checkpoint.record

    @property
    def validation(self) -> EpochMetrics:
        """Of the epoch that the weights are of."""
        return self.checkpoint.description.history[-1]


def export_best(sweep: SweepRecord, data_dir: Path, top_k: int, say: Say) -> list[BestModel]:
    """Rebuild best/1 .. best/K from the checkpoints, best first; fewer where fewer can be read.

    A checkpoint that cannot be read is skipped with one line to `say`. Raises DataError where a split
    cannot be read and UserError where the folder cannot be written; best/ then stays as it was.
    """
    checkpoints = _read_best(sweep, top_k, say)
    best = _evaluated(checkpoints, sweep.dataset, data_dir, say) if checkpoints else []
    with rebuilt(sweep.folder / "best") as folder:
        for one in best:
            _write(one, LocalFiles(folder / str(one.rank)))
            _copy_snapshots(sweep.files_of(one.record), LocalFiles(folder / str(one.rank)))
    return best


def _read_best(sweep: SweepRecord, top_k: int, say: Say) -> list[Checkpoint]:
    checkpoints: list[Checkpoint] = []
    for record in ranked(sweep.trials):
        if len(checkpoints) == top_k:
            break
        if record.state == "failed" or record.best is None:
            continue
        try:
            checkpoint = read_checkpoint(record, sweep)
        except CheckpointError as error:
            say(f"Skipped trial {record.trial_id}: {error}")
            continue
        if checkpoint.description.epoch != record.best.epoch:
            epochs = f"its weights are of epoch {checkpoint.description.epoch}, its best was {record.best.epoch}"
            say(f"Trial {record.trial_id}: {epochs}")
        checkpoints.append(checkpoint)
    return checkpoints


def _evaluated(checkpoints: Sequence[Checkpoint], dataset: str, data_dir: Path, say: Say) -> list[BestModel]:
    validation, test = load(dataset, data_dir, "validation"), load(dataset, data_dir, "test")
    labelled = len(spec(dataset, data_dir).class_names) > 1
    train = load(dataset, data_dir, "train") if labelled else None
    say(f"Test split: the best {len(checkpoints)} on {len(test.pixels):,} images")
    best: list[BestModel] = []
    for one in checkpoints:
        try:
            numbers = [_numbers(one, images, train, say) for images in (validation, test)]
        except CheckpointError as error:
            say(f"Skipped trial {one.record.trial_id}: {error}")
            continue
        best.append(BestModel(len(best) + 1, one, *numbers))
    return best


def _numbers(one: Checkpoint, images: Images, train: Images | None, say: Say) -> Evaluation:
    """The whole split for what costs little, its first images for the importance-weighted bound."""
    importance = Importance(BOUND_SAMPLES, BOUND_IMAGES, all_cores())
    n_bound = min(BOUND_IMAGES, len(images.pixels))
    told = Lines(f"Trial {one.record.trial_id}, importance-weighted bound, images", n_bound, say)
    neighbours = None if train is None else Neighbours(images.labels, train)
    return evaluate(one.model, torch.from_numpy(images.pixels), importance, neighbours, told)


def _write(one: BestModel, files: LocalFiles) -> None:
    files.write(MODEL_FILE, one.checkpoint.content)
    files.write("config.json", one.record.config.model_dump_json(indent=2).encode() + b"\n")
    files.write("metrics.jsonl", "".join(f"{json.dumps(m.as_dict())}\n" for m in one.record.history).encode())
    files.write("metrics.json", (json.dumps(_metrics(one), indent=2) + "\n").encode())


def _copy_snapshots(trial: Files, best: LocalFiles) -> None:
    """What the animations are drawn from, if the trial has it."""
    content = trial.read(SNAPSHOTS_FILE)
    if content is not None:
        best.write(SNAPSHOTS_FILE, content)


def _metrics(one: BestModel) -> dict[str, Any]:
    """Nats per image; ELBO at beta = 1 from one sample of z per image. validation: as training found it."""
    return {
        "trial_id": one.record.trial_id,
        "rank": one.rank,
        "state": one.record.state,
        "validation": one.validation.as_dict(),
        "validation_evaluation": one.validation_evaluation.as_dict(),
        "test": one.test.as_dict(),
    }
