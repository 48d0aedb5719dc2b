"""SearchSpace: what a study searches, fixes and spends. Strict; read from YAML by tuning.space_file."""

import json
import math
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from vae.config import TrialConfig
from vae.data import AUTO, DATASETS

Scalar = bool | int | float | str
METRICS = ("val_elbo",)
MOST_TRIALS = 100_000
REFUSED_METRICS = {
    "val_loss": "it is D + beta * R, which depends on the hyperparameter beta",
    "train_loss": "it is D + beta * R, which depends on the hyperparameter beta",
    "train_elbo": "it is of the images the trial was trained on",
    "val_rate": "alone it is best for a model that ignores the image",
    "val_distortion": "alone it is best for a model without a prior",
}


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


def type_of(name: str) -> Any:
    """A hyperparameter's type with its range and meaning, as TrialConfig declares them."""
    field = SEARCHABLE[name]
    return Annotated[field.annotation, Field(description=field.description), *field.metadata]


# None stands for a key that is not there; a key with nothing behind it is a fault.
_Search = create_model(  # type: ignore[call-overload]
    "Search",
    __base__=_Strict,
    **{name: (Dimension, Field(None, description=field.description)) for name, field in SEARCHABLE.items()},
)
_Values = create_model(  # type: ignore[call-overload]
    "Values", __base__=_Strict, **{name: (type_of(name), None) for name in SEARCHABLE}
)


class SearchSpace(_Strict):
    """A study: what is searched, what is fixed, how long, who proposes and who stops."""

    description: str = Field(min_length=1, description="One sentence: the question the study answers.")
    dataset: Literal["auto", *DATASETS] = Field(  # type: ignore[valid-type]
        AUTO, description="auto: MNIST where it is on disk or can be downloaded, else digits."
    )
    metric: Literal["val_elbo"] = Field("val_elbo", description="Ranks the trials: ELBO at beta 1 on validation.")
    trials: int = Field(ge=1, le=MOST_TRIALS, description="How many configurations are tried.")
    epochs: int = Field(ge=1, le=100_000, description="Passes over the training split, at the most, per trial.")
    search: _Search = Field(description="The hyperparameters that vary.")
    fixed: _Values = Field(default_factory=_Values, description="Those that do not, where not the default.")
    scheduler: Scheduler = Field(Asha(type="asha"), description="Stops trials that will not win.")
    sampler: Sampler = Field(Tpe(type="tpe"), description="Proposes configurations.")
    baselines: list[_Values] = Field(
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
        return [*baselines, *(point for point in points if point not in baselines)]

    def config(self, params: dict[str, Any], seed: int) -> TrialConfig:
        """The trial of these searched values; `seed` where the space neither searches nor fixes one."""
        return TrialConfig(**{"seed": seed, **self.fixed_values, **params, "epochs": self.epochs})


def n_values(dimension: IntRange | FloatRange | Categorical) -> int:
    """How many values a dimension has; 0 where it has no step."""
    if isinstance(dimension, Categorical):
        return len(dimension.choices)
    return round((dimension.high - dimension.low) / dimension.step) + 1 if dimension.step else 0


def values_of(dimension: IntRange | FloatRange | Categorical) -> list[Any]:
    """Every value of a dimension, [] where it has no step."""
    if isinstance(dimension, Categorical):
        return list(dimension.choices)
    # Decimal: 0.1 + 2 * 0.1 is above 0.3 in binary, and Optuna takes no value above high.
    low, step = Decimal(str(dimension.low)), Decimal(str(dimension.step or 0))
    return [type(dimension.low)(low + i * step) for i in range(n_values(dimension))]


def grid_size(dimensions: dict[str, Any]) -> int:
    """How many points grid_points has, 0 where a dimension has no step."""
    return math.prod(n_values(dimension) for dimension in dimensions.values())


def grid_points(dimensions: dict[str, Any]) -> list[dict[str, Any]]:
    """The product of all dimensions' values; the last dimension varies fastest."""
    points: list[dict[str, Any]] = [{}]
    for name, dimension in dimensions.items():
        points = [{**point, name: value} for point in points for value in values_of(dimension)]
    return points


def json_schema() -> str:
    """The format as JSON Schema, for editors; search_spaces/schema.json is this text."""
    return json.dumps(SearchSpace.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
