"""Sweep: the driver's state. Tune takes its trials from here and calls back with what happens to them."""

import errno
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback

from tuning.errors import BlindNodeError, NotJoinedError, RepeatedFailureError
from tuning.layout import ERROR_FILE, LEADERBOARD_FILE, STUDY_FILE
from tuning.plan.plan import Plan
from tuning.records import Configuration, Observer, TrialRecord, trial_id
from tuning.search.in_thread import InThread
from tuning.search.study import Study
from tuning.store.bucket import tell
from tuning.store.ledger import Ledger
from tuning.store.place import SweepStorage
from tuning.store.requests import Requests
from tuning.sweep.disk import Disk
from tuning.sweep.failures import FailuresInARow
from tuning.sweep.manifest import note_run
from tuning.sweep.queue import DEATHS, Proposal, TrialQueue
from tuning.view.leaderboard import LeaderboardFile
from vae.model.metrics import EpochMetrics
from vae.storage.preview import Preview

# What Ray and the worker say of a process that died, in contrast to an exception that was raised in one; and of a node
# that joined late, cannot train and was given a trial before it was found out. Neither is the trial's fault.
DEATH = re.compile(
    rf"The actor died unexpectedly|The actor \S+ is unavailable|{NotJoinedError.__name__}|{BlindNodeError.__name__}"
)
PUSH_SECONDS = 60.0  # between two leaderboards in a bucket
RESULTS_PER_SECOND = 50.0  # that the driver is to hear of all trials together; at about 7 ms each it could hear 140
MOST_REPORT_SECONDS = 30.0  # between two results of a trial, however many run; Ctrl-C waits for the next one


class Sweep(Callback):  # type: ignore[misc]
    """Keeps the records of all trials, and tells ledger, study and observers of what changes, in this order.

    The ledger comes first, because a sweep resumes from it: what it does not have did not happen.
    """

    def __init__(
        self,
        plan: Plan,
        storage: SweepStorage,
        past: Sequence[TrialRecord],
        observers: Sequence[Observer],
        slots: int = 1,
    ) -> None:
        """slots: trials at a time."""
        self.records = {record.trial_id: record for record in past}
        self._plan = plan
        self._storage = storage
        self._observers = observers
        self._ledger = Ledger(storage.place)
        for record in past:
            if record.error and not record.has_ended:
                self._retry(record)
        storage.bring(STUDY_FILE)  # what a sampler noted there; the trials come from the ledger
        self._study = Study(storage.folder, plan.space, plan.seed, past)
        self.requests = Requests(storage.place)
        self._wanted: dict[str, str] = {}  # by configuration, the name of the request that wanted it
        # A Gaussian process thinks for seconds: 3.5 to 6 at 100 to 300 trials.
        self._thinking = InThread(self._next_configuration) if plan.space.sampler.type == "gp" else None
        self.queue = TrialQueue(plan.space, plan.seed, self._thinking or self._next_configuration, past)
        self._disk = Disk(plan, storage.place, self._ledger, slots, past)
        self._failures = FailuresInARow(slots)
        self._checkpoint_epochs: dict[str, int] = {}
        self._noted: set[str] = set()  # trials whose note was shown, and what devices said of themselves
        self._leaderboard = LeaderboardFile(storage.folder)
        self._pushed_at = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it into its own snapshots, which nothing reads

    def can_propose(self) -> bool:
        """Whether `propose` has a trial to give now, without a wait."""
        return self._thinking is None or not self.queue.needs_proposal or self._thinking.is_ready()

    def propose(self, slots: int = 1) -> dict[str, Any]:
        """The next trial's config for Tune, see tuning.workers.tune_worker.Device.join. slots: trials at a time."""
        record = self.queue.next()
        if record.trial_id in self.records:
            self._begin_again(record)
        else:
            request = self._wanted.pop(record.configuration, None)
            self._ledger.proposed(record, request)
            self.records[record.trial_id] = record
            self._disk.proposed(record)
            if request:
                self.requests.fulfilled(request)
        n_known = len(record.history)
        if record.stops_at is not None:
            n_known = min(n_known, record.stops_at - 1)  # the worker tells its last epoch again, for Tune to stop it
        config = record.config.model_dump()
        return {
            "trial_id": record.trial_id,
            "config": config,
            "n_known": n_known,
            "attempt": record.attempt,
            "report_seconds": report_seconds(min(slots, self._plan.space.n_runs)),
        }

    def _next_configuration(self) -> Proposal:
        """What somebody wants next, or else the study."""
        wanted = self.requests.next_wanted() if self._study.is_free else None
        number, params = self._study.propose(wanted and wanted[1])
        if wanted:
            self._wanted[f"{number:04d}"] = wanted[0]
        return number, params

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        record = self._record(trial)
        self.queue.began(record)
        self._ledger.started(record)
        for observer in self._observers:
            observer.started(record)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        record = self._record(trial)
        # Images, and all epochs since the last result: Tune would keep them in its own records.
        told = [*result.pop("earlier"), (_metrics(result), result.pop("preview"))]
        if result["note"] and record.trial_id not in self._noted:
            self._noted.add(record.trial_id)
            tell(f"trial {record.trial_id}: {result['note']}")
        if (slow := result.get("device_note")) and slow not in self._noted:
            self._noted.add(slow)
            tell(slow)
            note_run(self._storage, slow)
        # A trial that goes on from a checkpoint trains epochs again that the driver knows, to the same numbers. Those
        # that its checkpoint had are told with their old seconds: they were not trained again.
        known = [metrics for metrics, _ in told if metrics.epoch <= len(record.history)]
        for metrics in known:
            if metrics.epoch_seconds != record.history[metrics.epoch - 1].epoch_seconds:
                self._ledger.repeated(record, metrics.epoch)
        new = told[len(known) :]
        if new and new[0][0].epoch == len(record.history) + 1:
            self._add_epochs(record, new, is_last=result["done"])
            trial.run_metadata.num_failures = 0  # Tune counts them over a trial's life; with progress they start anew
        # The epochs up to the checkpoint are on disk before the ledger says that there is one.
        if result["checkpoint_epoch"] > self._checkpoint_epochs.get(record.trial_id, 0):
            self._checkpoint_epochs[record.trial_id] = result["checkpoint_epoch"]
            self._ledger.checkpointed(record, result["checkpoint_epoch"])

    def _add_epochs(
        self, record: TrialRecord, new: Sequence[tuple[EpochMetrics, Preview | None]], is_last: bool
    ) -> None:
        """is_last: the trial ends with these."""
        # The decision comes before the epochs: a driver that is killed between the two decides upon the last one
        # again when the sweep is resumed, or it would hold for decided what nobody remembers.
        last, _ = new[-1]
        if is_last and last.is_finite and last.epoch < record.config.epochs:
            record.stops_at = last.epoch
            self._ledger.stopping(record, last.epoch)
        self._ledger.epoch(record, *(metrics for metrics, _ in new))
        for metrics, preview in new:
            record.history.append(metrics)
            self._study.report(int(record.configuration), metrics)
            for observer in self._observers:
                observer.epoch(record, metrics, preview)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial's worker has failed, and Tune is about to give the trial to another one."""
        record = self._record(trial)
        self._begin_again(record)
        trial.config["attempt"] = record.attempt

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial has ended, or the scheduler or the end of the sweep has stopped it."""
        record = self._record(trial)
        last = record.history[-1] if record.history else None
        if last is None or not (trial.last_result or {}).get("done"):
            return  # stopped with the whole sweep: it goes on when that is resumed
        self._failures.ended()
        if not last.is_finite:
            record.state = "failed"
            record.error = _divergence(last)
        else:
            record.state = "complete" if last.epoch >= record.config.epochs else "pruned"
        self._finish(record)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune has given the trial up: it failed DEATHS times without a new epoch between.

        A failed trial keeps its traceback in its folder. Raises RepeatedFailureError, which ends the sweep, where the
        cause is not the trial's.
        """
        record = self._record(trial)
        text = Path(trial.error_file).read_text()  # every failure's traceback, as Tune collected them
        if os.strerror(errno.ENOSPC) in text:
            # Every trial would fail of a full disk: end the sweep instead, and this trial goes on when it is resumed.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        *_, last = text.split("Failure # ")
        if self.queue.lose(record) or (DEATH.search(last) and self.queue.set_aside(record)):
            return
        alone = f"its worker or trainer died {DEATHS} times while it ran alone: " if DEATH.search(last) else ""
        self._storage.place.put(f"{record.folder}/{ERROR_FILE}", text.encode(errors="replace"))
        record.state = "failed"
        cause = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "unknown")
        record.error = f"{alone}{cause}"[:300]
        self._finish(record)
        if why := self._failures.failed(record.error):
            go_on = f"{self._storage.resume_command} --retry-failed"
            raise RepeatedFailureError(f"{why}; put that right, then go on with: {go_on}")

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._leaderboard.is_due:
            self._leaderboard.write(list(self.records.values()))
            if not self._storage.uri:
                self._disk.written()
        if self._storage.uri and time.monotonic() - self._pushed_at > PUSH_SECONDS:
            self._storage.mirrored(LEADERBOARD_FILE)
            self._pushed_at = time.monotonic()
            self._disk.written()  # readers of a bucket have this leaderboard

    def close(self) -> None:
        """Write what is left to write. A sweep that was stopped does not wait for a bucket that does not answer."""
        records = list(self.records.values())
        is_whole = self._plan.is_whole(records)
        waits_for_disk = is_whole or not self._storage.uri
        self._disk.settle(waits_for_disk)
        self._leaderboard.write(records)
        for name in (LEADERBOARD_FILE, STUDY_FILE):
            self._storage.mirrored(name)
        self._ledger.close(patient=is_whole)
        self._disk.close(waits_for_disk)

    def _begin_again(self, record: TrialRecord) -> None:
        """Number the trial's next attempt. A worker that still has an earlier one writes elsewhere."""
        record.attempt += 1
        self._ledger.again(record)

    def _retry(self, record: TrialRecord) -> None:
        """Forget why the trial failed before."""
        self._ledger.retried(record)
        record.error = ""
        self._storage.place.delete([f"{record.folder}/{ERROR_FILE}"])

    def _record(self, trial: Any) -> TrialRecord:
        return self.records[trial.config["trial_id"]]

    def _configuration(self, record: TrialRecord) -> Configuration:
        repeats = self._plan.space.repeats
        ids = (trial_id(int(record.configuration), repeat, repeats) for repeat in range(1, repeats + 1))
        return Configuration(record.configuration, [self.records[one] for one in ids if one in self.records])

    def _finish(self, record: TrialRecord) -> None:
        self.queue.ended(record)
        self._ledger.finished(record)
        self.requests.ended(record.trial_id)
        self._disk.ended(record)
        self._study.tell(self._configuration(record))
        for observer in self._observers:
            observer.finished(record)


def report_seconds(n_trials: int) -> float:
    """How often each of so many trials that run at a time tells of its epochs, where nothing is to be decided."""
    return min(MOST_REPORT_SECONDS, n_trials / RESULTS_PER_SECOND)


def _metrics(result: dict[str, Any]) -> EpochMetrics:
    """The last epoch of a result."""
    return EpochMetrics(**{name: result[name] for name in EpochMetrics.__dataclass_fields__ if name in result})


def _divergence(last: EpochMetrics) -> str:
    """The error of a trial that diverged in this epoch."""
    name = "val_distortion" if last.val_elbo is None else "val_elbo"
    return f"diverged in epoch {last.epoch}: {name} {getattr(last, name)}, train_loss {last.train_loss}"
