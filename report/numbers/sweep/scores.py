"""The trials' scores: in the order of their start, against each searched hyperparameter, and by seed."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuning.records import Configuration, State, SweepRecord, TrialRecord, grouped, ranked_by

FAR = 10.0  # times the median's distance from the best: a trial further away would flatten all the others
STATES: tuple[State, ...] = ("failed", "running", "pruned", "complete")  # a configuration has the first that occurs
LEAST_FINISHED = 3  # trials: fewer set no axis
FEW = 5  # values: a hyperparameter with no more is drawn as choices side by side


@dataclass(frozen=True)
class Metric:
    """The ranking metric. value = sign * score; higher scores are better."""

    name: str
    sign: int

    @property
    def label(self) -> str:
        return f"validation {self.name} (nats per image)"


METRICS = {"val_elbo": Metric("ELBO", 1), "val_distortion": Metric("distortion", -1)}


def metric_of(sweep: SweepRecord) -> Metric:
    """A sweep with a front of rate and distortion is ordered by their sum, the ELBO."""
    return METRICS[ranked_by(sweep.trials[0].metric if sweep.trials else "val_elbo")]


@dataclass(frozen=True)
class Point:
    """A trial's numbers at the epoch that stands for it, or their means over a configuration's `n` seeds.

    Nats per image; rate is None where there is none. sd: of the score over the seeds, None of fewer than two.
    number: counts the sweep's trials, or its configurations, from 1.
    """

    number: int
    name: str
    state: State
    score: float
    rate: float | None
    distortion: float
    params: dict[str, Any]
    sd: float | None = None
    n: int = 1


def points(sweep: SweepRecord) -> list[Point]:
    """The trials that have finished an epoch, in the sweep's order."""
    return [_of_trial(number, record) for number, record in enumerate(sweep.trials, start=1) if record.best]


def _of_trial(number: int, record: TrialRecord) -> Point:
    reached = record.best
    assert reached is not None
    numbers = (record.score, reached.val_rate, reached.val_distortion)
    return Point(number, record.trial_id, record.state, *numbers, record.params)


def has_repeats(sweep: SweepRecord) -> bool:
    """Whether a configuration was tried with several seeds."""
    return any(len(configuration.records) > 1 for configuration in grouped(sweep.trials))


def configuration_points(sweep: SweepRecord) -> list[Point]:
    """One point per configuration, the mean over its seeds; one per trial where no configuration is repeated."""
    if not has_repeats(sweep):
        return points(sweep)
    numbered = enumerate(grouped(sweep.trials), start=1)
    return [_of_configuration(number, one) for number, one in numbered if one.n]


def _of_configuration(number: int, one: Configuration) -> Point:
    rates = one.values("val_rate")
    return Point(
        number=number,
        name=one.name,
        state=min((record.state for record in one.records), key=STATES.index),
        score=one.mean,
        rate=statistics.fmean(rates) if rates else None,
        distortion=statistics.fmean(one.values("val_distortion")),
        params=one.params,
        sd=one.sd,
        n=one.n,
    )


def score_floor(scores: Sequence[float]) -> float:
    """Where an axis of scores ends: trials below it are FAR times further from the best than the median is."""
    if not scores:
        return -math.inf
    best, median, worst = max(scores), float(np.median(scores)), min(scores)
    return worst if median == best else max(worst, best - FAR * (best - median))


def floor_of(points: Sequence[Point]) -> float:
    """Where the axis of these points' scores ends, by the finished trials: another one's score is of an early epoch."""
    finished = [point.score for point in points if point.state == "complete"]
    return score_floor(finished if len(finished) >= LEAST_FINISHED else [point.score for point in points])


@dataclass(frozen=True)
class History:
    """best_so_far [n], for points [n]: the highest score so far of a trial that did not fail. n_places: of the axis."""

    metric: Metric
    points: list[Point]
    best_so_far: np.ndarray
    floor: float
    n_places: int
    has_repeats: bool


def history(sweep: SweepRecord) -> History:
    every, repeated = configuration_points(sweep), has_repeats(sweep)
    counted = np.array([-np.inf if point.state == "failed" else point.score for point in every])
    n_places = len(grouped(sweep.trials)) if repeated else len(sweep.trials)
    return History(metric_of(sweep), every, np.maximum.accumulate(counted), floor_of(every), n_places, repeated)


@dataclass(frozen=True)
class Slice:
    """One searched hyperparameter against the score.

    choices: the values of a categorical one in the space's order, or of an integer that has at most FEW values;
    otherwise None. n_without: how many points lack the hyperparameter, because its condition is not met.
    """

    name: str
    points: list[Point]
    log: bool
    choices: list[Any] | None
    n_without: int


@dataclass(frozen=True)
class Slices:
    """One slice per searched hyperparameter, all on one axis of scores. points: those of all slices."""

    metric: Metric
    points: list[Point]
    slices: list[Slice]
    floor: float
    has_repeats: bool


def slices(sweep: SweepRecord) -> Slices:
    every = configuration_points(sweep)
    found = [_slice(name, dimension, every) for name, dimension in sweep.search.items()] if every else []
    return Slices(metric_of(sweep), every, found, floor_of(every), has_repeats(sweep))


def _slice(name: str, dimension: dict[str, Any], every: Sequence[Point]) -> Slice:
    having = [point for point in every if name in point.params]
    return Slice(name, having, bool(dimension.get("log")), _choices(dimension), len(every) - len(having))


def _choices(dimension: dict[str, Any]) -> list[Any] | None:
    if dimension["type"] == "categorical":
        return list(dimension["choices"])
    if dimension["type"] != "int" or dimension.get("log"):
        return None
    values = range(dimension["low"], dimension["high"] + 1, dimension.get("step") or 1)
    return list(values) if len(values) <= FEW else None


@dataclass(frozen=True)
class Seeds:
    """A configuration and the score of each of its trials, in the order of their repeats."""

    params: dict[str, Any]
    scores: list[float]
    mean: float
    sd: float | None


@dataclass(frozen=True)
class Repeats:
    """The configurations that have a score and no failed trial, best mean first. n_failed: those that have one."""

    metric: Metric
    configurations: list[Seeds]
    n_failed: int


def repeats(sweep: SweepRecord) -> Repeats:
    every = [one for one in grouped(sweep.trials) if one.n]
    sound = sorted((one for one in every if not one.is_failed), key=lambda one: -one.mean)
    seeds = [Seeds(one.params, one.scores, one.mean, one.sd) for one in sound]
    return Repeats(metric_of(sweep), seeds, len(every) - len(sound))
