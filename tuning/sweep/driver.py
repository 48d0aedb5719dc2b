"""Sweep: the driver's state. Tune proposes trials from it and tells it of their results; it keeps the records."""

import errno
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback

from tuning.records import Configuration, Observer, TrialRecord, grouped, trial_id
from tuning.search.study import STUDY_FILE, Study
from tuning.store.bucket import tell
from tuning.store.ledger import Ledger
from tuning.store.place import SweepStorage
from tuning.sweep.plan import Plan
from tuning.view.leaderboard import leaderboard_csv
from vae.files import LocalFiles
from vae.model.metrics import EpochMetrics

LEADERBOARD_FILE = "leaderboard.csv"
LEADERBOARD_SECONDS = 2.0  # between two writings while the sweep runs
PUSH_SECONDS = 60.0  # between two leaderboards in a bucket
RETRIES = 2  # of a trial whose worker or node died; it goes on from its checkpoint


class Sweep(Callback):  # type: ignore[misc]
    """The driver's state: every trial's record, and whoever is told when one changes."""

    def __init__(
        self, plan: Plan, storage: SweepStorage, past: Sequence[TrialRecord], observers: Sequence[Observer]
    ) -> None:
        self.records = {record.trial_id: record for record in past}
        self._plan = plan
        self._storage = storage
        self._observers = observers
        self._ledger = Ledger(storage.place)
        storage.bring(STUDY_FILE)  # what a sampler noted there; the trials come from the ledger
        self._study = Study(storage.folder, plan.space, plan.seed, past)
        self._unfinished = [record for record in past if record.state == "running"]
        self._to_come = [one for configuration in grouped(past) for one in self._lacking(configuration)]
        self._lost: list[TrialRecord] = []
        self._begun: set[str] = set()
        self._n_losses: Counter[str] = Counter()
        self._checkpoint_epochs: dict[str, int] = {}
        self._noted: set[str] = set()  # trials whose note was shown
        self._written_at = self._pushed_at = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it into its own snapshots, which nothing reads

    @property
    def n_to_run(self) -> int:
        """Trials to start or to go on with."""
        return len(self._unfinished) + max(0, self._plan.space.n_runs - len(self.records))

    def propose(self) -> dict[str, Any]:
        """The next trial's config for Tune: one that an earlier run left unfinished, else a new one."""
        record = self._unfinished.pop(0) if self._unfinished else self._new_trial()
        n_known = len(record.history)
        return {"trial_id": record.trial_id, "config": record.config.model_dump(), "n_known": n_known}

    def _new_trial(self) -> TrialRecord:
        """The next repeat of the configuration that was proposed last, or the first of a new one."""
        if not self._to_come:
            number, params = self._study.propose()
            self._to_come = self._trials(number, params)
        record = self._to_come.pop(0)
        self._ledger.proposed(record)
        self.records[record.trial_id] = record
        return record

    def _trials(self, number: int, params: dict[str, Any]) -> list[TrialRecord]:
        """All of a configuration, each with a seed of its own, the same seeds for every configuration."""
        space = self._plan.space
        configs = [space.config(params, self._plan.seed + i) for i in range(space.repeats)]
        return [
            TrialRecord(trial_id(number, repeat, space.repeats), params, config, metric=space.metric)
            for repeat, config in enumerate(configs, start=1)
        ]

    def _lacking(self, configuration: Configuration) -> list[TrialRecord]:
        """The repeats of a configuration that a driver did not come to before it died."""
        if len(configuration.records) == self._plan.space.repeats:
            return []
        every = self._trials(configuration.number, configuration.params)
        return [record for record in every if record.trial_id not in self.records]

    def take_back(self) -> bool:
        """Have the lost trials proposed again, if nothing else is left; False also where the sweep was stopped."""
        running = [record for record in self.records.values() if record.state == "running"]
        if not self._lost or len(running) > len(self._lost) or len(self.records) < self._plan.space.n_runs:
            return False
        self._unfinished, self._lost = self._lost, []
        return True

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        record = self._record(trial)
        self._begun.add(record.trial_id)
        self._ledger.started(record)
        for observer in self._observers:
            observer.started(record)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        record = self._record(trial)
        preview = result.pop("preview")  # images: Tune would keep them in its own records
        if result["note"] and record.trial_id not in self._noted:
            self._noted.add(record.trial_id)
            tell(f"trial {record.trial_id}: {result['note']}")
        metrics = EpochMetrics(**{name: result[name] for name in EpochMetrics.__dataclass_fields__ if name in result})
        if metrics.epoch == len(record.history) + 1:  # else trained again after a crash, to the same numbers
            record.history.append(metrics)
            self._ledger.epoch(record, metrics)
            self._study.report(int(record.configuration), metrics)
            for observer in self._observers:
                observer.epoch(record, metrics, preview)
        if result["checkpoint_epoch"] > self._checkpoint_epochs.get(record.trial_id, 0):
            self._checkpoint_epochs[record.trial_id] = result["checkpoint_epoch"]
            self._ledger.checkpointed(record, result["checkpoint_epoch"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        record = self._record(trial)
        last = record.history[-1] if record.history else None
        if last is None or not (trial.last_result or {}).get("done"):
            return  # stopped with the whole sweep: it goes on when that is resumed
        if not last.is_finite:
            record.state = "failed"
            record.error = _divergence(last)
        else:
            record.state = "complete" if last.epoch >= record.config.epochs else "pruned"
        self._finish(record)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune has retried it, unless its worker died between two trials: then it is taken back here.

        The traceback of one that failed stays in its folder.
        """
        record = self._record(trial)
        text = Path(trial.error_file).read_text()  # every failure's traceback, as Tune collected them
        if os.strerror(errno.ENOSPC) in text:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # every trial would fail; this one goes on later
        if record.trial_id not in self._begun and self._n_losses[record.trial_id] < RETRIES:
            self._n_losses[record.trial_id] += 1
            self._lost.append(record)
            return
        self._storage.trial_files(record.trial_id).write("error.txt", text.encode(errors="replace"))
        record.state = "failed"
        record.error = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "unknown")[:300]
        self._finish(record)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() - self._written_at > LEADERBOARD_SECONDS:
            self.write_leaderboard()
        if self._storage.uri and time.monotonic() - self._pushed_at > PUSH_SECONDS:
            self._storage.mirrored(LEADERBOARD_FILE)
            self._pushed_at = time.monotonic()

    def write_leaderboard(self) -> None:
        content = leaderboard_csv(list(self.records.values()))
        LocalFiles(self._storage.folder, synced=False).write(LEADERBOARD_FILE, content)
        self._written_at = time.monotonic()

    def close(self) -> None:
        self.write_leaderboard()
        for name in (LEADERBOARD_FILE, STUDY_FILE):
            self._storage.mirrored(name)
        self._ledger.close()

    def _record(self, trial: Any) -> TrialRecord:
        return self.records[trial.config["trial_id"]]

    def _configuration(self, record: TrialRecord) -> Configuration:
        repeats = self._plan.space.repeats
        ids = (trial_id(int(record.configuration), repeat, repeats) for repeat in range(1, repeats + 1))
        return Configuration(record.configuration, [self.records[one] for one in ids if one in self.records])

    def _finish(self, record: TrialRecord) -> None:
        self._ledger.finished(record)
        self._study.tell(self._configuration(record))
        for observer in self._observers:
            observer.finished(record)


def _divergence(last: EpochMetrics) -> str:
    """What a trial that ended in this epoch failed of."""
    name = "val_distortion" if last.val_elbo is None else "val_elbo"
    return f"diverged in epoch {last.epoch}: {name} {getattr(last, name)}, train_loss {last.train_loss}"
