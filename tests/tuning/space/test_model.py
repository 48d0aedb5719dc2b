import json
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.material.paths import REPOSITORY
from tuning.space.dimensions import Categorical, FloatRange, IntRange
from tuning.space.model import SEARCHABLE, SearchSpace, json_schema
from vae.config import HYPERPARAMETERS, TrialConfig

SPACES = REPOSITORY / "search_spaces"


def space(**changes: Any) -> SearchSpace:
    content = {
        "description": "A space.",
        "trials": 4,
        "epochs": 5,
        "search": {"beta": {"type": "float", "low": 0.5, "high": 2.0}},
        **changes,
    }
    return SearchSpace.model_validate(content)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\x1b[31mred\x1b[0m and \x1b[1;38;5;196mbold\x1b[m", "red and bold"),
        ("\x9b31mred\x9b0m", "red"),  # the C1 form
        ("\x1b]0;your terminal\x07title", "title"),
        ("\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9d0;your terminal\x9ctitle", "title"),
        ("\x1bPdevice\x1b\\control", "control"),
        ("\x1bcreset \x1b(0lines \x1b7", "reset lines"),
        ("\x1b\x1b[2Jtwice", "twice"),
        ("\x1b\x00[2Japart", "[2Japart"),
        ("\x1b]0;without an end", "0;without an end"),
        ("over\rwritten\x08 \x7fand\x00 rung\x07", "over written and rung"),
        ("two\nlines,\ttabs\x0b\x0c\x1c\x85\u2028and\u00a0more", "two lines, tabs and more"),
        ("".join(map(chr, range(0x80, 0x85))) + "C1", "C1"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
        ("β-VAE: é, 日本語, 👩\u200d🔬", "β-VAE: é, 日本語, 👩\u200d🔬"),
        ("Beta 0.01 to 4 - how [it] leaves;", "Beta 0.01 to 4 - how [it] leaves;"),
    ],
)
def test_a_description_is_one_line_that_does_not_steer_a_terminal(text: str, plain: str) -> None:
    """Wherever it is from: a file, or the manifest of a sweep that is resumed."""
    assert space(description=text).description == plain


@given(st.text(st.sampled_from("\x1b[]P\\;0m\x07\x9b\x9d\x9c\x7f\n\u202ea ")))
def test_no_description_keeps_a_character_that_steers_a_terminal(text: str) -> None:
    try:
        line = space(description=text).description
    except ValidationError:
        return
    assert set(line) <= set("[]P\\;0ma ")


def test_a_description_of_control_characters_alone_is_empty() -> None:
    with pytest.raises(ValidationError, match="at least 1 character"):
        space(description="\x1b[31m \x7f\n")


def test_every_hyperparameter_but_the_epochs_can_be_searched_in_the_order_of_trial_config() -> None:
    assert list(SEARCHABLE) == [name for name in HYPERPARAMETERS if name != "epochs"]


def test_dimensions_are_those_searched_in_trial_configs_order() -> None:
    searched = space(
        search={
            "beta": {"type": "float", "low": 0.5, "high": 2.0},
            "activation": {"type": "categorical", "choices": ["relu", "tanh"]},
            "latent_size": {"type": "int", "low": 2, "high": 8},
        }
    )
    assert searched.dimensions == {
        "latent_size": IntRange(type="int", low=2, high=8),
        "activation": Categorical(type="categorical", choices=["relu", "tanh"]),
        "beta": FloatRange(type="float", low=0.5, high=2.0),
    }
    assert list(searched.dimensions) == ["latent_size", "activation", "beta"]


def test_a_config_takes_searched_before_fixed_before_default_values() -> None:
    config = space(fixed={"batch_size": 32, "seed": 9}).config({"beta": 0.75}, seed=3)
    assert config == TrialConfig(beta=0.75, batch_size=32, seed=9, epochs=5)


def test_the_sweeps_seed_is_the_trials_where_the_space_says_none() -> None:
    assert space().config({"beta": 1.0}, seed=3).seed == 3
    assert space().config({"beta": 1.0, "seed": 8}, seed=3).seed == 8


CONDITIONAL = {
    "noise_factor": {"type": "float", "low": 0.1, "high": 0.5, "step": 0.2, "when": {"noise": ["gaussian"]}},
    "noise": {"type": "categorical", "choices": ["none", "gaussian"]},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5, "when": {"hidden_layers": 2, "noise": "none"}},
    "beta": {"type": "float", "low": 0.5, "high": 2.0},
}


def test_conditional_dimensions_stand_after_all_others_each_part_in_trial_configs_order() -> None:
    assert list(space(search=CONDITIONAL).dimensions) == ["noise", "beta", "dropout", "noise_factor"]


def test_a_dimension_applies_where_every_condition_is_met_by_searched_fixed_or_default_values() -> None:
    one_layer, two_layers = space(search=CONDITIONAL), space(search=CONDITIONAL, fixed={"hidden_layers": 2})
    for searched in (one_layer, two_layers):
        assert searched.applies("beta", {})
        assert searched.applies("noise_factor", {"noise": "gaussian", "beta": 1.0})
        assert not searched.applies("noise_factor", {"noise": "none"})
    assert not one_layer.applies("dropout", {"noise": "none"})
    assert two_layers.applies("dropout", {"noise": "none"})
    assert not two_layers.applies("dropout", {"noise": "gaussian"})


def test_a_condition_is_not_met_by_what_is_searched_and_not_yet_known() -> None:
    """Not even where the default would meet it: noise is none by default."""
    assert not space(search=CONDITIONAL, fixed={"hidden_layers": 2}).applies("dropout", {"beta": 1.0})


def test_constants_are_all_hyperparameters_but_those_searched_everywhere() -> None:
    constants = space(search=CONDITIONAL, fixed={"noise_factor": 0.7, "seed": 5}).constants
    assert set(SEARCHABLE) - set(constants) == {"noise", "beta"}
    assert (constants["noise_factor"], constants["dropout"], constants["seed"]) == (0.7, 0.0, 5)


@pytest.mark.parametrize(
    ("parts", "modes"),
    [
        ({}, {"vae"}),
        ({"fixed": {"mode": "autoencoder"}}, {"autoencoder"}),
        ({"search": {"mode": {"type": "categorical", "choices": ["vae", "decoder_only"]}}}, {"vae", "decoder_only"}),
        (
            {"search": {"mode": {"type": "categorical", "choices": ["autoencoder"], "when": {"latent_size": 20}}}},
            {"vae", "autoencoder"},
        ),
        (
            {
                "search": {"mode": {"type": "categorical", "choices": ["autoencoder"], "when": {"latent_size": 20}}},
                "fixed": {"mode": "decoder_only"},
            },
            {"decoder_only", "autoencoder"},
        ),
    ],
)
def test_modes_are_those_that_a_trial_can_have(parts: dict[str, Any], modes: set[str]) -> None:
    assert space(**parts).modes == modes


def test_runs_are_configurations_times_seeds() -> None:
    assert space().n_runs == 4
    assert space(repeats=3).n_runs == 12


def test_a_grid_varies_a_conditional_dimension_only_where_it_applies() -> None:
    search = {name: CONDITIONAL[name] for name in ("noise", "noise_factor")}
    grid = space(search=search, sampler={"type": "grid"})
    points = [
        {"noise": "none"},
        {"noise": "gaussian", "noise_factor": 0.1},
        {"noise": "gaussian", "noise_factor": 0.3},
        {"noise": "gaussian", "noise_factor": 0.5},
    ]
    assert grid.grid == grid.first_trials == points
    assert grid.grid_size == 4
    first = space(search=search, sampler={"type": "grid"}, baselines=points[2:3]).first_trials
    assert first == [points[2], points[0], points[1], points[3]]


def test_a_baseline_on_the_grid_comes_first_and_once() -> None:
    grid = space(
        sampler={"type": "grid"},
        search={"latent_size": {"type": "int", "low": 2, "high": 5}},
        baselines=[{"latent_size": 4}],
    )
    assert [point["latent_size"] for point in grid.first_trials] == [4, 2, 3, 5]


def test_a_sampler_other_than_grid_is_given_the_baselines_only() -> None:
    assert space(baselines=[{"beta": 1.0}]).first_trials == [{"beta": 1.0}]
    assert space().first_trials == []


def test_a_space_survives_the_manifests_json() -> None:
    for path in SPACES.glob("*.yaml"):
        shipped = SearchSpace.model_validate(yaml.safe_load(path.read_text()))
        content = json.loads(json.dumps(shipped.model_dump(exclude_none=True)))
        assert SearchSpace.model_validate(content) == shipped


def test_the_schema_file_is_what_the_module_prints() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "tuning.space.model"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert printed == json_schema()
    assert (SPACES / "schema.json").read_text() == printed, (
        "run: python -m tuning.space.model > search_spaces/schema.json"
    )


def test_the_schema_accepts_every_shipped_space() -> None:
    schema = json.loads(json_schema())
    for path in SPACES.glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)


@pytest.mark.parametrize("dataset", ["auto", "freyface", "./faces", "~/faces", "/data/faces", "my/faces"])
def test_the_schema_accepts_every_dataset_and_what_looks_like_a_path(dataset: str) -> None:
    content = {**yaml.safe_load((SPACES / "beta_study.yaml").read_text()), "dataset": dataset}
    jsonschema.validate(content, json.loads(json_schema()))


@pytest.mark.parametrize("metric", ["val_elbo", "val_distortion", "rate_distortion"])
@pytest.mark.parametrize("when", [{"beta": 1}, {"noise": "gaussian", "latent_size": [2, 5]}])
def test_the_schema_accepts_conditions_repeats_and_every_metric(metric: str, when: dict[str, Any]) -> None:
    content = {**yaml.safe_load((SPACES / "beta_study.yaml").read_text()), "metric": metric, "repeats": 3}
    for dimension in (
        {"type": "float", "low": 0.1, "high": 0.5},
        {"type": "categorical", "choices": [0.1]},
        {"type": "int", "low": 1, "high": 2},
    ):
        content["search"] = {"noise_factor": {**dimension, "when": when}}
        jsonschema.validate(content, json.loads(json_schema()))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"trials": 0}, "trials"),
        ({"repeats": 0}, "repeats"),
        ({"search": {"beta": {"type": "float", "low": 0.5, "high": 2.0, "when": "noise"}}}, "search"),
        ({"search": {"beta": {"type": "float", "low": 0.5, "high": 2.0, "when": {"noise": {"a": 1}}}}}, "search"),
        ({"metric": "val_loss"}, "metric"),
        ({"dataset": "minst"}, "dataset"),
        ({"search": {"betta": {"type": "float", "low": 0.5, "high": 2.0}}}, "search"),
        ({"search": {"beta": None}}, "search"),
        ({"fixed": {"batch_size": 0}}, "fixed"),
        ({"scheduler": {"type": "asha", "grace": 3}}, "scheduler"),
        ({"sampler": {"type": "tpee"}}, "sampler"),
    ],
)
def test_the_schema_refuses_what_an_editor_should_underline(changes: dict[str, Any], where: str) -> None:
    content = {**yaml.safe_load((SPACES / "beta_study.yaml").read_text()), **changes}
    with pytest.raises(jsonschema.ValidationError) as refused:
        jsonschema.validate(content, json.loads(json_schema()))
    assert refused.value.absolute_path[0] == where


def test_the_schema_tells_an_editor_what_each_hyperparameter_means() -> None:
    definitions = json.loads(json_schema())["$defs"]
    for name, field in TrialConfig.model_fields.items():
        if name != "epochs":
            assert definitions["Search"]["properties"][name]["description"] == field.description
            assert definitions["Values"]["properties"][name]["description"] == field.description
