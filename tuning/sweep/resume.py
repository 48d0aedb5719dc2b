"""What a sweep that is resumed has: its plan, its trials, and whether the two still belong together."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuning.errors import StorageError
from tuning.layout import CONFIRM_FOLDER, LEDGER_FILE, MANIFEST_FILE, REPORT_FOLDER, SUMMARY_FILE
from tuning.plan.confirm import refuse_other
from tuning.plan.plan import Plan, extended
from tuning.records import TrialRecord, grouped
from tuning.space.dimensions import AnyDimension, Categorical
from tuning.store.ledger import read_trials
from tuning.store.place import SweepStorage, has_begun
from tuning.sweep.manifest import other_code, read_plan

SHOWN_FAULTS = 10
STEP_TOLERANCE = 1e-6  # of a step: Optuna's low + i * step is off by rounding


@dataclass(frozen=True)
class Resumed:
    """A sweep as it goes on. notes: lines for the user."""

    plan: Plan
    past: list[TrialRecord]
    notes: list[str]


def resumed(
    storage: SweepStorage,
    trials: int | None,
    data_dir: Path | None,
    retry_failed: bool,
    keep_models: int | None = None,
    max_bytes: int | None = None,
    confirm: dict[str, int] | None = None,
) -> Resumed:
    """Read a sweep. trials, data_dir, keep_models, max_bytes, confirm: changes to its plan. retry_failed: failed trials
    run again.

    Raises StorageError, where the space was edited so that it no longer has the trials; SpaceError for `trials` and
    `confirm`.
    """
    past = read_trials(storage.place)
    before = read_plan(storage)
    if faults := list(_faults(before, past)):
        raise StorageError(_listed(storage.place.where(MANIFEST_FILE), faults))
    plan = extended(before, trials, len(grouped(past)), data_dir, keep_models, confirm)
    if confirm is not None and has_begun(part := storage.part(CONFIRM_FOLDER)):
        refuse_other(plan, read_plan(part))
    plan = replace(plan, max_bytes=max_bytes)
    again = _reopen(past) if retry_failed else ""
    n_finished = sum(record.has_ended for record in past)
    notes = [f"Resuming {plan.name}: {n_finished} of {plan.space.n_runs} trials are finished{again}"]
    if not plan.is_whole(past) and (differences := other_code(storage)):
        notes.append(f"The code is not that of the sweep's last run ({differences}): its numbers may differ")
    return Resumed(plan, past, notes)


def _reopen(past: Sequence[TrialRecord]) -> str:
    """Let the failed trials run again, but for those that diverged: they would diverge again. Returns words on it.

    A record that runs keeps the error of before until the driver has written down that the trial runs again.
    """
    failed = [record for record in past if record.can_be_retried]
    for record in failed:
        record.state = "running"
    n_diverged = sum(record.state == "failed" for record in past)
    diverged = f"; {n_diverged} diverged, and would again" if n_diverged else ""
    return f"; {len(failed)} that failed run again{diverged}"


def has_report(storage: SweepStorage) -> bool:
    """Whether there is a report of the sweep as it is: nothing was written into the ledger since. A page alone, which
    is written while the sweep runs, is no report.

    False of a sweep in a bucket: a driver adds its claim to the ledger before it could look.
    """
    if storage.uri:
        return False
    summary = storage.folder / REPORT_FOLDER / SUMMARY_FILE
    ledgers = (folder / LEDGER_FILE for folder in (storage.folder, storage.folder / CONFIRM_FOLDER))
    written = max((ledger.stat().st_mtime for ledger in ledgers if ledger.is_file()), default=math.inf)
    return summary.is_file() and summary.stat().st_mtime >= written


def how_to_go_on(is_whole: bool, records: Sequence[TrialRecord], resume_command: str) -> list[str]:
    """The lines at a sweep's end on what is left to do. records: of search and confirmation, which may be whole."""
    lines = []
    if not is_whole:
        lines.append(f"Stopped before the end; nothing is lost. Go on with: {resume_command}")
    if n_failed := sum(record.can_be_retried for record in records):
        trials = f"{n_failed} trial{'s' * (n_failed > 1)}"
        lines.append(f"{trials} failed, and can be tried again with: {resume_command} --retry-failed")
    return lines


def _listed(where: str, faults: Sequence[str]) -> str:
    more = [f"and {len(faults) - SHOWN_FAULTS} more"] if len(faults) > SHOWN_FAULTS else []
    head = f"{where}: its trials are not of this space; put back what was edited, or start a new sweep"
    return "\n".join([head, *(f"  {line}" for line in [*faults[:SHOWN_FAULTS], *more])])


def _faults(plan: Plan, past: Sequence[TrialRecord]) -> Iterator[str]:
    """Each key of the manifest that some trial contradicts: the first such trial, and how many there are."""
    found: dict[str, list[str]] = {}
    for record in past:
        for key, fault in _faults_of(plan, record).items():
            found.setdefault(key, []).append(f"trial {record.trial_id} {fault}")
    for key, (first, *others) in found.items():
        yield f"{key}: {first}" + (f" (and {len(others)} more)" if others else "")


def _faults_of(plan: Plan, record: TrialRecord) -> dict[str, str]:
    """By key of the manifest, what this trial has and the space has not."""
    space, params = plan.space, record.params
    if (record.repeat > 0) != (space.repeats > 1) or record.repeat > space.repeats:
        return {"space.repeats": f"is not one of {space.repeats} for each configuration"}
    faults = {}
    for name, value in params.items():
        dimension = space.dimensions.get(name)
        if dimension is None:
            faults[f"space.search.{name}"] = f"has {value}; it is not searched"
        elif not _contains(dimension, value):
            faults[f"space.search.{name}"] = f"has {value}; allowed: {_allowed(dimension)}"
        elif not space.applies(name, params):
            faults[f"space.search.{name}"] = f"has {value}; it does not apply there"
    for name in space.dimensions:
        if name not in params and space.applies(name, params):
            faults[f"space.search.{name}"] = f"has none; allowed: {_allowed(space.dimensions[name])}"
    if record.metric != space.metric:
        faults["space.metric"] = f"is ranked by {record.metric}, not {space.metric}"
    return faults or _other_config(plan, record)


def _other_config(plan: Plan, record: TrialRecord) -> dict[str, str]:
    """The same of the hyperparameters that are not searched."""
    ours = plan.space.config(record.params, plan.seed + max(0, record.repeat - 1)).model_dump()
    theirs = record.config.model_dump()
    return {_key(plan, name): f"has {theirs[name]}, not {ours[name]}" for name in ours if ours[name] != theirs[name]}


def _key(plan: Plan, name: str) -> str:
    if name == "epochs":
        return "space.epochs"
    is_own = name == "seed" and name not in plan.space.fixed_values
    return "seed" if is_own else f"space.fixed.{name}"


def _contains(dimension: AnyDimension, value: Any) -> bool:
    if isinstance(dimension, Categorical):
        return value in dimension.choices
    if not (isinstance(value, int | float) and dimension.low <= value <= dimension.high):
        return False
    steps = (value - dimension.low) / dimension.step if dimension.step else 0.0
    return abs(steps - round(steps)) < STEP_TOLERANCE


def _allowed(dimension: AnyDimension) -> str:
    if isinstance(dimension, Categorical):
        return ", ".join(map(str, dimension.choices))
    step = f" in steps of {dimension.step:g}" if dimension.step and not dimension.log else ""
    return f"{dimension.low:g} to {dimension.high:g}{step}"
