"""A dimension of a search: a range or choices, its values, and the configurations in which it is searched."""

from collections.abc import Mapping
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
    """What is read from a file: nothing unknown, nothing converted."""

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


def n_values(dimension: AnyDimension) -> int:
    """How many values a dimension has; 0 where it has no step."""
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
    """The values of one condition: one may stand without a list."""
    return wanted if isinstance(wanted, list) else [wanted]


def holds(when: When | None, values: Mapping[str, Any]) -> bool:
    """Whether each hyperparameter named has one of its values; one without a value has none of them."""
    return all(values.get(name) in listed(wanted) for name, wanted in (when or {}).items())


def condition(when: When) -> str:
    """'noise is gaussian or salt_pepper, and mode is vae'."""
    return ", and ".join(f"{name} is {' or '.join(map(str, listed(wanted)))}" for name, wanted in when.items())
