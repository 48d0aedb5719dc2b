"""Configurations that stand for a whole search space: a middling one, those that take the most memory, random ones."""

import heapq
import math
import random
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from tuning.space.dimensions import (
    AnyDimension,
    Categorical,
    FloatRange,
    contains,
    grid_points,
    holds,
    listed,
    n_values,
)
from tuning.space.model import SearchSpace
from vae.config import TrialConfig
from vae.model.shape_class import Frame, ShapeClass


def middling(space: SearchSpace, seed: int) -> TrialConfig:
    """The configuration with the middle value of every dimension that applies to it."""
    values: dict[str, Any] = {}
    for name, dimension in space.dimensions.items():
        if space.applies(name, values):
            values[name] = _middle(dimension)
    return space.config(values, seed)


def drawn(space: SearchSpace, n: int) -> list[TrialConfig]:
    """So many random configurations, always the same ones: how the trials of the space spread."""
    draw, dimensions, constants = random.Random(0), space.dimensions, space.constants
    configs = []
    for _ in range(n):
        values: dict[str, Any] = {}
        for name, dimension in dimensions.items():
            if holds(dimension.when, {**constants, **values}):
                values[name] = _at(dimension, draw.random())
        configs.append(space.config(values, seed=0))
    return configs


def numbers(space: SearchSpace, name: str) -> Iterator[int]:
    """The values that a hyperparameter of whole numbers can have in a trial, the largest first."""
    constant = [space.constants[name]] if name in space.constants else []
    searched = _downwards(space.dimensions[name]) if name in space.dimensions else iter([])
    return heapq.merge(constant, searched, reverse=True)


def widest(space: SearchSpace, seed: int, frame: Frame | None = None) -> set[ShapeClass]:
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
    return {ShapeClass.of(space.config(point, seed), frame) for point in grid_points(candidates, space.constants)}


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


def _at(dimension: AnyDimension, share: float) -> Any:
    """The value that this share of the dimension lies below, on its own scale; share: in [0, 1)."""
    if isinstance(dimension, Categorical):
        return dimension.choices[int(share * len(dimension.choices))]
    low, high = dimension.low, dimension.high
    if dimension.step and not dimension.log:
        return min(low + dimension.step * int(share * n_values(dimension)), high)
    value = low * (high / low) ** share if dimension.log else low + (high - low) * share
    return round(value) if dimension.type == "int" else min(max(value, low), high)
