"""Which hyperparameters matter: PED-ANOVA over a sweep's trials, with the spread of its answer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from report.numbers.sweep.ped_anova import divergences, grid
from tuning.records import SweepRecord, TrialRecord

MIN_TRIALS = 10  # PED-ANOVA compares the best with all trials; Optuna advises at least five among the best
TOP_TRIALS = 5
TOP_QUANTILE = 0.1  # PED-ANOVA's default, used from fifty trials on
N_RESAMPLES = 200
RESAMPLING_SEED = 20230420
INTERVAL = (0.05, 0.95)
TOO_LITTLE = 1e-12  # of divergence: rounding alone

Search = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Importance:
    """The share of each searched hyperparameter, highest first: the best n_top trials against all n_trials.

    why_not: why there are no shares, '' if there are. by_epoch: the trials are compared at this epoch; None: each at
    its best epoch. left_out: hyperparameters that only some of the trials have. intervals: where each share is in 90 %
    of N_RESAMPLES resamples of the trials, with replacement.
    """

    shares: dict[str, float]
    n_trials: int
    n_top: int
    why_not: str = ""
    by_epoch: int | None = None
    left_out: list[str] = field(default_factory=list)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def undecided(self) -> list[str]:
        """The hyperparameters of which any may matter most, since their intervals overlap the first one's; [] if one
        stands alone."""
        if not self.intervals:
            return []
        low = self.intervals[next(iter(self.shares))][0]
        reaching = [name for name in self.shares if self.intervals[name][1] >= low]
        return reaching if len(reaching) > 1 else []


def importance(sweep: SweepRecord) -> Importance:
    """PED-ANOVA (Watanabe et al. 2023) over the complete trials.

    If the scheduler left too few of them: over all trials that ended, each by its best up to the epoch that every
    one of them reached, where they can be compared.
    """
    by_epoch, records = None, [record for record in sweep.trials if record.state == "complete" and record.best]
    if len(records) < MIN_TRIALS:
        by_epoch, records = _at_common_epoch(sweep)
    search, left_out = _shared_by_all(sweep.search, records)
    records = [record for record in records if all(_is_within(search[name], record.params[name]) for name in search)]
    why_not = _why_no_importance(records, search)
    if why_not:
        return Importance({}, len(records), 0, why_not, left_out=left_out)
    n_top, shares = _shares(records, search)
    if not np.isfinite(shares[0]).all():  # PED-ANOVA would call all hyperparameters equally important
        why_not = "No hyperparameter sets the best of these trials apart from the rest."
        return Importance({}, len(records), 0, why_not, left_out=left_out)
    order = sorted(range(len(search)), key=lambda index: -shares[0, index])
    names, spread = list(search), np.nanquantile(shares[1:], INTERVAL, axis=0)
    return Importance(
        {names[index]: float(shares[0, index]) for index in order},
        len(records),
        n_top,
        by_epoch=by_epoch,
        left_out=left_out,
        intervals={names[index]: (float(spread[0, index]), float(spread[1, index])) for index in order},
    )


def _shares(records: Sequence[TrialRecord], search: Search) -> tuple[int, np.ndarray]:
    """How many are the best, and the shares of all trials, then of each resample: [1 + N_RESAMPLES, P], NaN if none."""
    n_top = math.ceil(max(TOP_QUANTILE, TOP_TRIALS / len(records)) * len(records))
    scores = np.array([record.score for record in records])
    resampled = np.random.default_rng(RESAMPLING_SEED).integers(len(scores), size=(N_RESAMPLES, len(scores)))
    chosen = np.concatenate([np.arange(len(scores))[None], resampled])
    ranked = -np.sort(-scores[chosen], axis=1)
    is_top = scores[chosen] >= ranked[:, n_top - 1 : n_top]
    grids = [grid(dimension, [record.params[name] for record in records]) for name, dimension in search.items()]
    raw = divergences(grids, chosen, is_top)
    total = raw.sum(1, keepdims=True)
    return n_top, np.divide(raw, total, out=np.full_like(raw, np.nan), where=total > TOO_LITTLE)


def _at_common_epoch(sweep: SweepRecord) -> tuple[int | None, list[TrialRecord]]:
    """The last epoch that every complete and pruned trial reached, and each of these trials as it was there."""
    ended = [record for record in sweep.trials if record.state in ("complete", "pruned") and record.best]
    common = min((len(record.history) for record in ended), default=None)
    cut = [replace(record, history=record.history[:common]) for record in ended]
    return common, [record for record in cut if record.best]


def _shared_by_all(search: Search, records: Sequence[TrialRecord]) -> tuple[Search, list[str]]:
    """The dimensions that every trial has, and the names of the others, whose condition only some trials meet."""
    shared = {name: search[name] for name in search if all(name in record.params for record in records)}
    return shared, [name for name in search if name not in shared]


def _is_within(dimension: dict[str, Any], value: Any) -> bool:
    """Whether the search has this value; a baseline of an older sweep may be outside."""
    if dimension["type"] == "categorical":
        return value in dimension["choices"]
    return bool(dimension["low"] <= value <= dimension["high"])


def _why_no_importance(records: Sequence[TrialRecord], search: Search) -> str:
    if not search:
        return "This sweep searches no hyperparameter that every trial has."
    if len(records) < MIN_TRIALS:
        return f"Importance needs {MIN_TRIALS} finished trials in the search space; this sweep has {len(records)}."
    if len({record.score for record in records}) == 1:
        return "All trials reached the same score, so no hyperparameter matters more than another."
    if all(len({str(record.params[name]) for record in records}) == 1 for name in search):
        return "All trials have the same hyperparameters."
    return ""
