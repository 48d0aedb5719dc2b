"""The best trials of a sweep as folders of their own, with their numbers on the test split.

The only place that reads the test split.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from report.swap import rebuilt
from tuning.records import SweepRecord, TrialRecord, ranked
from vae.checkpoint import MODEL_FILE, Description, unpack_model
from vae.data import load
from vae.errors import CheckpointError
from vae.evaluate import Evaluation, evaluate
from vae.files import LocalFiles
from vae.metrics import EpochMetrics
from vae.model import Vae


@dataclass(frozen=True)
class BestModel:
    """One of the best: its trial, its checkpoint and its numbers on the test split."""

    rank: int
    checkpoint: "Checkpoint"
    test: Evaluation

    @property
    def record(self) -> TrialRecord:
        return self.checkpoint.record

    @property
    def validation(self) -> EpochMetrics:
        """Of the epoch that the weights are of."""
        return self.checkpoint.description.history[-1]


@dataclass(frozen=True)
class Checkpoint:
    """A trial's model file, read once: a trial that is still running may replace it meanwhile."""

    record: TrialRecord
    content: bytes
    model: Vae
    description: Description


def export_best(sweep: SweepRecord, data_dir: Path, top_k: int, say: Callable[[str], None]) -> list[BestModel]:
    """Rebuild best/1 .. best/K from the checkpoints, best first; fewer where fewer can be read.

    A checkpoint that cannot be read is skipped with one line to `say`. Raises DataError where the
    test split cannot be read and UserError where the folder cannot be written; best/ then stays as it was.
    """
    checkpoints = _read_best(sweep, top_k, say)
    best: list[BestModel] = []
    if checkpoints:
        test = torch.from_numpy(load(sweep.dataset, data_dir, "test").pixels)
        say(f"Test split: the best {len(checkpoints)} on {len(test):,} images")
        best = [BestModel(rank, one, evaluate(one.model, test)) for rank, one in enumerate(checkpoints, start=1)]
    with rebuilt(sweep.folder / "best") as folder:
        for one in best:
            _write(one, LocalFiles(folder / str(one.rank)))
    return best


def _read_best(sweep: SweepRecord, top_k: int, say: Callable[[str], None]) -> list[Checkpoint]:
    checkpoints: list[Checkpoint] = []
    for record in ranked(sweep.trials):
        if len(checkpoints) == top_k:
            break
        if record.state == "failed" or record.best is None:
            continue
        try:
            checkpoint = _read(record, sweep)
        except CheckpointError as error:
            say(f"Skipped trial {record.trial_id}: {error}")
            continue
        if checkpoint.description.epoch != record.best.epoch:
            epochs = f"its weights are of epoch {checkpoint.description.epoch}, its best was {record.best.epoch}"
            say(f"Trial {record.trial_id}: {epochs}")
        checkpoints.append(checkpoint)
    return checkpoints


def _read(record: TrialRecord, sweep: SweepRecord) -> Checkpoint:
    """Raises CheckpointError for a file that cannot be read and for weights that are not this trial's."""
    where = f"{record.folder}/{MODEL_FILE}"
    content = LocalFiles(sweep.folder / record.folder).read(MODEL_FILE)
    if content is None:
        raise CheckpointError(f"{where}: no such file")
    model, description = unpack_model(content, where)
    if description.config != record.config:
        raise CheckpointError(f"{where}: of another config than the trial's")
    if description.dataset != sweep.dataset or description.image_shape != tuple(sweep.image_shape):
        raise CheckpointError(f"{where}: of dataset {description.dataset}; the sweep's is {sweep.dataset}")
    if not description.history:
        raise CheckpointError(f"{where}: without the metrics of its epoch")
    return Checkpoint(record, content, model, description)


def _write(one: BestModel, files: LocalFiles) -> None:
    files.write(MODEL_FILE, one.checkpoint.content)
    files.write("config.json", one.record.config.model_dump_json(indent=2).encode() + b"\n")
    files.write("metrics.jsonl", "".join(f"{json.dumps(m.as_dict())}\n" for m in one.record.history).encode())
    files.write("metrics.json", (json.dumps(_metrics(one), indent=2) + "\n").encode())


def _metrics(one: BestModel) -> dict[str, Any]:
    """Nats per image; ELBO at beta = 1 from one sample of z per image."""
    return {
        "trial_id": one.record.trial_id,
        "rank": one.rank,
        "state": one.record.state,
        "validation": one.validation.as_dict(),
        "test": asdict(one.test),
    }
