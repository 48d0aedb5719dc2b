"""What Tune asks while a sweep runs: a searcher for each trial's config, a scheduler for which trial to stop."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler
from ray.tune.search import Searcher

from tuning.records import TrialRecord, score
from tuning.space.model import SearchSpace
from vae.model.metrics import EpochMetrics

RESULT = "score"  # of an epoch in Tune's results: tuning.records.score, which every trial has


class Proposals(Searcher):  # type: ignore[misc]
    """Tune asks here for each trial's config; the driver's callback has the results, so none arrive here."""

    def __init__(self, propose: Callable[[], dict[str, Any]], slots: Callable[[], int]) -> None:
        """slots: how many trials may be under way now; Tune's own limit would not follow nodes that come and go."""
        super().__init__(metric=RESULT, mode="max")
        self._propose = propose
        self._slots = slots
        self._under_way: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next trial's config, or None: not now, ask again."""
        if len(self._under_way) >= self._slots():
            return None
        self._under_way.add(trial_id)
        return self._propose()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._under_way.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        pass  # the ledger is what a sweep resumes from

    def restore(self, checkpoint_path: str) -> None:
        pass


class _Remembers:
    """Mixed into a scheduler: a trial that comes in is first shown with what it reached in an earlier run."""

    def __init__(self, past: Sequence[TrialRecord], seed: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._seed = seed
        self._past = {r.trial_id: [_result(m, r.metric) for m in r.history if m.is_finite] for r in past}
        self._reached: dict[str, int] = {}
        for record in past:
            if record.state != "running":
                self.on_trial_add(None, _PastTrial(record.trial_id))

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        trial_id = trial.config["trial_id"]
        # AsyncHyperBandScheduler draws the bracket from numpy's global state: let it be the trial's own.
        np.random.seed([self._seed, *map(int, trial_id.split("-"))])
        super().on_trial_add(tune_controller, trial)  # type: ignore[misc]
        for result in self._past.pop(trial_id, []):
            self._reached[trial_id] = result["epoch"]
            self._remember(trial, result)

    def _remember(self, trial: Any, result: dict[str, Any]) -> None:
        super().on_trial_result(None, trial, result)  # type: ignore[misc]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """An epoch that is trained again after a crash was decided upon the first time."""
        if result["epoch"] <= self._reached.get(trial.config["trial_id"], 0):
            return str(TrialScheduler.CONTINUE)
        self._reached[trial.config["trial_id"]] = result["epoch"]
        return str(super().on_trial_result(tune_controller, trial, result))  # type: ignore[misc]

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A diverged trial is no mark to measure others by: an infinite value would shift the percentiles."""
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
    pass


class _MedianStopping(_Remembers, MedianStoppingRule):  # type: ignore[misc]
    def _remember(self, trial: Any, result: dict[str, Any]) -> None:
        self.on_trial_complete(None, trial, result)  # notes the result; on_trial_result might stop the trial as well


def make_scheduler(space: SearchSpace, seed: int, past: Sequence[TrialRecord] = ()) -> TrialScheduler:
    """Tune's scheduler by the score of each epoch; of a resumed sweep, one that knows the past trials."""
    settings = space.scheduler
    common: dict[str, Any] = {"past": past, "seed": seed, "time_attr": "epoch", "metric": RESULT, "mode": "max"}
    if settings.type in ("asha", "hyperband"):
        return _AsyncHyperBand(
            **common,
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
            min_time_slice=math.inf,  # else it pauses trials for others to catch up; ours run to their end
            hard_stop=True,
        )
    return FIFOScheduler()


def _brackets(space: SearchSpace) -> int:
    """As many as asked for, of those whose first rung comes before the last epoch."""
    if space.scheduler.type != "hyperband":
        return 1
    grace, factor = space.scheduler.grace_epochs, space.scheduler.reduction_factor
    return max(1, sum(1 for bracket in range(space.scheduler.brackets) if grace * factor**bracket < space.epochs))
