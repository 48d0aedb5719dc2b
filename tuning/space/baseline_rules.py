"""What is wrong with the configurations that a search space has tried first."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tuning.space.dimensions import Categorical, condition, span
from tuning.space.faults import Fault
from tuning.space.model import SearchSpace


def baseline_faults(space: SearchSpace, sound: list[str]) -> Iterator[Fault]:
    """sound: the dimensions without a fault of their own."""
    earlier: list[dict[str, Any]] = []
    for index, values in enumerate(space.baselines):
        given = values.model_dump(exclude_none=True)
        for name, value in given.items():
            if problem := _problem(space, name, value, name in sound) or _inapplicable(space, name, given, sound):
                yield Fault(("baselines", index, name), problem)
        lacking = [name for name in space.dimensions if name not in given and space.applies(name, given)]
        if space.sampler.type == "grid" and lacking:
            yield Fault(("baselines", index), f"leaves out {', '.join(lacking)}; with sampler grid it must be a point")
        if given in earlier and not lacking:
            yield Fault(("baselines", index), "is there twice")
        earlier.append(given)
    if len(space.baselines) > space.trials:
        yield Fault(("baselines",), f"{len(space.baselines)} of them and {space.trials} trials; allow more trials")


def _problem(space: SearchSpace, name: str, value: Any, is_sound: bool) -> str:
    """What is wrong with one value, '' where nothing is."""
    dimension = space.dimensions.get(name)
    if dimension is None:
        return f"{name} is not searched; a baseline gives values of searched hyperparameters"
    if isinstance(dimension, Categorical):
        allowed = ", ".join(map(repr, dimension.choices))
        return "" if value in dimension.choices else f"{value!r} is not a choice; allowed: {allowed}"
    low, high, step = dimension.low, dimension.high, dimension.step
    if not low <= value <= high:
        return f"{value} is outside the search, {low} to {high}"
    if is_sound and step is not None and span(low, value) % Decimal(str(step)):
        return f"{value} is between the steps of the search, {low} to {high} by {step}"
    return ""


def _inapplicable(space: SearchSpace, name: str, given: dict[str, Any], sound: list[str]) -> str:
    """Why a value is given to no purpose, '' where it is not."""
    if name not in sound or space.applies(name, given):
        return ""
    when = space.dimensions[name].when or {}
    open_ones = [named for named in when if named not in given and named not in space.constants]
    advice = f"give {' and '.join(open_ones)} as well" if open_ones else "leave it out"
    return f"{name} is searched only where {condition(when)}; {advice}"
