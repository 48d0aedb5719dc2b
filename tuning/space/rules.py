"""What is wrong with a search space that its types cannot see: rules between keys, of dimensions and of baselines."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tuning.space.dimensions import (
    AnyDimension,
    Categorical,
    FloatRange,
    IntRange,
    Scalar,
    condition,
    contains,
    listed,
    span,
)
from tuning.space.faults import Fault, KeyPath, nearest, shown, value_problem
from tuning.space.model import MOST_TRIALS, SEARCHABLE, SearchSpace
from vae.datasets.names import fault_of
from vae.model.metrics import has_rate

FRONT_SAMPLERS = ("tpe", "random", "grid", "gp")  # the samplers that know several objectives
MOST_STEPS = 10**9  # of a float's range; the sampler's own arithmetic fails some way above


def faults_of(space: SearchSpace) -> list[Fault]:
    """Every broken rule, in the order of the keys they are about."""
    of_dimensions = dimension_faults(space)
    sound = [name for name, faults in of_dimensions.items() if not faults]
    return [
        *_dataset_faults(space),
        *_metric_faults(space),
        *_front_faults(space),
        *_repeats_faults(space),
        *(fault for faults in of_dimensions.values() for fault in faults),
        *_search_faults(space),
        *_sampler_faults(space, sound),
        *_baseline_faults(space, sound),
        *_compare_faults(space),
        *confirm_faults(space),
    ]


def _dataset_faults(space: SearchSpace) -> Iterator[Fault]:
    if fault := fault_of(space.dataset):
        yield Fault(("dataset",), f"{space.dataset!r}: {fault}")


def _metric_faults(space: SearchSpace) -> Iterator[Fault]:
    """A metric that some trials do not have, or that misjudges all of them."""
    without = [mode for mode in sorted(space.modes) if not has_rate(mode)]
    if space.metric == "val_distortion" and not without:
        reason = "alone it is best for a model without a prior; allowed: val_elbo, rate_distortion"
        yield Fault(("metric",), f"val_distortion cannot rank trials that are all of mode vae: {reason}")
    elif space.metric != "val_distortion" and without:
        lacks = "no KL, so no ELBO" if space.metric == "val_elbo" else "no KL, so no rate"
        modes = " and ".join(without)
        yield Fault(
            ("metric",),
            f"{space.metric} cannot rank trials of mode {modes}: they have {lacks}; allowed: val_distortion",
        )


def _front_faults(space: SearchSpace) -> Iterator[Fault]:
    """Two objectives: every trial must run to its end, and the sampler must know both."""
    if space.metric != "rate_distortion":
        return
    if space.scheduler.type != "none":
        reason = "a trial that is stopped early does not reach its point of the front"
        yield Fault(("metric",), f"rate_distortion with scheduler {space.scheduler.type}: {reason}; allowed: none")
    if space.sampler.type not in FRONT_SAMPLERS:
        allowed = ", ".join(FRONT_SAMPLERS)
        yield Fault(
            ("metric",),
            f"rate_distortion with sampler {space.sampler.type}, which knows one objective only; allowed: {allowed}",
        )


def _repeats_faults(space: SearchSpace) -> Iterator[Fault]:
    if space.repeats == 1:
        return
    with_repeats = f"with repeats {space.repeats}"
    if space.scheduler.type != "none":
        reason = "the mean of trials stopped at different epochs means nothing; allowed: scheduler none"
        yield Fault(("repeats",), f"{space.repeats} with scheduler {space.scheduler.type}: {reason}")
    for part in ("search", "fixed"):
        if getattr(space, part).seed is not None:
            yield Fault((part, "seed"), f"seed {with_repeats}, which gives each trial its own; leave one of them out")
    if space.n_runs > MOST_TRIALS:
        runs = f"{space.trials:,} {with_repeats} are {space.n_runs:,} runs"
        yield Fault(("trials",), f"{runs}; allowed: at most {MOST_TRIALS:,} runs")


def _search_faults(space: SearchSpace) -> Iterator[Fault]:
    for name, dimension in space.dimensions.items():
        if name in space.fixed_values and not dimension.when:  # a conditional one has it where it is not searched
            yield Fault(("fixed", name), f"{name} is searched as well; keep it in one of search and fixed")
    for name, of in (("likelihood", "measures"), ("binarize", "data")):
        if name in space.dimensions and len(space.words(name)) > 1:
            reason = f"the ELBOs are of different {of}, and their order would mean nothing"
            yield Fault(("search", name), f"{reason}; make a sweep of each, with --set {name}=...")
    if not space.dimensions and space.trials > 1 and not space.baselines:
        yield Fault(("search",), f"nothing is searched, so all {space.trials} trials would be the same")
    grace = getattr(space.scheduler, "grace_epochs", 1)
    if grace > space.epochs:
        yield Fault(("scheduler", "grace_epochs"), f"{grace} is above epochs, {space.epochs}; nothing would be stopped")


def _sampler_faults(space: SearchSpace, sound: list[str]) -> Iterator[Fault]:
    if space.sampler.type == "cmaes":
        for name, dimension in space.dimensions.items():
            if dimension.type == "categorical":
                yield Fault(("search", name, "type"), "'categorical' with sampler cmaes, which searches numbers only")
    if space.sampler.type == "gp" and space.scheduler.type != "none":
        reason = "it learns from trials that ran to their end, of which early stopping leaves few"
        allowed = "scheduler none, or sampler tpe, cmaes, random"
        yield Fault(("sampler", "type"), f"'gp' with scheduler {space.scheduler.type}: {reason}; allowed: {allowed}")
    if space.sampler.type in ("cmaes", "gp"):
        for name, dimension in space.dimensions.items():
            if dimension.when:
                reason = "which draws conditional hyperparameters at random; allowed: tpe, random, grid"
                yield Fault(("search", name, "when"), f"a condition with sampler {space.sampler.type}, {reason}")
    if space.sampler.type == "grid":
        yield from _grid_faults(space, sound)


def _grid_faults(space: SearchSpace, sound: list[str]) -> Iterator[Fault]:
    endless = [name for name, value in space.dimensions.items() if isinstance(value, FloatRange) and value.step is None]
    for name in endless:
        yield Fault(("search", name), "no step with sampler grid; a grid needs a step or choices in every dimension")
    if endless or len(sound) < len(space.dimensions):
        return
    n_points = space.grid_size
    if n_points > MOST_TRIALS:
        yield Fault(("search",), f"{n_points:,} points with sampler grid; allowed: at most {MOST_TRIALS:,}")
    elif space.trials != n_points:
        yield Fault(("trials",), f"{space.trials} with sampler grid, which has {n_points} points; allowed: {n_points}")


# ---- dimensions


def dimension_faults(space: SearchSpace) -> dict[str, list[Fault]]:
    """The faults of each dimension, [] of a sound one."""
    of_values = {name: list(_value_faults(name, dimension)) for name, dimension in space.dimensions.items()}
    sound = {name for name, faults in of_values.items() if not faults}
    return {name: [*faults, *_when_faults(space, name, sound)] for name, faults in of_values.items()}


def _value_faults(name: str, dimension: AnyDimension) -> Iterator[Fault]:
    path: KeyPath = ("search", name)
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
        path: KeyPath = ("search", name, "choices", index)
        if problem := value_problem(name, choice):
            yield Fault(path, problem)
        elif choice in allowed:
            yield Fault(path, f"{choice!r} appears twice")
        else:
            allowed.append(choice)


def _range_faults(path: KeyPath, dimension: IntRange | FloatRange) -> Iterator[Fault]:
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
    """sound: the dimensions whose values are without fault."""
    dimension = space.dimensions[name]
    if "when" in dimension.model_fields_set and not dimension.when:
        yield Fault(
            ("search", name, "when"), "names no hyperparameter; a dimension that is always searched has no when"
        )
    for named, wanted in (dimension.when or {}).items():
        path: KeyPath = ("search", name, "when", named)
        if problem := _name_problem(space, name, named):
            yield Fault(path, problem)
        elif problems := [problem for value in listed(wanted) if (problem := value_problem(named, value))]:
            yield from (Fault(path, problem) for problem in dict.fromkeys(problems))
        elif problem := _never(space, named, listed(wanted), sound):
            yield Fault(path, problem)


def _name_problem(space: SearchSpace, name: str, named: str) -> str:
    """Why a condition of this dimension cannot name that hyperparameter, '' where it can."""
    if named == "epochs":
        return "epochs is the same in every configuration"
    if named not in SEARCHABLE:
        return f"no such hyperparameter{nearest(named, SEARCHABLE)}"
    if named == name:
        return f"{name} cannot depend on itself"
    if named in space.dimensions and space.dimensions[named].when:
        return f"{named} is conditional itself; a condition names a hyperparameter that is always searched, or never"
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


# ---- baselines


def _baseline_faults(space: SearchSpace, sound: list[str]) -> Iterator[Fault]:
    """sound: the dimensions without a fault of their own."""
    earlier: list[dict[str, Any]] = []
    for index, values in enumerate(space.baselines):
        given = values.model_dump(exclude_none=True)
        for name, value in given.items():
            if problem := _off_the_search(space, name, value, name in sound) or _inapplicable(
                space, name, given, sound
            ):
                yield Fault(("baselines", index, name), problem)
        lacking = [name for name in space.dimensions if name not in given and space.applies(name, given)]
        if space.sampler.type == "grid" and lacking:
            yield Fault(
                ("baselines", index),
                f"leaves out {', '.join(lacking)}; with sampler grid a baseline is a point of the grid",
            )
        if given in earlier and not lacking:
            yield Fault(("baselines", index), "appears twice")
        earlier.append(given)
    if len(space.baselines) > space.trials:
        n = len(space.baselines)
        yield Fault(("baselines",), f"{n} baselines do not fit into {space.trials} trials; allowed: {n} trials or more")


def _off_the_search(space: SearchSpace, name: str, value: Any, is_sound: bool) -> str:
    """Why a value of a baseline is not one of the search, '' where it is."""
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
    """Why a value of a baseline has no effect, '' where it has one."""
    if name not in sound or space.applies(name, given):
        return ""
    when = space.dimensions[name].when or {}
    open_ones = [named for named in when if named not in given and named not in space.constants]
    advice = f"give {' and '.join(open_ones)} as well" if open_ones else "leave it out"
    return f"{name} is searched only where {condition(when)}; {advice}"


# ---- the report


def _compare_faults(space: SearchSpace) -> Iterator[Fault]:
    if space.compare is not None and space.compare not in space.dimensions:
        searched = list(space.dimensions)
        instead = nearest(space.compare, searched) if searched else "; nothing is: leave compare out"
        yield Fault(("compare",), f"{shown(space.compare)} is not searched{instead}")


# ---- the confirmation


def confirm_faults(space: SearchSpace) -> list[Fault]:
    confirm, found = space.confirm, []
    if confirm is None:
        return []
    if space.metric == "rate_distortion":
        reason = "two objectives have a front and no best configuration; allowed: val_elbo, val_distortion"
        found.append(Fault(("confirm",), f"confirm with metric rate_distortion: {reason}"))
    if "seed" in space.dimensions:
        reason = "seed with confirm, which gives each trial its own; leave one of them out"
        found.append(Fault(("search", "seed"), reason))
    if confirm.top > space.trials:
        reason = f"the best {confirm.top} of {space.trials} configurations; allowed: at most {space.trials}"
        found.append(Fault(("confirm", "top"), reason))
    if confirm.epochs is not None and confirm.epochs < space.epochs:
        reason = f"{confirm.epochs} epochs, fewer than the {space.epochs} of the search; allowed: as many, or more"
        found.append(Fault(("confirm", "epochs"), reason))
    return found
