"""A dimension of a search: a range or choices, its values, when it is searched; and the grid of several dimensions."""

import math
from collections import ChainMap, Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Scalar = bool | int | float | str
When = dict[str, Scalar | list[Scalar]]
_WHEN = Field(
    None,
    description="Searched only in configurations where each of these hyperparameters has this value, or one of these; "
    "elsewhere it has its fixed value, or its default.",
)


class Strict(BaseModel):
    """A part of a space's file: it takes no unknown key and converts no value."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class IntRange(Strict):
    """Whole numbers from low to high, both included."""

    type: Literal["int"]
    low: int
    high: int
    step: int = Field(1, ge=1, description="Distance between values; with log: true it stays 1.")
    log: bool = Field(False, description="Search on a logarithmic scale.")
    when: When | None = _WHEN


class FloatRange(Strict):
    """Numbers from low to high, both included."""

    type: Literal["float"]
    low: float
    high: float
    step: float | None = Field(None, gt=0, description="Distance between values; none: any value between.")
    log: bool = Field(False, description="Search on a logarithmic scale.")
    when: When | None = _WHEN


class Categorical(Strict):
    """One of a list."""

    type: Literal["categorical"]
    choices: list[Scalar] = Field(min_length=1)
    when: When | None = _WHEN


AnyDimension = IntRange | FloatRange | Categorical
Dimension = Annotated[AnyDimension, Field(discriminator="type")]
Applying = frozenset[str]  # conditional dimensions that no value known so far rules out


def n_values(dimension: AnyDimension) -> int:
    """The number of a dimension's values; 0 where it has no step."""
    if isinstance(dimension, Categorical):
        return len(dimension.choices)
    return int(span(dimension.low, dimension.high) / Decimal(str(dimension.step))) + 1 if dimension.step else 0


def values_of(dimension: AnyDimension) -> list[Any]:
    """Every value of a dimension, [] where it has no step."""
    if isinstance(dimension, Categorical):
        return list(dimension.choices)
    # Decimal: 0.1 + 2 * 0.1 is above 0.3 in binary, and Optuna takes no value above high.
    low, step = Decimal(str(dimension.low)), Decimal(str(dimension.step or 0))
    return [type(dimension.low)(low + i * step) for i in range(n_values(dimension))]


def contains(dimension: AnyDimension, value: Any) -> bool:
    """Whether the dimension has this value."""
    if isinstance(dimension, Categorical):
        return value in dimension.choices
    is_within = isinstance(value, int | float) and dimension.low <= value <= dimension.high
    return is_within and not (dimension.step and span(dimension.low, value) % Decimal(str(dimension.step)))


def span(low: float, high: float) -> Decimal:
    """high - low as they are written: 0.3 - 0.1 is 0.2."""
    return Decimal(str(high)) - Decimal(str(low))


def listed(wanted: Scalar | list[Scalar]) -> list[Scalar]:
    """The values that one condition names; a single one may stand without a list."""
    return wanted if isinstance(wanted, list) else [wanted]


def holds(when: When | None, values: Mapping[str, Any]) -> bool:
    """Whether each hyperparameter that `when` names has one of its values; one without a value has none of them."""
    return all(values.get(name) in listed(wanted) for name, wanted in (when or {}).items())


def condition(when: When) -> str:
    """'noise is gaussian or salt_pepper, and mode is vae'."""
    return ", and ".join(f"{name} is {' or '.join(map(str, listed(wanted)))}" for name, wanted in when.items())


def grid_points(dimensions: Mapping[str, AnyDimension], constants: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of the dimensions' values, each varied only where it applies; the last one varies fastest.

    dimensions: each stands after those that its `when` names. constants: the value of every hyperparameter that is
    not searched everywhere.
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
    """How many points grid_points has, 0 where a dimension has no step; counted without making one of them."""
    if not all(map(n_values, dimensions.values())):
        return 0
    conditional = {name: dimension for name, dimension in dimensions.items() if dimension.when}
    # A grid of billions must be refused at once. So combinations of the unconditional values are not listed but put
    # into groups: two belong to one group if they leave the same conditional dimensions applying. At first there is
    # one combination, of nothing, and all apply. Each hyperparameter then splits the groups by the effect of its
    # values: of those that some condition names, one by one, and of all the others together.
    groups = Counter({frozenset(conditional): 1})
    for name, value in constants.items():
        groups = _product(groups, Counter({_applying(name, [value], conditional): 1}))
    for name, dimension in dimensions.items():
        if not dimension.when:
            groups = _product(groups, _effects(name, dimension, conditional))
    # Each combination of a group is as many points as its applying dimensions have values together.
    return sum(n * math.prod(n_values(conditional[name]) for name in applying) for applying, n in groups.items())


def _effects(name: str, dimension: AnyDimension, conditional: Mapping[str, AnyDimension]) -> Counter[Applying]:
    """How many of a dimension's values leave which conditional dimensions applying."""
    named = {value for other in conditional.values() for value in listed((other.when or {}).get(name, []))}
    met = [value for value in named if contains(dimension, value)]
    effects = Counter(_applying(name, [value], conditional) for value in met)
    effects[_applying(name, [], conditional)] += n_values(dimension) - len(met)  # no condition names the rest
    return effects


def _applying(name: str, values: Iterable[Any], conditional: Mapping[str, AnyDimension]) -> Applying:
    """The conditional dimensions that do not name this hyperparameter, or name one of these values of it."""
    return frozenset(
        other
        for other, dimension in conditional.items()
        if name not in (dimension.when or {}) or set(values) & set(listed((dimension.when or {})[name]))
    )


def _product(one: Counter[Applying], other: Counter[Applying]) -> Counter[Applying]:
    """The groups of all pairs: a dimension applies to a pair if it applies to both."""
    product: Counter[Applying] = Counter()
    for applying, n in one.items():
        for also, n_also in other.items():
            product[applying & also] += n * n_also
    return product
