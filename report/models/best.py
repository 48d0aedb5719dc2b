"""The best trials of a sweep, each as a folder of its own: best/1, best/2, ..."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from report.models.checkpoints import Checkpoint, read_checkpoint
from report.models.evaluated import EvaluatedModel, evaluated
from tuning.confirmed import Confirmed, confirmed
from tuning.records import SweepRecord, TrialRecord, ranked
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
            _copy_snapshots(sweep_of(one.checkpoint, sweep).files_of(one.record), LocalFiles(folder / str(one.rank)))
    return best


def read_best(sweep: SweepRecord, top_k: int, say: Say) -> list[Checkpoint]:
    """The checkpoints of the best K trials; one that cannot be read is skipped with one line to `say`. Configurations
    that fresh seeds confirm come first, by their mean, each with the model of its best fresh seed on validation."""
    checkpoints: list[Checkpoint] = []
    for trials in _candidates(sweep):
        if len(checkpoints) == top_k:
            break
        found = (_read(*trial, say) for trial in trials)
        checkpoints += islice((checkpoint for checkpoint in found if checkpoint), 1)
    if len(checkpoints) < top_k and (n_gone := sum(not record.has_model for record in sweep.trials)):
        say(f"Of {n_gone} trials the sweep has kept no model (keep_models, --max-disk): best/ has {len(checkpoints)}")
    return checkpoints


Candidate = tuple[TrialRecord, SweepRecord, Confirmed | None]


def _candidates(sweep: SweepRecord) -> Iterator[Sequence[Candidate]]:
    """Best first, the trials of which one is to be shown: of a confirmed configuration any, those of fresh seeds before
    those of the search; each other trial by itself."""
    found = confirmed(sweep)
    for one in found:
        assert sweep.confirmation is not None
        fresh: list[Candidate] = [(record, sweep.confirmation, one) for record in ranked(one.fresh.records)]
        yield [*fresh, *((record, sweep, one) for record in ranked(one.first.records))]
    known = {one.name for one in found}
    yield from ([(record, sweep, None)] for record in ranked(sweep.trials) if record.configuration not in known)


def _read(record: TrialRecord, sweep: SweepRecord, of: Confirmed | None, say: Say) -> Checkpoint | None:
    """None where there is none, or where it cannot be read, which is a line to `say`."""
    if record.state == "failed" or record.best is None or not record.has_model:
        return None
    try:
        checkpoint = replace(read_checkpoint(record, sweep), confirmed=of)
    except CheckpointError as error:
        say(f"Skipped trial {record.trial_id}: {error}")
        return None
    if checkpoint.description.epoch != record.best.epoch:
        epochs = f"its weights are of epoch {checkpoint.description.epoch}, its best was {record.best.epoch}"
        say(f"Trial {checkpoint.trial}: {epochs}")
    return checkpoint


def sweep_of(checkpoint: Checkpoint, sweep: SweepRecord) -> SweepRecord:
    """The sweep whose trial it is: this one, or the one that confirms it."""
    is_own = any(record is checkpoint.record for record in sweep.trials)
    return sweep if is_own or sweep.confirmation is None else sweep.confirmation


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
        "trial_id": one.trial,
        "rank": one.rank,
        **_fresh_seeds(one.checkpoint.confirmed),
        "state": one.record.state,
        "validation": one.validation.as_dict(),
        "validation_evaluation": one.validation_evaluation.as_dict(),
        "test": one.test.as_dict(),
    }


def _fresh_seeds(one: Confirmed | None) -> dict[str, Any]:
    """What they say of the configuration: scores, higher is better."""
    if one is None:
        return {}
    numbers = {"mean": one.mean, "std": one.sd, "n": one.fresh.n, "shrinkage": one.shrinkage}
    return {"configuration": one.name, "rank_in_search": one.rank_in_search, "confirmed": numbers}
