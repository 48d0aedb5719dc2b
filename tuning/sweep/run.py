"""Run the trials of a sweep, new or resumed: Tune's experiment, and the proposals that it asks for."""

import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ray import tune
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.error import TuneError
from ray.tune.progress_reporter import ProgressReporter
from ray.tune.search import Searcher
from ray.tune.stopper import FunctionStopper

from tuning.cluster import checks
from tuning.cluster.allot import Cluster
from tuning.cluster.watch import NodeWatch, View
from tuning.plan.lanes import compiles, lanes, slot_bytes
from tuning.plan.plan import Plan
from tuning.records import Observer, SweepRecord, TrialRecord
from tuning.search.early_stopping import RESULT, make_scheduler
from tuning.search.study import learning_note, most_at_once
from tuning.store.place import SweepStorage
from tuning.sweep.driver import Sweep
from tuning.sweep.manifest import note_run, note_start, record_of, write_manifest
from tuning.sweep.queue import DEATHS
from tuning.view.console import say
from tuning.view.progress import Progress
from tuning.view.timeline import Timeline
from tuning.workers.start_trainers import start_broker
from tuning.workers.sweep_context import SweepContext
from tuning.workers.tune_worker import VaeTrial
from vae.errors import UserError
from vae.model.shape_class import Frame


class Live(Observer, Protocol):
    """What follows the trials beside the live view."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of it when the run begins."""

    def close(self) -> None: ...


MakeLive = Callable[[SweepRecord, Collection[str], Iterable[TrialRecord], Callable[[str], None]], Live]
"""Of the sweep as it is when the run begins, see report.live.LiveReport."""


class Machines:
    """What one command has: a cluster, the images that all trials share, and its time, from now on."""

    def __init__(self, cluster: Cluster, images: dict[str, np.ndarray], time_budget: float | None) -> None:
        """time_budget: seconds; None: no end."""
        self.cluster = cluster
        self.images = images
        self._until = None if time_budget is None else time.monotonic() + time_budget

    @property
    def have_time(self) -> bool:
        return self._until is None or time.monotonic() < self._until

    @property
    def seconds_left(self) -> float | None:
        """None: no end."""
        return None if self._until is None else max(1.0, self._until - time.monotonic())


def trained(
    plan: Plan, storage: SweepStorage, machines: Machines, past: list[TrialRecord], make_live: MakeLive
) -> list[TrialRecord]:
    """Run what a plan still lacks, in view of the user; returns all its trials, see `run`. Raises StorageError,
    ClusterError."""
    if plan.is_whole(past):
        settle(plan, storage, past)
        return past
    cluster, space = machines.cluster, plan.space
    checks.check(cluster, storage, slot_bytes(plan, cluster))
    write_manifest(storage, plan, cluster)
    record = record_of(plan, storage, past)
    live = make_live(record, space.modes, storage.not_mirrored(past), storage.mirrored)
    running = f"Running on {cluster.describe()}{storage.mirror_note}"
    say("\n".join([running, *cluster.notes, *live.notes, f"Page: {storage.page}"]))
    with closing(live), Progress(space.n_runs, cluster.slots, list(space.dimensions), past, space.metric) as progress:
        return run(plan, storage, cluster, machines.images, [live, progress], progress, past, machines.seconds_left)


def run(
    plan: Plan,
    storage: SweepStorage,
    cluster: Cluster,
    images: dict[str, np.ndarray],
    observers: Sequence[Observer],
    view: View,
    past: Sequence[TrialRecord] = (),
    time_budget: float | None = None,
    worker: type[VaeTrial] = VaeTrial,
) -> list[TrialRecord]:
    """Run every trial that the plan still lacks; `images`: uint8 [N, D] of "train" and "validation"; `view`: is told
    of nodes that join or die; `worker`: a benchmark has one that trains nothing.

    Returns all records, the past ones too; one still "running" was stopped with the sweep, by Ctrl-C or
    the time budget (seconds), and goes on when it is resumed.
    """
    context = _context(plan, storage, cluster, images)
    if context.compiles:
        n_classes = len(context.first_slots)
        view.say(
            f"Compiling {n_classes} shape class{'es' * (n_classes > 1)}, each before its first epoch: up to a minute "
            "each on a GPU, and seconds in the next sweep, because the code is kept"
        )
    if line := learning_note(plan.space, cluster.slots, cluster.is_chosen):
        view.say(line)
    timeline = Timeline(cluster.ready_seconds, lambda seconds: note_start(storage, seconds))
    sweep = Sweep(plan, storage, past, [*observers, timeline], cluster.slots)
    watch = NodeWatch(cluster, storage, _Noted(view, storage), slot_bytes(plan, cluster))
    try:
        # One fit runs all that there is to run. Tune does not retry a trial whose worker dies as the trial is
        # handed over to it; such trials have a fit of their own afterwards, whose scheduler knows all the others.
        # Then come the trials whose trainer died again and again: one of them kills it, and whichever trained
        # beside it fell with it. One at a time, each either ends well or is found out.
        with sweep.requests:
            while sweep.queue.n_to_run:
                _fit(sweep, plan, cluster, context, watch, time_budget, worker)
                if time_budget is not None or not sweep.queue.take_back():
                    break
    finally:
        watch.close()
        sweep.close()
    return list(sweep.records.values())


def settle(plan: Plan, storage: SweepStorage, past: Sequence[TrialRecord]) -> None:
    """Write what follows from the ledger of a sweep that is whole: a driver that was killed at its last trial did
    not come to the study and the leaderboard; and the plan may have changed."""
    write_manifest(storage, plan)
    Sweep(plan, storage, past, ()).close()


def _context(plan: Plan, storage: SweepStorage, cluster: Cluster, images: dict[str, np.ndarray]) -> SweepContext:
    of_device = lanes(plan.space, cluster.pack, plan.n_pixels) if cluster.pack else None
    return SweepContext(
        **images,
        dataset=plan.dataset,
        image_shape=plan.image_shape,
        storage=storage,
        n_threads=cluster.n_threads,
        device=cluster.device,
        preview_epochs=plan.preview_epochs(),
        n_slots=cluster.pack,
        metric=plan.space.metric,
        frame=of_device.frame if of_device else Frame(),
        first_slots=of_device.slots if of_device else {},
        compiles=compiles(plan, cluster),
        deciding_epochs=plan.deciding_epochs(),
    )


def _fit(
    sweep: Sweep,
    plan: Plan,
    cluster: Cluster,
    context: SweepContext,
    watch: NodeWatch,
    time_budget: float | None,
    worker: type[VaeTrial],
) -> None:
    """Let Tune run what waits in the queue, until all has ended or the sweep is stopped."""
    tunes_own = Path(tempfile.mkdtemp(prefix="tune-"))  # Tune insists on records of its own; nothing reads them
    broker_name = f"broker-{uuid.uuid4().hex}" if cluster.pack else None
    broker = start_broker(broker_name, context) if broker_name else None  # lives as long as these handles
    trainable = tune.with_resources(
        tune.with_parameters(worker, context=context, broker=broker_name),
        {"cpu": cluster.cpus_per_trial, "gpu": cluster.gpus_per_trial},
    )
    most = None if cluster.is_chosen else most_at_once(plan.space)

    def slots() -> int:
        return 1 if sweep.queue.is_alone else min(watch.slots, most or watch.slots)

    tuner = Tuner(
        trainable,
        tune_config=TuneConfig(
            search_alg=Proposals(lambda: sweep.propose(slots()), slots, sweep.can_propose),
            scheduler=make_scheduler(plan.space, plan.seed, list(sweep.records.values())),
            num_samples=sweep.queue.n_to_run,
            reuse_actors=True,
            time_budget_s=time_budget,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=RunConfig(
            name="tune",
            storage_path=str(tunes_own),
            stop=FunctionStopper(lambda _, result: sweep.requests.ends(result["config"]["trial_id"])),
            callbacks=[sweep, watch],
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False),  # trials keep their own
            failure_config=FailureConfig(max_failures=DEATHS - 1),
            progress_reporter=_Silent(),
            verbose=0,
        ),
    )
    try:
        with _stoppable(), unwrapped():
            tuner.fit()
    finally:
        del broker
        shutil.rmtree(tunes_own, ignore_errors=True)


class Proposals(Searcher):  # type: ignore[misc]
    """Tune asks here for each trial's config. It brings no results here: the driver's callback has them."""

    def __init__(
        self,
        propose: Callable[[], dict[str, Any]],
        slots: Callable[[], int],
        can_propose: Callable[[], bool] = lambda: True,
    ) -> None:
        """slots: how many trials may be under way now. Tune has such a limit too, but its own is fixed, and does not
        follow nodes that come and go. can_propose: whether there is a proposal by now."""
        super().__init__(metric=RESULT, mode="max")
        self._propose = propose
        self._slots = slots
        self._can_propose = can_propose
        self._under_way: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next trial's config, or None: not now, ask again."""
        if len(self._under_way) >= self._slots() or not self._can_propose():
            return None
        self._under_way.add(trial_id)
        return self._propose()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._under_way.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        pass  # a sweep resumes from the ledger

    def restore(self, checkpoint_path: str) -> None:
        pass


@contextmanager
def unwrapped() -> Iterator[None]:
    """Raise what a callback of ours has raised: Tune makes a TuneError of it whose text is the whole traceback."""
    try:
        yield
    except TuneError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, UserError | OSError):
            cause = cause.__context__
        if cause is None:
            raise
        raise cause from None


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM stops the sweep as Ctrl-C does. Afterwards both do what they did before: Tune leaves a handler of
    Ctrl-C behind that would swallow the next one."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Noted:
    """A View of nodes that come and go: what it says stands in the manifest too, and so in the page."""

    def __init__(self, view: View, storage: SweepStorage) -> None:
        self._view = view
        self._storage = storage

    def say(self, line: str) -> None:
        self._view.say(line)
        note_run(self._storage, line)

    def waits(self, trial_id: str) -> None:
        self._view.waits(trial_id)


class _Silent(ProgressReporter):  # type: ignore[misc]
    """Tune's own reporter says nothing; the live view is one of our observers."""

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        return False

    def report(self, trials: list[Any], done: bool, *sys_info: Any) -> None:
        pass


def _trial_name(trial: Any) -> str:
    return f"trial_{trial.config['trial_id']}"
