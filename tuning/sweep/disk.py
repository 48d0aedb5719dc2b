"""Disk: removes what nothing will use while the sweep runs, in a thread, so that the driver waits for no storage.

A trial that has ended for good needs no checkpoint to train on from. A model that KeptModels leaves out goes in three
steps, so that whoever reads the leaderboard finds every model that it names:

    the ledger has it -> the leaderboard no longer names it -> two leaderboards later the file is removed

A driver that is killed between two steps loses nothing: the next one removes what the ledger calls removed. And the
leaderboard names a model only once it has been seen: a worker may still be writing when its trial has ended.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from tuning.layout import CHECKPOINT_FILE, MODEL_FILE, SNAPSHOTS_FILE
from tuning.plan.kept_models import KeptModels
from tuning.plan.plan import Plan
from tuning.records import TrialRecord
from tuning.store.interface import Place
from tuning.store.ledger import Ledger

LATER = 2  # leaderboards


class Disk:
    """Call `ended` of each trial, `written` after each leaderboard; at the end `settle`, the last leaderboard, `close`.

    It says in TrialRecord.has_model what the leaderboard may name.
    """

    def __init__(self, plan: Plan, place: Place, ledger: Ledger, slots: int, past: Sequence[TrialRecord]) -> None:
        self._rule = KeptModels(plan.space)
        self._room = plan.bytes_for_models(slots)
        self._bytes_of = plan.model_bytes
        self._keeps_all = self._room is None and plan.space.keep_models >= plan.space.n_runs
        self._place = place
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._under_way: deque[Future[None]] = deque()
        self._ended = [record for record in past if record.has_ended]  # by the ledger
        self._over = {record.trial_id for record in self._ended if not record.can_be_retried}
        self._gone = {record.trial_id for record in past if not record.has_model}  # the ledger calls them removed
        self._removable: set[str] = set()  # no leaderboard names them any more
        self._seen: deque[TrialRecord] = deque()  # the thread has found the model
        self._unseen: deque[TrialRecord] = deque()  # it has looked, and the model was not there yet
        self._kept: list[TrialRecord] = []
        # A driver that was killed may have left a leaderboard that still names what its ledger calls removed.
        self._doomed = deque([[record for record in past if not record.has_model]])
        for record in past:
            record.has_model = False
        if past:
            self._look_at_all()

    def proposed(self, record: TrialRecord) -> None:
        """A new trial: it has no model yet."""
        record.has_model = False

    def ended(self, record: TrialRecord) -> None:
        """The ledger has the trial's end."""
        self._ended.append(record)
        if not record.can_be_retried:
            self._over.add(record.trial_id)
        self._look_at(record)

    def written(self) -> None:
        """Everybody can read a leaderboard of the records as they are. Raises what the thread failed with."""
        while self._under_way and self._under_way[0].done():
            self._under_way.popleft().result()
        for _ in range(len(self._unseen)):
            self._look_at(self._unseen.popleft())
        self._doomed.append(self._choose())
        if len(self._doomed) > LATER:
            self._remove(self._doomed.popleft())

    def settle(self, patient: bool) -> None:
        """Before the last leaderboard: choose once more, when every trial has been looked at. A worker may have written
        a file after its trial had ended, so all are listed again. Not patient: a bucket may not answer; what is left
        undone is done when the sweep goes on."""
        if patient:
            self._look_at_all()
            self._wait()
            self._doomed.append(self._choose())

    def close(self, patient: bool) -> None:
        """After the last leaderboard."""
        if patient:
            for records in self._doomed:
                self._remove(records)
            self._wait()
        self._thread.shutdown(wait=False, cancel_futures=True)

    # ---- in the driver's thread

    def _choose(self) -> list[TrialRecord]:
        """Give up the models that are left out now. The ledger has it before anything else."""
        new = [self._seen.popleft() for _ in range(len(self._seen))]
        if not new or self._keeps_all:
            return []
        # What was left out before is never needed again, so the rule need not see it.
        candidates = list({record.trial_id: record for record in [*self._kept, *new]}.values())
        self._kept = self._fitting(self._rule.of(candidates))
        ids = {record.trial_id for record in self._kept}
        doomed = [record for record in candidates if record.trial_id not in ids]
        if doomed:
            self._ledger.removed(doomed)
            self._gone |= {record.trial_id for record in doomed}
            for record in doomed:
                record.has_model = False
        return doomed

    def _fitting(self, records: Iterable[TrialRecord]) -> list[TrialRecord]:
        """The first of these, as many as there is room for; one at the least."""
        fitting: list[TrialRecord] = []
        total = 0
        for record in records:
            total += self._bytes_of(record.config)
            if fitting and self._room is not None and total > self._room:
                break
            fitting.append(record)
        return fitting

    def _remove(self, records: Sequence[TrialRecord]) -> None:
        self._removable |= {record.trial_id for record in records}
        for record in records:
            self._look_at(record)

    def _look_at(self, record: TrialRecord) -> None:
        self._do(lambda: self._look(self._place.list(f"{record.folder}/"), [record]))

    def _look_at_all(self) -> None:
        records = list(self._ended)
        self._do(lambda: self._look(self._place.list("trials/"), records))

    def _do(self, work: Callable[[], None]) -> None:
        self._under_way.append(self._thread.submit(work))

    def _wait(self) -> None:
        try:
            while self._under_way:
                self._under_way.popleft().result()
        except KeyboardInterrupt:
            self._place.close(patient=False)  # or the thread would wait on for a bucket that does not answer
            raise

    # ---- in the thread

    def _look(self, names: Sequence[str], records: Sequence[TrialRecord]) -> None:
        """names: every file of these trials, which have ended, and maybe of others. Note which of them have their
        model, and remove what nothing needs."""
        there = set(names)
        for record in records:
            if not record.has_model and record.trial_id not in self._gone:
                self._note(record, f"{record.model_folder}/{MODEL_FILE}" in there)
        self._place.delete([name for name in names if self._is_useless(name)])

    def _note(self, record: TrialRecord, is_there: bool) -> None:
        """Whether the trial's model is there; that of a trial which may run again is no matter of ours."""
        record.has_model = is_there
        if is_there and not record.can_be_retried:
            self._seen.append(record)
        elif not is_there and record.best and record.state != "failed":
            self._unseen.append(record)

    def _is_useless(self, name: str) -> bool:
        """Whether no reader and no resume will want this file of some attempt of a trial."""
        parts = name.split("/")  # trials/ID/model.safetensors, or of an attempt trials/ID/attempt-2/model.safetensors
        trial_id, file = parts[1], parts[-1]
        if file == CHECKPOINT_FILE:
            return trial_id in self._over
        return file in (MODEL_FILE, SNAPSHOTS_FILE) and trial_id in self._removable
