"""Configurations that stand for a whole search space: a middling one, and those that take the most memory."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from tuning.space.dimensions import AnyDimension, Categorical, FloatRange, contains, grid_points, listed
from tuning.space.model import SearchSpace
from vae.config import TrialConfig
from vae.model.shape_class import ShapeClass


def middling(space: SearchSpace, seed: int) -> TrialConfig:
    """The configuration with the middle value of every dimension that applies to it."""
    values: dict[str, Any] = {}
    for name, dimension in space.dimensions.items():
        if space.applies(name, values):
            values[name] = _middle(dimension)
    return space.config(values, seed)


def widest(space: SearchSpace, seed: int) -> set[ShapeClass]:
    """A few shape classes; the one that takes the most memory of all in the space is among them.

    Memory grows with every number of a config. So each dimension of numbers is tried at its largest value and at the
    values that conditions name, because these decide what else is searched. Every word is tried.
    """
    conditions = [dimension.when or {} for dimension in space.dimensions.values()]
    candidates: dict[str, AnyDimension] = {}
    for name, dimension in space.dimensions.items():
        named = {value for when in conditions for value in listed(when.get(name, []))}
        choices = _costliest(dimension, named)
        candidates[name] = Categorical(type="categorical", choices=choices, when=dimension.when)
    return {ShapeClass.of(space.config(point, seed)) for point in grid_points(candidates, space.constants)}


def _costliest(dimension: AnyDimension, named: set[Any]) -> list[Any]:
    """All words; of numbers, those that conditions name and the largest of the others."""
    if isinstance(dimension, Categorical) and any(isinstance(choice, str) for choice in dimension.choices):
        return list(dimension.choices)
    there = [value for value in named if contains(dimension, value)]
    others = islice((value for value in _downwards(dimension) if value not in named), 1)
    return [*there, *others]


def _downwards(dimension: AnyDimension) -> Iterator[Any]:
    """The numbers of a dimension, the largest first."""
    if isinstance(dimension, Categorical):
        yield from sorted(dimension.choices, reverse=True)
    elif isinstance(dimension, FloatRange):
        yield from _floats(
            dimension.high, dimension.low
        )  # without the steps: the memory of a float's values is the same
    else:
        yield from range(dimension.high, dimension.low - 1, -dimension.step)


def _floats(high: float, low: float) -> Iterable[float]:
    while high >= low:
        yield high
        high = math.nextafter(high, -math.inf)


def _middle(dimension: AnyDimension) -> Any:
    """The middle value, on the dimension's own scale."""
    if isinstance(dimension, Categorical):
        return dimension.choices[len(dimension.choices) // 2]
    low, high = dimension.low, dimension.high
    middle = (low * high) ** 0.5 if dimension.log else (low + high) / 2
    return round(middle) if dimension.type == "int" else min(max(middle, low), high)
