"""Run, resume and extend a sweep: the driver's wiring of its state, the scheduler and Tune."""

import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.progress_reporter import ProgressReporter

from tuning.cluster.allot import Cluster
from tuning.cluster.watch import NodeWatch, View
from tuning.records import Observer, TrialRecord
from tuning.search.early_stopping import Proposals, make_scheduler
from tuning.store.place import SweepStorage
from tuning.sweep.driver import RETRIES, Sweep
from tuning.sweep.plan import Plan
from tuning.workers.broker import start_broker
from tuning.workers.context import Shared
from tuning.workers.trial import VaeTrial


def run(
    plan: Plan,
    storage: SweepStorage,
    cluster: Cluster,
    images: dict[str, np.ndarray],
    observers: Sequence[Observer],
    view: View,
    past: Sequence[TrialRecord] = (),
    time_budget: float | None = None,
) -> list[TrialRecord]:
    """Run every trial that the plan still lacks; `images`: uint8 [N, D] of "train" and "validation"; `view`: is told
    of nodes that join or die.

    Returns all records, the past ones too; one still "running" was stopped with the sweep, by Ctrl-C or
    the time budget (seconds), and goes on when it is resumed.
    """
    sweep = Sweep(plan, storage, past, observers)
    try:
        if sweep.n_to_run:
            _fit(sweep, plan, storage, cluster, images, past, time_budget, view)
            while time_budget is None and sweep.take_back():
                _fit(sweep, plan, storage, cluster, images, list(sweep.records.values()), None, view)
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
    view: View,
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
        metric=plan.space.metric,
    )
    broker_name = f"broker-{uuid.uuid4().hex}" if cluster.pack else None
    broker = start_broker(broker_name, shared) if broker_name else None  # lives as long as this handle
    trainable = tune.with_parameters(VaeTrial, shared=shared, broker=broker_name)
    watch = NodeWatch(cluster, storage, view)
    resources = {"cpu": cluster.cpus_per_trial, "gpu": cluster.gpus_per_trial}
    tuner = Tuner(
        tune.with_resources(trainable, resources),
        tune_config=TuneConfig(
            search_alg=Proposals(sweep.propose, lambda: watch.slots),
            scheduler=make_scheduler(plan.space, plan.seed, past),
            num_samples=sweep.n_to_run,
            reuse_actors=True,
            time_budget_s=time_budget,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=RunConfig(
            name="tune",
            storage_path=str(own),
            callbacks=[sweep, watch],
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
