"""Which models of a sweep stay: those of the best trials, of the front, and of the values that figures compare.

What is left out here can be removed at once and for good. A trial that has ended keeps its score and its values, so
one that is not among the best now never will be again, nor on the front, nor the best of its value.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tuning.records import TrialRecord, pareto_front, ranked
from tuning.space.dimensions import AnyDimension, Categorical, n_values
from tuning.space.model import SearchSpace

COMPARED = 8  # values, or configurations, at the most that figures set side by side, one by one
PARTS = 10  # of the range of a hyperparameter with more values: figures compare fifths of them


class KeptModels:
    """The rule of one space."""

    def __init__(self, space: SearchSpace) -> None:
        self._n_best = space.keep_models
        self._has_front = space.metric == "rate_distortion"
        self._compares_configurations = space.trials <= COMPARED
        self._dimensions = space.dimensions

    def of(self, ended: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Those of these trials whose models stay, what matters most first."""
        best_first = [record for record in ranked(ended) if record.best]  # failed trials come last
        sound = [record for record in best_first if record.state != "failed"]
        on_front = pareto_front(sound) if self._has_front else set()
        compared: dict[Any, TrialRecord] = {}
        for record in sound:  # best first
            for group in self._groups(record):
                compared.setdefault(group, record)
        front = [record for record in sound if record.trial_id in on_front]
        kept = [*best_first[: self._n_best], *front, *compared.values()]
        return list({record.trial_id: record for record in kept}.values())

    @property
    def most(self) -> int:
        """How many models stay at the most, the front of rate and distortion aside."""
        return self._n_best + sum(_n_parts(dimension) for dimension in self._dimensions.values())

    def _groups(self, record: TrialRecord) -> Iterator[tuple[str, Any]]:
        """What a figure may show the trial as the best of."""
        if self._compares_configurations:
            yield "configuration", record.configuration
        for name, value in record.params.items():
            yield name, _part(self._dimensions[name], value)


def _n_parts(dimension: AnyDimension) -> int:
    """Values that are compared one by one, or parts of the range."""
    one_by_one = isinstance(dimension, Categorical) or 0 < n_values(dimension) <= COMPARED
    return n_values(dimension) if one_by_one else PARTS


def _part(dimension: AnyDimension, value: Any) -> Any:
    """The value itself, or which part of the range it is in, on the dimension's own scale."""
    if isinstance(dimension, Categorical) or 0 < n_values(dimension) <= COMPARED:
        return str(value)
    low, high, place = float(dimension.low), float(dimension.high), float(value)
    if dimension.log:
        low, high, place = math.log(low), math.log(high), math.log(place)
    return min(int(PARTS * (place - low) / (high - low)), PARTS - 1) if high > low else 0
