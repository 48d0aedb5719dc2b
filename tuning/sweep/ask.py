"""What a user asks of a sweep from another shell or machine: to stop, to stop a trial, to try a configuration next."""

import time
from collections.abc import Callable, Iterable

from tuning.errors import StorageError
from tuning.layout import CONFIRM_FOLDER
from tuning.plan.plan import Plan
from tuning.records import TrialRecord, grouped
from tuning.space.load import configuration
from tuning.store.ledger import read_trials
from tuning.store.place import SweepStorage, has_begun, is_held, open_existing
from tuning.store.requests import ADD, STOP, STOP_TRIAL, ask, waiting
from tuning.sweep.manifest import read_plan
from vae.cli.format import shown

HEARD_SECONDS = 30.0  # that a driver may take to hear a request
STOPPED_SECONDS = 300.0  # that it may take to end, with a checkpoint of every trial


def stop(storage: SweepStorage) -> str:
    """Have the driver of a sweep stop as with Ctrl-C; a line on what came of it. Raises StorageError."""
    open_existing(storage)
    option = f"--stop {storage.name}"
    if is_held(storage) is False:
        raise StorageError(f"{option}: nobody runs this sweep")
    # The driver listens where it trains, and that may be the confirmation.
    part = storage.part(CONFIRM_FOLDER)
    requests = [(one.place, ask(one.place, STOP)) for one in (storage, *([part] if has_begun(part) else []))]
    is_heard = _until(lambda: any(place.get(request) is None for place, request in requests), HEARD_SECONDS)
    for place, request in requests:
        place.delete([request])
    if not is_heard:
        raise StorageError(
            f"{option}: no driver has answered in {HEARD_SECONDS:.0f} s; either none runs this sweep, or it is at its "
            "start or its report now, and ends by itself"
        )
    if is_held(storage) is None:
        return f"{storage.name} stops; nothing is lost. Go on with: {storage.resume_command}"
    if not _until(lambda: is_held(storage) is False, STOPPED_SECONDS):
        raise StorageError(f"{option}: its driver has heard it, and has not ended in {STOPPED_SECONDS:.0f} s")
    return f"{storage.name} has stopped; nothing is lost. Go on with: {storage.resume_command}"


def stop_trial(storage: SweepStorage, trial_id: str) -> str:
    """Have one trial end with its next result, as if the scheduler had stopped it. Raises StorageError."""
    open_existing(storage)
    records = {record.trial_id: record for record in read_trials(storage.place)}
    option = f"--stop {storage.name} --trial {trial_id}"
    if trial_id not in records:
        raise StorageError(f"{option}: no such trial; allowed: {_some(_running(records.values()))}")
    if records[trial_id].has_ended:
        raise StorageError(f"{option}: it is {records[trial_id].state} already; {_some(_running(records.values()))}")
    ask(storage.place, STOP_TRIAL, trial=trial_id)
    when = "when the sweep goes on" if is_held(storage) is False else "with its next epoch"
    return f"trial {trial_id} ends {when}, as if the scheduler had stopped it"


def add(storage: SweepStorage, text: str) -> str:
    """Have the sweep try a configuration next, 'latent_size=20,beta=2'. Raises StorageError, SpaceError."""
    open_existing(storage)
    plan, option = read_plan(storage), f"--add {storage.name} {text}"
    params = configuration(plan.space, text, option)
    if _free(plan, storage) < 1:
        more = f"{storage.resume_command} --trials {plan.space.trials + 1}"
        raise StorageError(
            f"{option}: all {plan.space.trials} configurations have been proposed; first make room: {more}"
        )
    ask(storage.place, ADD, params=params)
    values = " ".join(f"{name}={shown(value)}" for name, value in params.items())
    when = " when the sweep goes on" if is_held(storage) is False else ""
    return f"{values} is tried next{when}, in place of a proposal"


def _free(plan: Plan, storage: SweepStorage) -> int:
    """How many configurations are left to propose, and wanted by nobody yet."""
    begun = max(len(grouped(read_trials(storage.place))), len(plan.space.first_trials))
    return plan.space.trials - begun - len(waiting(storage.place, ADD))


def _running(records: Iterable[TrialRecord]) -> list[str]:
    return [record.trial_id for record in records if not record.has_ended]


def _some(trial_ids: list[str]) -> str:
    more = f" and {len(trial_ids) - 8} more" if len(trial_ids) > 8 else ""
    return (
        f"those that have not ended: {', '.join(trial_ids[:8])}{more}" if trial_ids else "all of its trials have ended"
    )


def _until(happened: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
