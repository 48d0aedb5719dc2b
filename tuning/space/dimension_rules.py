"""What is wrong with a searched dimension: its choices or range, and the conditions under which it is searched."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tuning.space.dimensions import AnyDimension, Categorical, FloatRange, IntRange, Scalar, contains, listed, span
from tuning.space.faults import Fault, Path, nearest, shown, value_problem
from tuning.space.model import SEARCHABLE, SearchSpace

MOST_STEPS = 10**9  # of a float; Optuna's own arithmetic ends some way above


def dimension_faults(space: SearchSpace) -> dict[str, list[Fault]]:
    """The faults of each dimension; none of a sound one."""
    of_values = {name: list(_value_faults(name, dimension)) for name, dimension in space.dimensions.items()}
    sound = {name for name, faults in of_values.items() if not faults}
    return {name: [*faults, *_when_faults(space, name, sound)] for name, faults in of_values.items()}


def _value_faults(name: str, dimension: AnyDimension) -> Iterator[Fault]:
    path: Path = ("search", name)
    wants = "float" if SEARCHABLE[name].annotation is float else "int"
    if isinstance(dimension, Categorical):
        yield from _choice_faults(name, dimension)
    elif SEARCHABLE[name].annotation not in (int, float):
        yield Fault((*path, "type"), f"'{dimension.type}' for {name}, which is not a number; allowed: 'categorical'")
    elif dimension.type != wants:
        yield Fault((*path, "type"), f"'{dimension.type}' for {name}; allowed: '{wants}', 'categorical'")
    else:
        for end in ("low", "high"):
            if problem := value_problem(name, getattr(dimension, end)):
                yield Fault((*path, end), problem)
        yield from _range_faults(path, dimension)


def _choice_faults(name: str, dimension: Categorical) -> Iterator[Fault]:
    allowed: list[Any] = []
    for index, choice in enumerate(dimension.choices):
        path: Path = ("search", name, "choices", index)
        if problem := value_problem(name, choice):
            yield Fault(path, problem)
        elif choice in allowed:
            yield Fault(path, f"{choice!r} is there twice")
        else:
            allowed.append(choice)


def _range_faults(path: Path, dimension: IntRange | FloatRange) -> Iterator[Fault]:
    low, high, step = dimension.low, dimension.high, dimension.step
    if low > high:
        yield Fault((*path, "low"), f"low {low} is above high {high}; low must not be above high")
    if dimension.log and low <= 0:
        yield Fault((*path, "low"), f"{low} with log: true; a logarithmic scale needs low above 0")
    if dimension.log and step != (None if isinstance(dimension, FloatRange) else 1):
        yield Fault((*path, "step"), f"{step} with log: true; a logarithmic scale has no step: leave one of them out")
    elif isinstance(step, float) and (high - low) / step > MOST_STEPS:
        yield Fault((*path, "step"), f"{step} is too fine for {low} to {high}; leave it out to allow any value")
    elif step is not None and low <= high and span(low, high) % Decimal(str(step)):
        yield Fault((*path, "step"), f"{step} does not divide high - low = {span(low, high)}")


def _when_faults(space: SearchSpace, name: str, sound: set[str]) -> Iterator[Fault]:
    """sound: the dimensions of which the values can be relied on."""
    dimension = space.dimensions[name]
    if "when" in dimension.model_fields_set and not dimension.when:
        yield Fault(("search", name, "when"), "names no hyperparameter; leave it out of what is always searched")
    for named, wanted in (dimension.when or {}).items():
        path: Path = ("search", name, "when", named)
        if problem := _name_problem(space, name, named):
            yield Fault(path, problem)
        elif problems := [problem for value in listed(wanted) if (problem := value_problem(named, value))]:
            yield from (Fault(path, problem) for problem in dict.fromkeys(problems))
        elif problem := _never(space, named, listed(wanted), sound):
            yield Fault(path, problem)


def _name_problem(space: SearchSpace, name: str, named: str) -> str:
    """Why no condition of this dimension can be about that hyperparameter, '' where one can."""
    if named == "epochs":
        return "epochs is the same in every configuration"
    if named not in SEARCHABLE:
        return f"no such hyperparameter{nearest(named, SEARCHABLE)}"
    if named == name:
        return f"{name} cannot depend on itself"
    if named in space.dimensions and space.dimensions[named].when:
        return f"{named} is conditional itself; a condition names what is always searched, or not at all"
    if named == "seed" and named not in space.dimensions and named not in space.fixed_values:
        return "seed is neither searched nor fixed, so it is the sweep's own"
    return ""


def _never(space: SearchSpace, named: str, wanted: list[Scalar], sound: set[str]) -> str:
    """Why a hyperparameter has none of these values in any configuration, '' where it may have one."""
    values = " or ".join(map(shown, wanted)) or "[]"
    searched = space.dimensions.get(named)
    if searched is None:
        constant = space.constants[named]
        why = "fixed to" if named in space.fixed_values else "neither searched nor fixed; its default is"
        return "" if constant in wanted else f"{values} never occurs: {named} is {why} {constant!r}"
    if named not in sound or any(contains(searched, value) for value in wanted):
        return ""
    over = ", ".join(map(repr, searched.choices)) if isinstance(searched, Categorical) else _range_words(searched)
    return f"{values} never occurs: {named} is searched over {over}"


def _range_words(dimension: IntRange | FloatRange) -> str:
    by = f" by {dimension.step}" if dimension.step not in (None, 1) else ""
    return f"{dimension.low} to {dimension.high}{by}"
