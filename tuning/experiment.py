"""Run, resume and extend a sweep: the driver's wiring of ledger, study, scheduler and Tune."""

import errno
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune import Callback, CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.progress_reporter import ProgressReporter

from tuning.broker import start_broker
from tuning.ledger import Ledger
from tuning.plan import Plan
from tuning.records import Observer, TrialRecord, leaderboard_csv
from tuning.resources import Cluster
from tuning.search import Proposals, Study, make_scheduler
from tuning.shared import Shared
from tuning.storage import SweepStorage
from tuning.trial import VaeTrial
from vae.files import LocalFiles
from vae.metrics import EpochMetrics

LEADERBOARD_FILE = "leaderboard.csv"
LEADERBOARD_SECONDS = 2.0  # between two writings while the sweep runs
PUSH_SECONDS = 60.0  # between two copies of the driver's files to a bucket
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
        self._ledger = Ledger(storage.folder)
        self._study = Study(storage.folder, plan.space, plan.seed, past)
        self._unfinished = [record for record in past if record.state == "running"]
        self._lost: list[TrialRecord] = []
        self._begun: set[str] = set()
        self._n_losses: Counter[str] = Counter()
        self._checkpoint_epochs: dict[str, int] = {}
        self._written_at = self._pushed_at = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it into its own snapshots, which nothing reads

    @property
    def n_to_run(self) -> int:
        """Trials to start or to go on with."""
        return len(self._unfinished) + max(0, self._plan.space.trials - len(self.records))

    def propose(self) -> dict[str, Any]:
        """The next trial's config for Tune: one that an earlier run left unfinished, else a new proposal."""
        if self._unfinished:
            record = self._unfinished.pop(0)
        else:
            number, params = self._study.propose()
            record = TrialRecord(f"{number:04d}", params, self._plan.space.config(params, self._plan.seed))
            self._ledger.proposed(record)
            self.records[record.trial_id] = record
        n_known = len(record.history)
        return {"trial_id": record.trial_id, "config": record.config.model_dump(), "n_known": n_known}

    def take_back(self) -> bool:
        """Have the lost trials proposed again, if nothing else is left; False also where the sweep was stopped."""
        running = [record for record in self.records.values() if record.state == "running"]
        if not self._lost or len(running) > len(self._lost) or len(self.records) < self._plan.space.trials:
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
        metrics = EpochMetrics(**{name: result[name] for name in EpochMetrics.__dataclass_fields__})
        if metrics.epoch == len(record.history) + 1:  # else trained again after a crash, to the same numbers
            record.history.append(metrics)
            self._ledger.epoch(record, metrics)
            self._study.report(int(record.trial_id), metrics)
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
            record.error = f"diverged in epoch {last.epoch}: val_elbo {last.val_elbo}, train_loss {last.train_loss}"
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
        (self._storage.folder / record.folder / "error.txt").write_text(text)
        record.state = "failed"
        record.error = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "unknown")[:300]
        self._finish(record)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() - self._written_at > LEADERBOARD_SECONDS:
            self.write_leaderboard()
        if self._storage.uri and time.monotonic() - self._pushed_at > PUSH_SECONDS:
            self._storage.push()
            self._pushed_at = time.monotonic()

    def write_leaderboard(self) -> None:
        content = leaderboard_csv(list(self.records.values()))
        LocalFiles(self._storage.folder).write(LEADERBOARD_FILE, content)
        self._written_at = time.monotonic()

    def close(self) -> None:
        self.write_leaderboard()
        self._ledger.close()
        self._storage.push()

    def _record(self, trial: Any) -> TrialRecord:
        return self.records[trial.config["trial_id"]]

    def _finish(self, record: TrialRecord) -> None:
        self._ledger.finished(record)
        self._study.tell(int(record.trial_id), record)
        for observer in self._observers:
            observer.finished(record)


def run(
    plan: Plan,
    storage: SweepStorage,
    cluster: Cluster,
    images: dict[str, np.ndarray],
    observers: Sequence[Observer],
    past: Sequence[TrialRecord] = (),
    time_budget: float | None = None,
) -> list[TrialRecord]:
    """Run every trial that the plan still lacks; `images`: uint8 [N, D] of "train" and "validation".

    Returns all records, the past ones too; one still "running" was stopped with the sweep, by Ctrl-C or
    the time budget (seconds), and goes on when it is resumed.
    """
    sweep = Sweep(plan, storage, past, observers)
    try:
        if sweep.n_to_run:
            _fit(sweep, plan, storage, cluster, images, past, time_budget)
            while time_budget is None and sweep.take_back():
                _fit(sweep, plan, storage, cluster, images, list(sweep.records.values()), None)
    finally:
        sweep.close()
    return list(sweep.records.values())


def _fit(
    sweep: Sweep,
    plan: Plan,
    storage: SweepStorage,
    cluster: Cluster,
    images: dict[str, np.ndarray],
    past: Sequence[TrialRecord],
    time_budget: float | None,
) -> None:
    own = Path(tempfile.mkdtemp(prefix="tune-"))  # Tune's records of its own; the sweep does not read them
    shared = Shared(
        **images,
        dataset=plan.dataset,
        image_shape=plan.image_shape,
        storage=storage,
        n_threads=cluster.n_threads,
        device=cluster.device,
        preview_epochs=plan.preview_epochs() if cluster.pack else None,
        n_slots=cluster.pack,
    )
    broker_name = f"broker-{uuid.uuid4().hex}" if cluster.pack else None
    broker = start_broker(broker_name, shared) if broker_name else None  # lives as long as this handle
    trainable = tune.with_parameters(VaeTrial, shared=shared, broker=broker_name)
    resources = {"cpu": cluster.cpus_per_trial, "gpu": cluster.gpus_per_trial}
    tuner = Tuner(
        tune.with_resources(trainable, resources),
        tune_config=TuneConfig(
            search_alg=Proposals(sweep.propose),
            scheduler=make_scheduler(plan.space, plan.seed, past),
            num_samples=sweep.n_to_run,
            max_concurrent_trials=cluster.slots,  # without it Tune starts one worker at a time
            reuse_actors=True,
            time_budget_s=time_budget,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=RunConfig(
            name="tune",
            storage_path=str(own),
            callbacks=[sweep],
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False),  # trials keep their own
            failure_config=FailureConfig(max_failures=RETRIES),
            progress_reporter=_Silent(),
            verbose=0,
        ),
    )
    try:
        with _stoppable():
            tuner.fit()
    finally:
        del broker
        shutil.rmtree(own, ignore_errors=True)


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM stops the sweep as Ctrl-C does, and both do afterwards what they did before: Tune leaves a
    handler of Ctrl-C behind that would swallow the next one."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Silent(ProgressReporter):  # type: ignore[misc]
    """The live view is an observer of ours."""

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        return False

    def report(self, trials: list[Any], done: bool, *sys_info: Any) -> None:
        pass


def _trial_name(trial: Any) -> str:
    return f"trial_{trial.config['trial_id']}"
