"""Early stopping: Tune's scheduler, which stops a trial when others have done better. A resumed one knows the past."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from tuning.records import TrialRecord, score
from tuning.search.median_rule import MedianRule
from tuning.space.model import SearchSpace
from vae.model.metrics import EpochMetrics

RESULT = "score"  # of an epoch in Tune's results: tuning.records.score, which every trial has


class _Remembers:
    """Mixed into a scheduler: before a trial's new epochs, the scheduler is shown those of earlier runs.

    All trials that have ended are shown at once, in the order of their proposal; one that goes on is shown when
    Tune adds it. So a resumed scheduler decides as one that was never interrupted.
    """

    def __init__(self, past: Sequence[TrialRecord], **settings: Any) -> None:
        super().__init__(**settings)
        self._past = {r.trial_id: [_result(m, r.metric) for m in r.history if m.is_finite] for r in past}
        self._stops_at = {r.trial_id: r.stops_at for r in past if r.stops_at is not None}
        self._reached: dict[str, int] = {}
        for record in past:
            if record.has_ended:
                self.on_trial_add(None, _PastTrial(record.trial_id))

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        trial_id = trial.config["trial_id"]
        super().on_trial_add(tune_controller, trial)  # type: ignore[misc]
        for result in self._past.pop(trial_id, []):
            self._reached[trial_id] = result["epoch"]
            self._remember(trial, result)

    def _remember(self, trial: Any, result: dict[str, Any]) -> None:
        super().on_trial_result(None, trial, result)  # type: ignore[misc]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """An epoch that is trained again after a crash was decided upon the first time."""
        trial_id, decision = trial.config["trial_id"], TrialScheduler.CONTINUE
        if result["epoch"] > self._reached.get(trial_id, 0):
            self._reached[trial_id] = result["epoch"]
            decision = super().on_trial_result(tune_controller, trial, result)  # type: ignore[misc]
        if result["epoch"] >= self._stops_at.get(trial_id, math.inf):
            decision = TrialScheduler.STOP
        return str(decision)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A diverged trial is no measure for the others: its infinite value would shift the percentiles."""
        if math.isfinite(result[RESULT]):
            super().on_trial_complete(tune_controller, trial, result)  # type: ignore[misc]


class _PastTrial:
    """All that a scheduler looks at in a trial that has ended."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = f"past-{trial_id}"
        self.config = {"trial_id": trial_id}


def _result(metrics: EpochMetrics, metric: str) -> dict[str, Any]:
    return {"epoch": metrics.epoch, RESULT: score(metrics, metric)}


class _AsyncHyperBand(_Remembers, AsyncHyperBandScheduler):  # type: ignore[misc]
    def __init__(self, past: Sequence[TrialRecord], seed: int, **settings: Any) -> None:
        self._seed = seed
        super().__init__(past, **settings)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Tune draws the trial's bracket: let the draw depend on the sweep's seed and the trial alone."""
        with _numpy_seeded(self._seed, *map(int, trial.config["trial_id"].split("-"))):
            super().on_trial_add(tune_controller, trial)


@contextmanager
def _numpy_seeded(*seed: int) -> Iterator[None]:
    """Seed numpy's global state, which AsyncHyperBandScheduler draws from, and leave it as it was."""
    before = np.random.get_state()
    np.random.seed(list(seed))
    try:
        yield
    finally:
        np.random.set_state(before)


class _MedianStopping(_Remembers, MedianRule):
    def _remember(self, trial: Any, result: dict[str, Any]) -> None:
        self.on_trial_complete(None, trial, result)  # notes the result; on_trial_result might stop the trial as well


def make_scheduler(space: SearchSpace, seed: int, past: Sequence[TrialRecord] = ()) -> TrialScheduler:
    """The space's scheduler, by the score of each epoch. past: the trials of a resumed sweep."""
    settings = space.scheduler
    common: dict[str, Any] = {"past": past, "time_attr": "epoch", "metric": RESULT}
    if settings.type in ("asha", "hyperband"):
        return _AsyncHyperBand(
            **common,
            mode="max",
            seed=seed,
            max_t=space.epochs,
            grace_period=settings.grace_epochs,
            reduction_factor=settings.reduction_factor,
            brackets=_brackets(space),
        )
    if settings.type == "median":
        return _MedianStopping(
            **common,
            grace_period=settings.grace_epochs,
            min_samples_required=settings.min_trials,
        )
    return FIFOScheduler()


def _brackets(space: SearchSpace) -> int:
    """As many as the space asks for, of those whose first rung comes before the last epoch."""
    if space.scheduler.type != "hyperband":
        return 1
    grace, factor = space.scheduler.grace_epochs, space.scheduler.reduction_factor
    return max(1, sum(1 for bracket in range(space.scheduler.brackets) if grace * factor**bracket < space.epochs))
