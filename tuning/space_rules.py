"""What is wrong with a search space that its types cannot see: the rules between keys, and TrialConfig's ranges."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tuning.space import MOST_TRIALS, SEARCHABLE, Categorical, FloatRange, IntRange, SearchSpace, grid_size, type_of

Path = tuple[str | int, ...]
MOST_STEPS = 10**9  # of a float; Optuna's own arithmetic ends some way above

_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(type_of(name), config=ConfigDict(strict=True, allow_inf_nan=False)) for name in SEARCHABLE
}


class Fault(NamedTuple):
    """One thing wrong with a space: where in it, and what would be right."""

    path: Path
    message: str


def faults_of(space: SearchSpace) -> list[Fault]:
    """All of them, in the order of the keys they are about."""
    of_dimensions = {name: list(_dimension_faults(name, value)) for name, value in space.dimensions.items()}
    sound = [name for name, faults in of_dimensions.items() if not faults]
    return [
        *(fault for faults in of_dimensions.values() for fault in faults),
        *_search_faults(space),
        *_sampler_faults(space, sound),
        *_baseline_faults(space, sound),
    ]


def _dimension_faults(name: str, dimension: IntRange | FloatRange | Categorical) -> Iterator[Fault]:
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
            if problem := _value_problem(name, getattr(dimension, end)):
                yield Fault((*path, end), problem)
        yield from _range_faults(path, dimension)


def _choice_faults(name: str, dimension: Categorical) -> Iterator[Fault]:
    allowed: list[Any] = []
    for index, choice in enumerate(dimension.choices):
        path: Path = ("search", name, "choices", index)
        if problem := _value_problem(name, choice):
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
    elif step is not None and low <= high and _exact_span(low, high) % Decimal(str(step)):
        yield Fault((*path, "step"), f"{step} does not divide high - low = {_exact_span(low, high)}")


def _exact_span(low: float, high: float) -> Decimal:
    """high - low as they are written: 0.3 - 0.1 is 0.2."""
    return Decimal(str(high)) - Decimal(str(low))


def _value_problem(name: str, value: Any) -> str:
    """What is wrong with this value of this hyperparameter, '' where nothing is."""
    try:
        _ADAPTERS[name].validate_python(value)
    except ValidationError as error:
        return f"{value!r} for {name}: {error.errors()[0]['msg'][:1].lower()}{error.errors()[0]['msg'][1:]}"
    return ""


def _search_faults(space: SearchSpace) -> Iterator[Fault]:
    for name in space.dimensions:
        if name in space.fixed_values:
            yield Fault(("fixed", name), f"{name} is searched as well; keep it in one of search and fixed")
    if not space.dimensions and space.trials > 1 and not space.baselines:
        yield Fault(("search",), f"nothing is searched, so all {space.trials} trials would be the same one")
    grace = getattr(space.scheduler, "grace_epochs", 1)
    if grace > space.epochs:
        yield Fault(("scheduler", "grace_epochs"), f"{grace} is above epochs, {space.epochs}; nothing would be stopped")


def _sampler_faults(space: SearchSpace, sound: list[str]) -> Iterator[Fault]:
    if space.sampler.type == "cmaes":
        for name, dimension in space.dimensions.items():
            if dimension.type == "categorical":
                yield Fault(("search", name, "type"), "'categorical' with sampler cmaes, which searches numbers only")
    if space.sampler.type != "grid":
        return
    endless = [name for name, value in space.dimensions.items() if isinstance(value, FloatRange) and value.step is None]
    for name in endless:
        yield Fault(("search", name), "no step with sampler grid; a grid needs a step or choices in every dimension")
    if endless or len(sound) < len(space.dimensions):
        return
    n_points = grid_size(space.dimensions)
    if n_points > MOST_TRIALS:
        yield Fault(("search",), f"{n_points:,} points with sampler grid; allowed: at most {MOST_TRIALS:,}")
    elif space.trials != n_points:
        yield Fault(("trials",), f"{space.trials} with sampler grid, which has {n_points} points; allowed: {n_points}")


def _baseline_faults(space: SearchSpace, sound: list[str]) -> Iterator[Fault]:
    earlier: list[dict[str, Any]] = []
    for index, values in enumerate(space.baselines):
        given = values.model_dump(exclude_none=True)
        for name, value in given.items():
            if problem := _baseline_problem(space, name, value, name in sound):
                yield Fault(("baselines", index, name), problem)
        lacking = [name for name in space.dimensions if name not in given]
        if space.sampler.type == "grid" and lacking:
            yield Fault(("baselines", index), f"leaves out {', '.join(lacking)}; with sampler grid it must be a point")
        if given in earlier and not lacking:
            yield Fault(("baselines", index), "is there twice")
        earlier.append(given)
    if len(space.baselines) > space.trials:
        yield Fault(("baselines",), f"{len(space.baselines)} of them and {space.trials} trials; allow more trials")


def _baseline_problem(space: SearchSpace, name: str, value: Any, is_sound: bool) -> str:
    dimension = space.dimensions.get(name)
    if dimension is None:
        return f"{name} is not searched; a baseline gives values of searched hyperparameters"
    if isinstance(dimension, Categorical):
        allowed = ", ".join(map(repr, dimension.choices))
        return "" if value in dimension.choices else f"{value!r} is not a choice; allowed: {allowed}"
    low, high, step = dimension.low, dimension.high, dimension.step
    if not low <= value <= high:
        return f"{value} is outside the search, {low} to {high}"
    if is_sound and step is not None and _exact_span(low, value) % Decimal(str(step)):
        return f"{value} is between the steps of the search, {low} to {high} by {step}"
    return ""
