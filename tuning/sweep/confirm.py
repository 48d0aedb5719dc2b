"""The confirmation of a sweep: a sweep of its own in confirm/, with the plan, the ledger and the trials of one.

It begins when the search is whole, and goes on with whatever it lacks. The driver that holds the search holds it too.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tuning.confirmed import Confirmed, confirmed
from tuning.layout import CONFIRM_FOLDER, LEADERBOARD_FILE
from tuning.plan.confirm import confirming
from tuning.plan.plan import Plan
from tuning.records import TrialRecord
from tuning.store.place import SweepStorage, has_begun, held_part
from tuning.sweep.manifest import record_of
from tuning.sweep.resume import Resumed, resumed
from tuning.view.leaderboard import leaderboard_csv
from vae.files import LocalFiles


@dataclass(frozen=True)
class Fresh(Resumed):
    """The confirmation as it goes on."""

    storage: SweepStorage


@dataclass(frozen=True)
class Found:
    """A sweep at its end. is_whole: whether search and confirmation are. trials: of the confirmation."""

    is_whole: bool
    trials: list[TrialRecord]
    confirmed: list[Confirmed]


def left(plan: Plan, storage: SweepStorage, records: Sequence[TrialRecord], retry_failed: bool = False) -> Fresh | None:
    """The confirmation as it goes on, where it lacks a trial; None where it does not, where the search is not whole
    yet, and where nobody asked. plan, storage, records: of the search. Raises StorageError, SpaceError."""
    if plan.space.confirm is None or not plan.is_whole(records):
        return None
    part = storage.part(CONFIRM_FOLDER)
    before = resumed(part, None, plan.data_dir, retry_failed) if has_begun(part) else None
    wanted = confirming(plan, records, part.name, before.plan if before else None)
    past = before.past if before else []
    if wanted is None or wanted.is_whole(past):
        return None
    if before and wanted.space.n_runs == before.plan.space.n_runs:
        return Fresh(wanted, past, before.notes, part)
    space = wanted.space
    seeds = f"Confirming the best {space.trials} with {space.repeats} fresh seeds each"
    there = f"; {len(past)} of {space.n_runs} trials are there" if past else ""
    return Fresh(wanted, past, [f"{seeds}, {_epochs(space.epochs)}, none stopped early{there}"], part)


def _epochs(n: int) -> str:
    return f"{n} epoch{'s' * (n > 1)}"


@contextmanager
def held(
    plan: Plan, storage: SweepStorage, records: Sequence[TrialRecord], retry_failed: bool = False
) -> Iterator[Fresh | None]:
    """The same, held for this driver alone."""
    if left(plan, storage, records, retry_failed) is None:
        yield None
        return
    with held_part(storage.part(CONFIRM_FOLDER)):  # first the lock, then the reading
        yield left(plan, storage, records, retry_failed)


def found(plan: Plan, storage: SweepStorage, records: Sequence[TrialRecord]) -> Found:
    """What there is of a sweep at the end of a command; the search's leaderboard then has what fresh seeds say."""
    sweep = record_of(plan, storage, list(records))
    whole = plan.is_whole(records) and left(plan, storage, records) is None
    if sweep.confirmation is None:
        return Found(whole, [], [])
    of_fresh = confirmed(sweep)
    content = leaderboard_csv(records, of_fresh)
    LocalFiles(storage.folder, synced=False).write(LEADERBOARD_FILE, content)
    if storage.uri:
        storage.place.put(LEADERBOARD_FILE, content)
    return Found(whole, sweep.confirmation.trials, of_fresh)
