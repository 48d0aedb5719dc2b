"""SearchSpace: what a study searches, fixes and spends. Strict; read from YAML by tuning.space_file."""

import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from vae.config import TrialConfig
from vae.data import AUTO, DATASETS

Scalar = bool | int | float | str
Path = tuple[str | int, ...]
METRICS = ("val_elbo",)
REFUSED_METRICS = {
    "val_loss": "it is D + beta * R, which depends on the hyperparameter beta",
    "train_loss": "it is D + beta * R, which depends on the hyperparameter beta",
    "train_elbo": "it is of the images the trial was trained on",
    "val_rate": "alone it is best for a model that ignores the image",
    "val_distortion": "alone it is best for a model without a prior",
}


class Fault(NamedTuple):
    """One thing wrong with a space: where in it, and what would be right."""

    path: Path
    message: str


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class IntRange(_Strict):
    """Whole numbers from low to high, both included."""

    type: Literal["int"]
    low: int
    high: int
    step: int = Field(1, ge=1, description="Distance between values; with log: true it stays 1.")
    log: bool = Field(False, description="Search on a logarithmic scale.")


class FloatRange(_Strict):
    """Numbers from low to high, both included."""

    type: Literal["float"]
    low: float
    high: float
    step: float | None = Field(None, gt=0, description="Distance between values; none: any value between.")
    log: bool = Field(False, description="Search on a logarithmic scale.")


class Categorical(_Strict):
    """One of a list."""

    type: Literal["categorical"]
    choices: list[Scalar] = Field(min_length=1)


Dimension = Annotated[IntRange | FloatRange | Categorical, Field(discriminator="type")]


class Asha(_Strict):
    """Asynchronous successive halving (Li et al. 2020): stops the lower part of the trials at each rung."""

    type: Literal["asha"]
    grace_epochs: int = Field(3, ge=1, description="Epochs every trial gets: the first rung.")
    reduction_factor: int = Field(3, ge=2, description="One trial in so many passes a rung; rungs grow by it.")


class Hyperband(_Strict):
    """Asynchronous Hyperband: ASHA in several brackets, each with a later first rung than the one before."""

    type: Literal["hyperband"]
    grace_epochs: int = Field(1, ge=1, description="Epochs every trial gets in the first bracket.")
    reduction_factor: int = Field(3, ge=2, description="One trial in so many passes a rung.")
    brackets: int = Field(3, ge=1, le=5, description="Number of brackets.")


class Median(_Strict):
    """Stops a trial whose best is below the median of the running means of the others at that epoch."""

    type: Literal["median"]
    grace_epochs: int = Field(3, ge=1, description="Epochs every trial gets.")
    min_trials: int = Field(5, ge=1, description="Trials that must have come as far before one is stopped.")


class NoScheduler(_Strict):
    """Every trial runs all its epochs."""

    type: Literal["none"]


Scheduler = Annotated[Asha | Hyperband | Median | NoScheduler, Field(discriminator="type")]


class Tpe(_Strict):
    """Tree-structured Parzen estimator."""

    type: Literal["tpe"]
    startup_trials: int = Field(10, ge=1, description="Random trials before the model proposes.")
    candidates: int = Field(24, ge=1, description="Candidates per proposal; fewer are faster at thousands of trials.")


class Random(_Strict):
    """Independent draws."""

    type: Literal["random"]


class Grid(_Strict):
    """Every combination once, in the order of the file; each dimension categorical or with a step."""

    type: Literal["grid"]


class Gp(_Strict):
    """Gaussian process."""

    type: Literal["gp"]
    startup_trials: int = Field(10, ge=1, description="Random trials before the model proposes.")


class CmaEs(_Strict):
    """Covariance matrix adaptation; numbers only."""

    type: Literal["cmaes"]
    startup_trials: int = Field(10, ge=1, description="Random trials before the model proposes.")


Sampler = Annotated[Tpe | Random | Grid | Gp | CmaEs, Field(discriminator="type")]

# `epochs` is the budget of the whole space, so it is neither searched nor fixed among the rest.
SEARCHABLE: dict[str, Any] = {name: field for name, field in TrialConfig.model_fields.items() if name != "epochs"}


def _type_of(name: str) -> Any:
    """A hyperparameter's type with its range and meaning, as TrialConfig declares them."""
    field = SEARCHABLE[name]
    return Annotated[field.annotation, Field(description=field.description), *field.metadata]


_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(_type_of(name), config=ConfigDict(strict=True, allow_inf_nan=False)) for name in SEARCHABLE
}
_Search = create_model(  # type: ignore[call-overload]
    "Search",
    __base__=_Strict,
    **{name: (Dimension | None, Field(None, description=field.description)) for name, field in SEARCHABLE.items()},
)
_Values = create_model(  # type: ignore[call-overload]
    "Values", __base__=_Strict, **{name: (_type_of(name) | None, None) for name in SEARCHABLE}
)


class SearchSpace(_Strict):
    """A study: what is searched, what is fixed, how long, who proposes and who stops."""

    description: str = Field(min_length=1, description="One sentence: the question the study answers.")
    dataset: Literal["auto", *DATASETS] = Field(  # type: ignore[valid-type]
        AUTO, description="auto: MNIST where it is on disk or can be downloaded, else digits."
    )
    metric: Literal["val_elbo"] = Field("val_elbo", description="Ranks the trials: ELBO at beta 1 on validation.")
    trials: int = Field(ge=1, le=100_000, description="How many configurations are tried.")
    epochs: int = Field(ge=1, le=100_000, description="Passes over the training split, at the most, per trial.")
    search: _Search = Field(description="The hyperparameters that vary.")  # type: ignore[valid-type]
    fixed: _Values = Field(default_factory=_Values, description="Those that do not, where not the default.")  # type: ignore[valid-type]
    scheduler: Scheduler = Field(Asha(type="asha"), description="Stops trials that will not win.")
    sampler: Sampler = Field(Tpe(type="tpe"), description="Proposes configurations.")
    baselines: list[_Values] = Field(  # type: ignore[valid-type]
        default_factory=list, description="Configurations tried first; what one leaves out is proposed."
    )

    @property
    def dimensions(self) -> dict[str, IntRange | FloatRange | Categorical]:
        """The searched hyperparameters, in TrialConfig's order."""
        return {name: value for name in SEARCHABLE if (value := getattr(self.search, name)) is not None}

    @property
    def fixed_values(self) -> dict[str, Any]:
        return dict(self.fixed.model_dump(exclude_none=True))

    @property
    def first_trials(self) -> list[dict[str, Any]]:
        """What is tried before the sampler decides: the baselines, then, for a grid, every point of it."""
        baselines = [dict(values.model_dump(exclude_none=True)) for values in self.baselines]
        points = grid_points(self.dimensions) if self.sampler.type == "grid" else []
        return baselines + [point for point in points if point not in baselines]

    def config(self, params: dict[str, Any], seed: int) -> TrialConfig:
        """The trial of these searched values; `seed` where the space neither searches nor fixes one."""
        return TrialConfig(**{"seed": seed, **self.fixed_values, **params, "epochs": self.epochs})


def values_of(dimension: IntRange | FloatRange | Categorical) -> list[Any]:
    """Every value of a dimension, [] where it has no step."""
    if isinstance(dimension, Categorical):
        return list(dimension.choices)
    if isinstance(dimension, IntRange):
        return list(range(dimension.low, dimension.high + 1, dimension.step))
    if dimension.step is None:
        return []
    n_steps = round((dimension.high - dimension.low) / dimension.step)
    return [dimension.low + i * dimension.step for i in range(n_steps + 1)]


def grid_points(dimensions: dict[str, Any]) -> list[dict[str, Any]]:
    """The product of all dimensions' values; the last dimension varies fastest."""
    points: list[dict[str, Any]] = [{}]
    for name, dimension in dimensions.items():
        points = [{**point, name: value} for point in points for value in values_of(dimension)]
    return points


def faults_of(space: SearchSpace) -> list[Fault]:
    """What the types cannot see: the rules between keys, and against TrialConfig's ranges."""
    return [
        *(fault for name, dimension in space.dimensions.items() for fault in _dimension_faults(name, dimension)),
        *_search_faults(space),
        *_sampler_faults(space),
        *_baseline_faults(space),
    ]


def _dimension_faults(name: str, dimension: IntRange | FloatRange | Categorical) -> Iterator[Fault]:
    path: Path = ("search", name)
    wants = "float" if SEARCHABLE[name].annotation is float else "int"
    if isinstance(dimension, Categorical):
        for index, choice in enumerate(dimension.choices):
            if problem := value_problem(name, choice):
                yield Fault((*path, "choices", index), problem)
            if choice in dimension.choices[:index]:
                yield Fault((*path, "choices", index), f"{choice!r} is there twice")
        return
    if SEARCHABLE[name].annotation not in (int, float):
        yield Fault((*path, "type"), f"'{dimension.type}' for {name}, which is not a number; allowed: 'categorical'")
        return
    if dimension.type != wants:
        yield Fault((*path, "type"), f"'{dimension.type}' for {name}; allowed: '{wants}', 'categorical'")
        return
    for end in ("low", "high"):
        if problem := value_problem(name, getattr(dimension, end)):
            yield Fault((*path, end), problem)
    yield from _range_faults(path, dimension)


def _range_faults(path: Path, dimension: IntRange | FloatRange) -> Iterator[Fault]:
    low, high, step = dimension.low, dimension.high, dimension.step
    if low > high:
        yield Fault((*path, "low"), f"low {low} is above high {high}; low must not be above high")
    if dimension.log and low <= 0:
        yield Fault((*path, "low"), f"{low} with log: true; a logarithmic scale needs low above 0")
    if dimension.log and step not in (None, 1):
        yield Fault((*path, "step"), f"{step} with log: true; a logarithmic scale has no step: leave one of them out")
    elif step is not None and low <= high and not _divides(step, high - low):
        yield Fault((*path, "step"), f"{step} does not divide high - low = {high - low}")


def _divides(step: float, span: float) -> bool:
    return math.isclose(round(span / step) * step, span, rel_tol=1e-9, abs_tol=1e-12)


def value_problem(name: str, value: Any) -> str:
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


def _sampler_faults(space: SearchSpace) -> Iterator[Fault]:
    if space.sampler.type == "cmaes":
        for name, dimension in space.dimensions.items():
            if dimension.type == "categorical":
                yield Fault(("search", name, "type"), "'categorical' with sampler cmaes, which searches numbers only")
    if space.sampler.type != "grid":
        return
    endless = [name for name, dimension in space.dimensions.items() if not values_of(dimension)]
    for name in endless:
        yield Fault(("search", name), "no step with sampler grid; a grid needs a step or choices in every dimension")
    n_points = len(space.first_trials) if not endless else space.trials
    if space.trials != n_points:
        yield Fault(("trials",), f"{space.trials} with sampler grid, which has {n_points} points; allowed: {n_points}")


def _baseline_faults(space: SearchSpace) -> Iterator[Fault]:
    for index, values in enumerate(space.baselines):
        for name, value in values.model_dump(exclude_none=True).items():
            path: Path = ("baselines", index, name)
            dimension = space.dimensions.get(name)
            if dimension is None:
                yield Fault(path, f"{name} is not searched; a baseline gives values of searched hyperparameters")
            elif isinstance(dimension, Categorical) and value not in dimension.choices:
                yield Fault(path, f"{value!r} is not a choice; allowed: {', '.join(map(repr, dimension.choices))}")
            elif not isinstance(dimension, Categorical) and not dimension.low <= value <= dimension.high:
                yield Fault(path, f"{value} is outside the search, {dimension.low} to {dimension.high}")
    if len(space.baselines) > space.trials:
        yield Fault(("baselines",), f"{len(space.baselines)} of them and {space.trials} trials; allow more trials")


def json_schema() -> str:
    """The format as JSON Schema, for editors; search_spaces/schema.json is this text."""
    return json.dumps(SearchSpace.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
