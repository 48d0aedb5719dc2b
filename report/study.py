"""What a sweep shows, as plain numbers: a SweepRecord -> the numbers of each figure."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from tuning.records import State, SweepRecord, TrialRecord
from vae.metrics import best

FAR = 10.0  # times the median's distance from the best: what lies further would flatten all the rest
MIN_TRIALS = 10  # PED-ANOVA compares the best with all; Optuna advises five or more among the best
LABEL_MARGIN = 0.09  # of the axes, between their edges and the middle of a label
TOP_TRIALS = 5
TOP_QUANTILE = 0.1  # PED-ANOVA's own default, once there are fifty trials


@dataclass(frozen=True)
class Point:
    """A trial's best epoch, nats per image. `number` counts the sweep's trials from 1."""

    number: int
    trial_id: str
    state: State
    elbo: float
    rate: float
    distortion: float
    beta: float
    params: dict[str, Any]


def points(sweep: SweepRecord) -> list[Point]:
    """The trials that have finished an epoch, in the sweep's order."""
    return [_point(number, record) for number, record in enumerate(sweep.trials, start=1) if record.best]


def _point(number: int, record: TrialRecord) -> Point:
    reached = record.best
    assert reached is not None
    return Point(
        number=number,
        trial_id=record.trial_id,
        state=record.state,
        elbo=reached.val_elbo,
        rate=reached.val_rate,
        distortion=reached.val_distortion,
        beta=record.config.beta,
        params=record.params,
    )


def elbo_floor(elbos: np.ndarray) -> float:
    """Where an ELBO axis ends: below it lie trials FAR times further from the best than the median is."""
    best, median = float(elbos.max()), float(np.median(elbos))
    if median == best:
        return float(elbos.min())
    return max(float(elbos.min()), best - FAR * (best - median))


@dataclass(frozen=True)
class RateDistortion:
    """`colours` are the shown points' beta, or their ELBO where beta is not searched. n_hidden: too far to show."""

    shown: list[Point]
    n_hidden: int
    colour_name: str
    colours: np.ndarray
    log_colours: bool


def rate_distortion(sweep: SweepRecord) -> RateDistortion:
    every = points(sweep)
    floor = elbo_floor(np.array([point.elbo for point in every])) if every else -math.inf
    shown = [point for point in every if point.elbo >= floor]
    by_beta = "beta" in sweep.search
    colours = np.array([point.beta if by_beta else point.elbo for point in shown])
    log = by_beta and len(shown) > 0 and colours.min() > 0 and colours.max() >= 4 * colours.min()
    name = (
        "\N{GREEK SMALL LETTER BETA} (weight of the KL in training)" if by_beta else "validation ELBO (nats per image)"
    )
    return RateDistortion(shown, len(every) - len(shown), name, colours, bool(log))


def free_place(
    elbo: float, points: np.ndarray, low: tuple[float, float], high: tuple[float, float]
) -> tuple[float, float] | None:
    """The (rate, distortion) on the line of an ELBO that is furthest from all points [n, 2].

    low, high: the corners of the axes; distances are in their units. None for a line that leaves no room for a label.
    """
    (left, bottom), (right, top) = low, high
    scale = np.array([right - left, top - bottom])
    x_margin, y_margin = LABEL_MARGIN * scale
    start, stop = max(left + x_margin, -elbo - top + y_margin), min(right - x_margin, -elbo - bottom - y_margin)
    if start > stop:
        return None
    rates = np.linspace(start, stop, 20)
    line = np.stack([rates, -elbo - rates], -1)
    distance = np.linalg.norm((line[:, None] - points[None]) / scale, axis=-1).min(1)
    rate, distortion = line[int(distance.argmax())]
    return float(rate), float(distortion)


@dataclass(frozen=True)
class History:
    """`best_so_far` [n] belongs to `points` [n]: the highest ELBO of the trials up to there that did not fail."""

    points: list[Point]
    best_so_far: np.ndarray
    floor: float
    n_trials: int


def history(sweep: SweepRecord) -> History:
    every = points(sweep)
    counted = np.array([-np.inf if point.state == "failed" else point.elbo for point in every])
    floor = elbo_floor(np.array([point.elbo for point in every])) if every else 0.0
    return History(every, np.maximum.accumulate(counted), floor, len(sweep.trials))


@dataclass(frozen=True)
class Slice:
    """One searched hyperparameter against the ELBO. choices: of a categorical one, in the space's order."""

    name: str
    points: list[Point]
    log: bool
    choices: list[Any] | None
    floor: float


def slices(sweep: SweepRecord) -> list[Slice]:
    every = points(sweep)
    if not every:
        return []
    floor = elbo_floor(np.array([point.elbo for point in every]))
    return [
        Slice(
            name=name,
            points=[point for point in every if name in point.params],
            log=bool(dimension.get("log")),
            choices=list(dimension["choices"]) if dimension["type"] == "categorical" else None,
            floor=floor,
        )
        for name, dimension in sweep.search.items()
    ]


@dataclass(frozen=True)
class Importance:
    """The share of each searched hyperparameter, highest first, of `n_trials`; or why there is none.

    `by_epoch`: the trials are compared by what they had reached there; None: by their best epoch.
    """

    shares: dict[str, float]
    n_trials: int
    n_top: int
    why_not: str = ""
    by_epoch: int | None = None


def importance(sweep: SweepRecord) -> Importance:
    """PED-ANOVA (Watanabe et al. 2023) over the complete trials; where the scheduler left too few of them, over
    all that ended, each by its best up to the epoch that every one of them reached: there all are comparable."""
    by_epoch, values = None, {r.trial_id: r.val_elbo for r in sweep.trials if r.state == "complete" and r.best}
    if len(values) < MIN_TRIALS:
        by_epoch, values = _values_at_common_epoch(sweep)
    trials = [
        trial
        for record in sweep.trials
        if record.trial_id in values and (trial := _frozen(record, values[record.trial_id], sweep.search)) is not None
    ]
    why_not = _why_no_importance(trials, sweep.search)
    if why_not:
        return Importance({}, len(trials), 0, why_not)
    quantile = max(TOP_QUANTILE, TOP_TRIALS / len(trials))
    raw = _ped_anova(trials, quantile)
    total = sum(raw.values())
    if total <= 0:  # Optuna would call all parameters equally important
        return Importance({}, len(trials), 0, "No hyperparameter sets the best of these trials apart from the rest.")
    shares = {name: value / total for name, value in raw.items()}
    return Importance(shares, len(trials), math.ceil(quantile * len(trials)), by_epoch=by_epoch)


def _values_at_common_epoch(sweep: SweepRecord) -> tuple[int | None, dict[str, float]]:
    """The epoch that every complete and pruned trial reached, and the best ELBO of each up to there."""
    ended = [record for record in sweep.trials if record.state in ("complete", "pruned") and record.best]
    common = min((len(record.history) for record in ended), default=None)
    reached = {record.trial_id: best(record.history[:common]) for record in ended}
    return common, {trial_id: metrics.val_elbo for trial_id, metrics in reached.items() if metrics is not None}


def _why_no_importance(trials: list[optuna.trial.FrozenTrial], search: dict[str, dict[str, Any]]) -> str:
    if not search:
        return "This sweep searches no hyperparameter."
    if len(trials) < MIN_TRIALS:
        return f"Importance needs {MIN_TRIALS} finished trials in the search space; this sweep has {len(trials)}."
    if len({trial.value for trial in trials}) == 1:
        return "All trials reached the same ELBO, so no hyperparameter matters more than another."
    if all(len({str(trial.params[name]) for trial in trials}) == 1 for name in search):
        return "All trials have the same hyperparameters."
    return ""


def _ped_anova(trials: list[optuna.trial.FrozenTrial], quantile: float) -> dict[str, float]:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            study = optuna.create_study(direction="maximize")
            study.add_trials(trials)
            evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
            return get_param_importances(study, evaluator=evaluator, normalize=False)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _frozen(record: TrialRecord, value: float, search: dict[str, dict[str, Any]]) -> optuna.trial.FrozenTrial | None:
    """The trial as Optuna has it; None for a baseline outside the search space, which Optuna refuses."""
    distributions = {name: _distribution(dimension) for name, dimension in search.items()}
    params = {name: record.params[name] for name in search if name in record.params}
    if len(params) < len(search):
        return None
    try:
        return optuna.trial.create_trial(params=params, distributions=distributions, value=value)
    except ValueError:
        return None


def _distribution(dimension: dict[str, Any]) -> BaseDistribution:
    if dimension["type"] == "categorical":
        return CategoricalDistribution(dimension["choices"])
    low, high, log, step = dimension["low"], dimension["high"], bool(dimension.get("log")), dimension.get("step")
    if dimension["type"] == "int":
        return IntDistribution(low, high, log=log, step=step or 1)
    return FloatDistribution(low, high, log=log, step=step)
