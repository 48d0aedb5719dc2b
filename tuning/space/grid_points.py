"""The grid of a search: every combination of its dimensions' values, listed or only counted."""

import math
from collections import ChainMap, Counter
from collections.abc import Iterable, Mapping
from typing import Any

from tuning.space.dimensions import AnyDimension, contains, holds, listed, n_values, values_of

Applying = frozenset[str]  # conditional dimensions of which no condition is broken, as far as values are known


def grid_points(dimensions: Mapping[str, AnyDimension], constants: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The product of the dimensions' values, each varied only where it applies; the last one varies fastest.

    dimensions: one stands after those that its `when` names. constants: values of what is not searched everywhere.
    """
    points: list[dict[str, Any]] = [{}]
    for name, dimension in dimensions.items():
        values = [{name: value} for value in values_of(dimension)]
        points = [
            {**point, **own}
            for point in points
            for own in (values if holds(dimension.when, ChainMap(point, dict(constants))) else [{}])
        ]
    return points


def grid_size(dimensions: Mapping[str, AnyDimension], constants: Mapping[str, Any]) -> int:
    """How many points grid_points has, 0 where a dimension has no step; counted, so billions take no time.

    Values are counted by which conditional dimensions they leave applying, one hyperparameter after the other.
    """
    if not all(map(n_values, dimensions.values())):
        return 0
    conditional = {name: dimension for name, dimension in dimensions.items() if dimension.when}
    counts = Counter({frozenset(conditional): 1})
    for name, value in constants.items():
        counts = _product(counts, Counter({_applying(name, [value], conditional): 1}))
    for name, dimension in dimensions.items():
        if not dimension.when:
            counts = _product(counts, _effects(name, dimension, conditional))
    return sum(n * math.prod(n_values(conditional[name]) for name in applying) for applying, n in counts.items())


def _effects(name: str, dimension: AnyDimension, conditional: Mapping[str, AnyDimension]) -> Counter[Applying]:
    """How many of a dimension's values leave which conditional dimensions applying."""
    named = {value for other in conditional.values() for value in listed((other.when or {}).get(name, []))}
    met = [value for value in named if contains(dimension, value)]
    effects = Counter(_applying(name, [value], conditional) for value in met)
    effects[_applying(name, [], conditional)] += n_values(dimension) - len(met)  # the rest is named by none
    return effects


def _applying(name: str, values: Iterable[Any], conditional: Mapping[str, AnyDimension]) -> Applying:
    """The conditional dimensions that do not name this hyperparameter, or name one of these values of it."""
    return frozenset(
        other
        for other, dimension in conditional.items()
        if name not in (dimension.when or {}) or set(values) & set(listed((dimension.when or {})[name]))
    )


def _product(one: Counter[Applying], other: Counter[Applying]) -> Counter[Applying]:
    product: Counter[Applying] = Counter()
    for applying, n in one.items():
        for also, n_also in other.items():
            product[applying & also] += n * n_also
    return product
