"""Which hyperparameters matter: PED-ANOVA over a sweep's trials."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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

from tuning.records import SweepRecord, TrialRecord

MIN_TRIALS = 10  # PED-ANOVA compares the best with all trials; Optuna advises at least five among the best
TOP_TRIALS = 5
N_BOOTSTRAP, BOOTSTRAP_SEED = 50, 20131220
TOP_QUANTILE = 0.1  # PED-ANOVA's default, used from fifty trials on


@dataclass(frozen=True)
class Importance:
    """The share of each searched hyperparameter, highest first: the best n_top trials against all n_trials.

    why_not: why there are no shares, '' if there are. by_epoch: the trials are compared at this epoch; None: each at
    its best epoch. left_out: hyperparameters that only some of the trials have.
    """

    shares: dict[str, float]
    n_trials: int
    n_top: int
    why_not: str = ""
    by_epoch: int | None = None
    left_out: list[str] = field(default_factory=list)


def importance(sweep: SweepRecord) -> Importance:
    """PED-ANOVA (Watanabe et al. 2023) over the complete trials.

    If the scheduler left too few of them: over all trials that ended, each by its best up to the epoch that every
    one of them reached, where they can be compared.
    """
    by_epoch, trials, search, left_out = _comparable(sweep)
    why_not = _why_no_importance(trials, search)
    if why_not:
        return Importance({}, len(trials), 0, why_not, left_out=left_out)
    quantile = max(TOP_QUANTILE, TOP_TRIALS / len(trials))
    raw = _ped_anova(trials, quantile)
    total = sum(raw.values())
    if total <= 0:  # Optuna would call all hyperparameters equally important
        why_not = "No hyperparameter sets the best of these trials apart from the rest."
        return Importance({}, len(trials), 0, why_not, left_out=left_out)
    shares = {name: value / total for name, value in raw.items()}
    n_top = math.ceil(quantile * len(trials))
    return Importance(shares, len(trials), n_top, by_epoch=by_epoch, left_out=left_out)


def intervals(sweep: SweepRecord) -> dict[str, tuple[float, float]]:
    """From where to where each share goes, 5 to 95 %, when the trials are drawn anew from themselves (a bootstrap).

    {} where importance has no shares.
    """
    found = importance(sweep)
    _, trials, _, _ = _comparable(sweep)
    draw, shares = np.random.default_rng(BOOTSTRAP_SEED), []
    for _ in range(N_BOOTSTRAP if found.shares else 0):
        drawn = [trials[place] for place in draw.integers(len(trials), size=len(trials))]
        if len({trial.value for trial in drawn}) > 1:
            raw = _ped_anova(drawn, max(TOP_QUANTILE, TOP_TRIALS / len(trials)))
            shares.append([raw.get(name, 0.0) for name in found.shares])
    sums = np.array(shares).reshape(-1, len(found.shares))
    sums = sums[sums.sum(axis=1) > 0]
    if not len(sums):
        return {}
    low, high = np.quantile(sums / sums.sum(axis=1, keepdims=True), (0.05, 0.95), axis=0)
    return {name: (float(low[k]), float(high[k])) for k, name in enumerate(found.shares)}


def _comparable(
    sweep: SweepRecord,
) -> tuple[int | None, list[optuna.trial.FrozenTrial], dict[str, dict[str, Any]], list[str]]:
    """The epoch, see Importance.by_epoch; the trials; the dimensions that all of them have; the other names."""
    by_epoch, records = None, [record for record in sweep.trials if record.state == "complete" and record.best]
    if len(records) < MIN_TRIALS:
        by_epoch, records = _at_common_epoch(sweep)
    search, left_out = _shared_by_all(sweep.search, records)
    trials = [trial for record in records if (trial := _frozen(record, search)) is not None]
    return by_epoch, trials, search, left_out


def _at_common_epoch(sweep: SweepRecord) -> tuple[int | None, list[TrialRecord]]:
    """The last epoch that every complete and pruned trial reached, and each of these trials as it was there."""
    ended = [record for record in sweep.trials if record.state in ("complete", "pruned") and record.best]
    common = min((len(record.history) for record in ended), default=None)
    cut = [replace(record, history=record.history[:common]) for record in ended]
    return common, [record for record in cut if record.best]


def _shared_by_all(
    search: dict[str, dict[str, Any]], records: Sequence[TrialRecord]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The dimensions that every trial has, and the names of the others, whose condition only some trials meet."""
    shared = {name: search[name] for name in search if all(name in record.params for record in records)}
    return shared, [name for name in search if name not in shared]


def _why_no_importance(trials: list[optuna.trial.FrozenTrial], search: dict[str, dict[str, Any]]) -> str:
    if not search:
        return "This sweep searches no hyperparameter that every trial has."
    if len(trials) < MIN_TRIALS:
        return f"Importance needs {MIN_TRIALS} finished trials in the search space; this sweep has {len(trials)}."
    if len({trial.value for trial in trials}) == 1:
        return "All trials reached the same score, so no hyperparameter matters more than another."
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


def _frozen(record: TrialRecord, search: dict[str, dict[str, Any]]) -> optuna.trial.FrozenTrial | None:
    """The trial as an Optuna trial; None for a baseline outside the search space, which Optuna refuses."""
    distributions = {name: _distribution(dimension) for name, dimension in search.items()}
    params = {name: record.params[name] for name in search}
    try:
        return optuna.trial.create_trial(params=params, distributions=distributions, value=record.score)
    except ValueError:
        return None


def _distribution(dimension: dict[str, Any]) -> BaseDistribution:
    if dimension["type"] == "categorical":
        return CategoricalDistribution(dimension["choices"])
    low, high, log, step = dimension["low"], dimension["high"], bool(dimension.get("log")), dimension.get("step")
    if dimension["type"] == "int":
        return IntDistribution(low, high, log=log, step=step or 1)
    return FloatDistribution(low, high, log=log, step=step)
