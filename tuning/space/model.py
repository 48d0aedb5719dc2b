"""SearchSpace: what a study searches, fixes and spends. Strict; tuning.space.load reads it from YAML."""

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, create_model
from pydantic_core import PydanticCustomError, PydanticKnownError

from tuning.space.dimensions import AnyDimension, Categorical, Dimension, Strict, grid_points, grid_size, holds
from tuning.space.samplers import Sampler, Tpe
from tuning.space.schedulers import Asha, Scheduler
from vae.config import Mode, TrialConfig
from vae.datasets.names import AUTO, NAMES, canonical, is_folder

Metric = Literal["val_elbo", "val_distortion", "rate_distortion"]
METRICS: tuple[str, ...] = get_args(Metric)
MOST_TRIALS = 100_000
REFUSED_METRICS = {
    "val_loss": "it is D + beta * R, which depends on the hyperparameter beta",
    "train_loss": "it is D + beta * R, which depends on the hyperparameter beta",
    "train_elbo": "it is measured on the images the trial was trained on",
    "train_rate": "it is measured on the images the trial was trained on",
    "train_distortion": "it is measured on the images the trial was trained on",
    "val_rate": "alone it is best for a model that ignores the image",
    "val_noisy_elbo": "it depends on the noise, which is the trial's own",
    "val_noisy_rate": "it depends on the noise, which is the trial's own",
    "val_noisy_distortion": "it depends on the noise, which is the trial's own",
}

ANSI_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, the cursor
    r"|(?:\x1b[P\]X^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, links
    r"|\x1b[ -/]*[0-~]"
)
REORDERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # these show a line in another order


def _plain_line(text: str) -> str:
    """One line, without characters that steer a terminal: a space or a manifest may come from anybody."""
    kept = (
        character
        for character in ANSI_ESCAPE.sub("", text)
        if character.isspace() or not (unicodedata.category(character) == "Cc" or character in REORDERING)
    )
    line = " ".join("".join(kept).split())
    if not line:
        raise PydanticKnownError("string_too_short", {"min_length": 1})
    return line


def _dataset(name: str) -> str:
    """A built-in name, or a folder's absolute path, because a manifest is read from another working directory."""
    if name not in NAMES and not is_folder(name):
        raise PydanticCustomError("unknown_dataset", "no such dataset")
    return canonical(name)


_LOOKS_LIKE_A_PATH = r"^[.~]|/"  # an editor cannot see which folders there are
Dataset = Annotated[
    str,
    AfterValidator(_dataset),
    WithJsonSchema({"anyOf": [{"enum": list(NAMES)}, {"type": "string", "pattern": _LOOKS_LIKE_A_PATH}]}),
]

# `epochs` is the budget of the whole space, so it is neither searched nor fixed among the rest.
SEARCHABLE: dict[str, Any] = {name: field for name, field in TrialConfig.model_fields.items() if name != "epochs"}


def type_of(name: str) -> Any:
    """A hyperparameter's type with its range and meaning, as TrialConfig declares them."""
    field = SEARCHABLE[name]
    return Annotated[field.annotation, Field(description=field.description), *field.metadata]


# None stands for a key that is not there; a key with nothing behind it is a fault.
_Search = create_model(  # type: ignore[call-overload]
    "Search",
    __base__=Strict,
    **{name: (Dimension, Field(None, description=field.description)) for name, field in SEARCHABLE.items()},
)
_Values = create_model(  # type: ignore[call-overload]
    "Values", __base__=Strict, **{name: (type_of(name), None) for name in SEARCHABLE}
)


class Confirm(Strict):
    """The best configurations are trained again, with seeds that the search did not have, and ranked by their mean."""

    top: int = Field(5, ge=1, le=1000, description="How many of the best configurations.")
    seeds: int = Field(4, ge=2, le=100, description="Fresh seeds of each.")
    epochs: int | None = Field(
        None, ge=1, le=100_000, description="Of each trial, all of them; default: as many as in the search."
    )


def _confirm(value: Any) -> Any:
    """`confirm:` with nothing behind it wants the defaults, as --confirm does; a space without the key wants none."""
    return {} if value is None else value


Compare = Annotated[str, WithJsonSchema({"type": "string", "enum": list(SEARCHABLE)})]  # tuning.space.rules checks it


class SearchSpace(Strict):
    """A study: what is searched, what is fixed, how long, who proposes and who stops."""

    description: Annotated[str, AfterValidator(_plain_line)] = Field(
        min_length=1, description="One sentence: the question the study answers."
    )
    dataset: Dataset = Field(
        AUTO,
        description="auto: MNIST where it is on disk or can be downloaded, else digits. Or a folder of images: a path "
        "such as ./faces, relative to the working directory.",
    )
    metric: Metric = Field(
        "val_elbo",
        description="Ranks the trials. val_elbo: ELBO at beta 1 on validation; val_distortion: where not all have a "
        "KL; rate_distortion: two objectives, val_rate and val_distortion, and their Pareto front.",
    )
    trials: int = Field(ge=1, le=MOST_TRIALS, description="How many configurations are tried.")
    repeats: int = Field(
        1, ge=1, le=100, description="Each configuration is run with so many seeds, and ranked by the mean."
    )
    epochs: int = Field(ge=1, le=100_000, description="Passes over the training split, at the most, per trial.")
    search: _Search = Field(description="The hyperparameters that vary.")
    fixed: _Values = Field(default_factory=_Values, description="Those that do not, where not the default.")
    scheduler: Scheduler = Field(Asha(type="asha"), description="Stops trials that will not win.")
    sampler: Sampler = Field(Tpe(type="tpe"), description="Proposes configurations.")
    baselines: list[_Values] = Field(
        default_factory=list, description="Configurations tried first; what one leaves out is proposed."
    )
    keep_models: int = Field(
        50,
        ge=1,
        le=MOST_TRIALS,
        description="Models that stay on storage: those of so many best trials, of the front of rate and distortion, "
        "and of the best trial at each value that figures compare.",
    )

    confirm: Annotated[Confirm | None, BeforeValidator(_confirm)] = Field(
        None,
        description="After the search its best configurations are trained again with fresh seeds, none stopped early.",
    )
    compare: Compare | None = Field(
        None,
        description="The report's sheet sets the best models along this searched hyperparameter side by side: one at "
        "each value, or in each fifth of its range. Without it: the front of two objectives, or the best models.",
    )

    @property
    def n_runs(self) -> int:
        """Trials in all: every configuration with every seed."""
        return self.trials * self.repeats

    def confirmed_by(self, configurations: list[dict[str, Any]] | None = None) -> "SearchSpace":
        """The space that trains these configurations again, as `confirm` says; None: the search has not found them yet,
        and there will be as many as `confirm` wants."""
        assert self.confirm is not None
        changes = {
            "description": f"The best of a search with {self.confirm.seeds} fresh seeds each.",
            "trials": self.confirm.top if configurations is None else len(configurations),
            "repeats": self.confirm.seeds,
            "epochs": self.confirm.epochs or self.epochs,
            "fixed": {name: value for name, value in self.fixed_values.items() if name != "seed"},
            "scheduler": {"type": "none"},
            "sampler": {"type": "random"},  # it proposes nothing: every configuration is a baseline
            "baselines": configurations or [],
        }
        return SearchSpace.model_validate(self.model_dump(exclude_none=True, exclude={"confirm"}) | changes)

    @property
    def dimensions(self) -> dict[str, AnyDimension]:
        """The searched hyperparameters in TrialConfig's order, the conditional ones after all others."""
        searched = {name: value for name in SEARCHABLE if (value := getattr(self.search, name)) is not None}
        return dict(sorted(searched.items(), key=lambda item: bool(item[1].when)))

    @property
    def fixed_values(self) -> dict[str, Any]:
        return dict(self.fixed.model_dump(exclude_none=True))

    @property
    def constants(self) -> dict[str, Any]:
        """The value of each hyperparameter where it is not searched; without those that are searched everywhere."""
        values = {name: field.default for name, field in SEARCHABLE.items()} | self.fixed_values
        everywhere = {name for name, dimension in self.dimensions.items() if not dimension.when}
        return {name: value for name, value in values.items() if name not in everywhere}

    def applies(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether this dimension is searched in a configuration with these searched values."""
        return holds(self.dimensions[name].when, {**self.constants, **values})

    def words(self, name: str) -> set[str]:
        """The values that a hyperparameter of words can have in a trial, searched or not."""
        searched = self.dimensions.get(name)
        choices = searched.choices if isinstance(searched, Categorical) else []
        return {*map(str, choices), *([self.constants[name]] if name in self.constants else [])}

    @property
    def modes(self) -> set[Mode]:
        """The modes that a trial can have."""
        return {mode for mode in get_args(Mode) if mode in self.words("mode")}

    @property
    def grid(self) -> list[dict[str, Any]]:
        """Every combination of the searched values; a conditional dimension varies only where it applies."""
        return grid_points(self.dimensions, self.constants)

    @property
    def grid_size(self) -> int:
        """How many points the grid has, 0 where a dimension has no step."""
        return grid_size(self.dimensions, self.constants)

    @property
    def first_trials(self) -> list[dict[str, Any]]:
        """What is tried before the sampler decides: the baselines, then, for a grid, every point of it."""
        baselines = [dict(values.model_dump(exclude_none=True)) for values in self.baselines]
        points = self.grid if self.sampler.type == "grid" else []
        return [*baselines, *(point for point in points if point not in baselines)]

    def config(self, params: dict[str, Any], seed: int) -> TrialConfig:
        """The trial of these searched values, all that apply; `seed` where the space neither searches nor fixes it."""
        return TrialConfig(**{"seed": seed, **self.fixed_values, **params, "epochs": self.epochs})


def json_schema() -> str:
    """The format as JSON Schema, for editors; search_spaces/schema.json is this text."""
    return json.dumps(SearchSpace.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
