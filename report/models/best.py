"""The best trials of a sweep, each as a folder of its own: best/1, best/2, ..."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from report.models.checkpoints import Checkpoint, read_checkpoint
from report.models.evaluated import EvaluatedModel, evaluated
from tuning.records import SweepRecord, ranked
from vae.errors import CheckpointError
from vae.files import Files, LocalFiles, rebuilt
from vae.storage.checkpoint import MODEL_FILE
from vae.storage.snapshots import SNAPSHOTS_FILE

Say = Callable[[str], None]


def export_best(
    sweep: SweepRecord, checkpoints: Sequence[Checkpoint], data_dir: Path, say: Say, n_threads: int | None = None
) -> list[EvaluatedModel]:
    """Rebuild best/1 .. best/K from their checkpoints, best first; n_threads: see evaluated().

    One whose numbers are not finite is skipped with one line to `say`. Raises DataError if a split cannot be read,
    UserError if the folder cannot be written; best/ then stays as it was.
    """
    best = evaluated(checkpoints, sweep.dataset, data_dir, say, n_threads) if checkpoints else []
    with rebuilt(sweep.folder / "best") as folder:
        for one in best:
            _write(one, sweep.name, LocalFiles(folder / str(one.rank)))
            _copy_snapshots(sweep.files_of(one.record), LocalFiles(folder / str(one.rank)))
    return best


def read_best(sweep: SweepRecord, top_k: int, say: Say) -> list[Checkpoint]:
    """The checkpoints of the best K trials; one that cannot be read is skipped with one line to `say`."""
    checkpoints: list[Checkpoint] = []
    for record in ranked(sweep.trials):
        if len(checkpoints) == top_k:
            break
        if record.state == "failed" or record.best is None or not record.has_model:
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
    if len(checkpoints) < top_k and (n_gone := sum(not record.has_model for record in sweep.trials)):
        say(f"Of {n_gone} trials the sweep has kept no model (keep_models, --max-disk): best/ has {len(checkpoints)}")
    return checkpoints


def _write(one: EvaluatedModel, sweep: str, files: LocalFiles) -> None:
    files.write(MODEL_FILE, one.checkpoint.content)
    files.write("config.json", one.record.config.model_dump_json(indent=2).encode() + b"\n")
    files.write("metrics.jsonl", "".join(f"{json.dumps(m.as_dict())}\n" for m in one.record.history).encode())
    files.write("metrics.json", (json.dumps({"sweep": sweep} | _metrics(one), indent=2) + "\n").encode())


def _copy_snapshots(trial: Files, best: LocalFiles) -> None:
    """Copy what the animations are drawn from, if the trial has it."""
    content = trial.read(SNAPSHOTS_FILE)
    if content is not None:
        best.write(SNAPSHOTS_FILE, content)


def _metrics(one: EvaluatedModel) -> dict[str, Any]:
    """Nats per image; ELBO at beta = 1 from one sample of z per image. validation: as training found it."""
    return {
        "trial_id": one.record.trial_id,
        "rank": one.rank,
        "state": one.record.state,
        "validation": one.validation.as_dict(),
        "validation_evaluation": one.validation_evaluation.as_dict(),
        "test": one.test.as_dict(),
    }
