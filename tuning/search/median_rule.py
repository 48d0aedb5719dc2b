"""MedianRule: stops a trial whose best score so far is below the median of the others' running means."""

import math
from bisect import insort
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ray.tune.schedulers import FIFOScheduler, TrialScheduler


@dataclass
class _Curve:
    """A trial's scores, as far as it has come."""

    best: float = -math.inf
    since_grace: list[float] = field(default_factory=list)


class MedianRule(FIFOScheduler):  # type: ignore[misc]
    """The rule of Golovin et al. 2017. It decides as Ray's MedianStoppingRule does that stops and never pauses.

    A trial's running mean is over its scores from the grace on and up to an epoch, so it never changes once the epoch
    is over. Each epoch keeps those of all trials that came to it in order, and a decision reads their middle. Ray's
    rule walks over every result of every trial instead, 30 to 87 ms a result at 10,000 trials.
    """

    def __init__(self, time_attr: str, metric: str, grace_period: int, min_samples_required: int) -> None:
        super().__init__()
        self._metric = metric
        self._time_attr = time_attr
        self._grace_period = grace_period
        self._min_samples_required = min_samples_required
        self._curves: defaultdict[str, _Curve] = defaultdict(_Curve)  # by Tune's id of the trial
        self._means: defaultdict[int, list[float]] = defaultdict(list)  # by epoch, in order

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        others = self._means[result[self._time_attr]]
        has_enough = len(others) >= max(1, self._min_samples_required)
        median = _median(others) if has_enough else -math.inf  # before the trial's own mean is one of them
        self._note(trial, result)
        return str(TrialScheduler.STOP if median > self._curves[trial.trial_id].best else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        self._note(trial, result)

    def _note(self, trial: Any, result: dict[str, Any]) -> None:
        epoch, score, curve = result[self._time_attr], result[self._metric], self._curves[trial.trial_id]
        curve.best = max(curve.best, score)
        if epoch >= self._grace_period:
            curve.since_grace.append(score)
            mean = float(np.mean(curve.since_grace))
            if math.isfinite(mean):
                insort(self._means[epoch], mean)


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
