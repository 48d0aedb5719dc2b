import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tuning.space import (
    SEARCHABLE,
    Categorical,
    FloatRange,
    IntRange,
    SearchSpace,
    grid_points,
    grid_size,
    json_schema,
    n_values,
    values_of,
)
from vae.config import HYPERPARAMETERS, TrialConfig

ROOT = Path(__file__).resolve().parent.parent
SPACES = ROOT / "search_spaces"


def space(**changes: Any) -> SearchSpace:
    content = {
        "description": "A space.",
        "trials": 4,
        "epochs": 5,
        "search": {"beta": {"type": "float", "low": 0.5, "high": 2.0}},
        **changes,
    }
    return SearchSpace.model_validate(content)


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


@pytest.mark.parametrize(
    ("low", "high", "step", "expected"),
    [
        (0.1, 0.3, 0.1, [0.1, 0.2, 0.3]),
        (0.0, 1.0, 0.1, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (1e-4, 5e-4, 1e-4, [1e-4, 2e-4, 3e-4, 4e-4, 5e-4]),
        (2.0, 2.0, 0.5, [2.0]),
    ],
)
def test_the_values_of_a_stepped_range_are_those_one_would_write(
    low: float, high: float, step: float, expected: list[float]
) -> None:
    dimension = FloatRange(type="float", low=low, high=high, step=step)
    assert values_of(dimension) == expected
    assert n_values(dimension) == len(expected)


def test_the_values_of_whole_numbers_and_choices() -> None:
    assert values_of(IntRange(type="int", low=64, high=256, step=64)) == [64, 128, 192, 256]
    assert values_of(Categorical(type="categorical", choices=["tanh", "relu"])) == ["tanh", "relu"]


def test_a_range_without_a_step_has_no_list_of_values() -> None:
    assert values_of(FloatRange(type="float", low=0.0, high=1.0)) == []
    assert grid_size({"beta": FloatRange(type="float", low=0.0, high=1.0)}) == 0


@given(st.integers(-(10**4), 10**4), st.integers(1, 500), st.integers(0, 60), st.integers(0, 4))
def test_no_value_of_a_stepped_range_leaves_it(low: int, step: int, n_steps: int, decimals: int) -> None:
    unit = 10**decimals
    high = (low + n_steps * step) / unit
    values = values_of(FloatRange(type="float", low=low / unit, high=high, step=step / unit))
    assert len(values) == n_steps + 1
    assert (values[0], values[-1]) == (low / unit, high)
    assert values == [(low + i * step) / unit for i in range(n_steps + 1)]


def test_a_grid_is_the_product_with_the_last_dimension_fastest() -> None:
    dimensions = {
        "latent_size": IntRange(type="int", low=2, high=4, step=2),
        "activation": Categorical(type="categorical", choices=["relu", "tanh"]),
    }
    assert grid_points(dimensions) == [
        {"latent_size": 2, "activation": "relu"},
        {"latent_size": 2, "activation": "tanh"},
        {"latent_size": 4, "activation": "relu"},
        {"latent_size": 4, "activation": "tanh"},
    ]
    assert grid_size(dimensions) == 4


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
        [sys.executable, "-m", "tuning.space"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert printed == json_schema()
    assert (SPACES / "schema.json").read_text() == printed, "run: python -m tuning.space > search_spaces/schema.json"


def test_the_schema_accepts_every_shipped_space() -> None:
    schema = json.loads(json_schema())
    for path in SPACES.glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"trials": 0}, "trials"),
        ({"metric": "val_loss"}, "metric"),
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
