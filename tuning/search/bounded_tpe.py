"""BoundedTpe: Optuna's TPE on a history that stops growing, for sweeps of thousands of trials."""

import math
from bisect import insort
from collections.abc import Container
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

HISTORY = 1_000  # ended trials that a proposal looks at
BEST = 100  # of them the best; TPE models the density of the best 25


class History:
    """The ended trials of a study with one objective, in the order of their numbers, and the best of them.

    What it gives depends on the trials alone, not on the order in which they ended: a resumed sweep proposes what an
    uninterrupted one does.
    """

    def __init__(self, direction: StudyDirection) -> None:
        self._sign = -1.0 if direction == StudyDirection.MAXIMIZE else 1.0
        self._ended: list[tuple[int, FrozenTrial]] = []
        self._ranked: list[tuple[tuple[float, ...], int, FrozenTrial]] = []

    def add(self, trial: FrozenTrial) -> None:
        """A trial has ended. One that failed tells TPE nothing."""
        if trial.state == TrialState.FAIL:
            return
        insort(self._ended, (trial.number, trial), key=lambda one: one[0])
        insort(self._ranked, (self._rank(trial), trial.number, trial), key=lambda one: one[:2])
        del self._ranked[BEST:]

    def _rank(self, trial: FrozenTrial) -> tuple[float, ...]:
        """Lower is better: as TPE itself splits its trials, complete ones first, pruned ones by how far they came."""
        if trial.state == TrialState.COMPLETE:
            return (0.0, 0.0, self._sign * (trial.value or 0.0))
        if not trial.intermediate_values:
            return (2.0, 0.0, 0.0)
        step, value = max(trial.intermediate_values.items())
        return (1.0, -step, math.inf if math.isnan(value) else self._sign * value)

    def excerpt(self) -> list[FrozenTrial]:
        """All, or the best and every so many-th of the others; in the order of their numbers."""
        if len(self._ended) <= HISTORY:
            return [trial for _, trial in self._ended]
        best = {number: trial for _, number, trial in self._ranked}
        stride = math.ceil(len(self._ended) / (HISTORY - BEST))
        return [trial for _, trial in sorted({**best, **dict(self._ended[::stride])}.items())]


class BoundedTpe(TPESampler):
    """TPE that sees the running trials and an excerpt of those that have ended. Up to HISTORY trials it is TPE itself;
    beyond, a proposal takes no longer than there (125 ms at 10,000 trials with all of them)."""

    def __init__(self, history: History, **settings: Any) -> None:
        super().__init__(**settings)
        self._history = history

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return super().infer_relative_search_space(self._seen(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return super().sample_relative(self._seen(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return super().sample_independent(self._seen(study), trial, param_name, param_distribution)

    def _seen(self, study: Study) -> Any:
        running = study._get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return _Excerpt(study, sorted([*self._history.excerpt(), *running], key=lambda trial: trial.number))


class _Excerpt:
    """A study with some of its trials, as much of it as TPE asks."""

    def __init__(self, study: Study, trials: list[FrozenTrial]) -> None:
        self._study = study
        self._trials = trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]
