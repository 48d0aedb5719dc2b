import time
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.space.dimensions import (
    AnyDimension,
    Categorical,
    FloatRange,
    IntRange,
    condition,
    contains,
    grid_points,
    grid_size,
    holds,
    n_values,
    values_of,
)
from tuning.space.model import SearchSpace


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
    assert n_values(FloatRange(type="float", low=0.0, high=1.0)) == 0


@given(st.integers(-(10**4), 10**4), st.integers(1, 500), st.integers(0, 60), st.integers(0, 4))
def test_no_value_of_a_stepped_range_leaves_it(low: int, step: int, n_steps: int, decimals: int) -> None:
    unit = 10**decimals
    high = (low + n_steps * step) / unit
    values = values_of(FloatRange(type="float", low=low / unit, high=high, step=step / unit))
    assert len(values) == n_steps + 1
    assert (values[0], values[-1]) == (low / unit, high)
    assert values == [(low + i * step) / unit for i in range(n_steps + 1)]


def test_the_values_of_a_range_as_wide_as_floats_are_counted() -> None:
    assert n_values(FloatRange(type="float", low=-1e308, high=1e308, step=1e308)) == 3


@pytest.mark.parametrize(
    ("dimension", "inside", "outside"),
    [
        (Categorical(type="categorical", choices=["relu", "tanh"]), ["relu", "tanh"], ["elu", 1]),
        (Categorical(type="categorical", choices=[1, 2]), [1, 2.0], [3, "1"]),
        (IntRange(type="int", low=64, high=256, step=64), [64, 192, 256], [63, 100, 320, "64"]),
        (IntRange(type="int", low=2, high=64, log=True), [2, 33, 64], [1, 65]),
        (FloatRange(type="float", low=0.1, high=0.5), [0.1, 0.11, 0.5], [0.09, 0.51, "0.1"]),
        (FloatRange(type="float", low=0.1, high=0.7, step=0.2), [0.1, 0.3, 0.5, 0.7], [0.2, 0.4, 0.9]),
    ],
)
def test_a_dimension_contains_its_values_and_no_others(
    dimension: AnyDimension, inside: list[Any], outside: list[Any]
) -> None:
    assert [value for value in inside + outside if contains(dimension, value)] == inside


@given(st.integers(-50, 50), st.integers(1, 20), st.integers(0, 30), st.integers(0, 3))
def test_a_stepped_range_contains_exactly_its_values(low: int, step: int, n_steps: int, decimals: int) -> None:
    unit = 10**decimals
    dimension = FloatRange(type="float", low=low / unit, high=(low + n_steps * step) / unit, step=step / unit)
    for tick in range(low - step, low + (n_steps + 2) * step):
        is_on_it = 0 <= tick - low <= n_steps * step and (tick - low) % step == 0
        assert contains(dimension, tick / unit) == is_on_it


def test_a_condition_holds_where_each_hyperparameter_has_a_value_of_its_own() -> None:
    when: dict[str, Any] = {"noise": ["gaussian", "salt_pepper"], "latent_size": 2}
    assert holds(when, {"noise": "gaussian", "latent_size": 2, "beta": 1.0})
    assert not holds(when, {"noise": "gaussian", "latent_size": 3})
    assert not holds(when, {"noise": "none", "latent_size": 2})
    assert not holds(when, {"latent_size": 2})
    assert holds(None, {})


def test_a_condition_in_words() -> None:
    assert condition({"noise": ["gaussian", "salt_pepper"]}) == "noise is gaussian or salt_pepper"
    assert condition({"noise": "none", "latent_size": [2, 5]}) == "noise is none, and latent_size is 2 or 5"


# ---------------------------------------------------------------- grids

MOST_SEEDS = 2**32


def test_a_grid_is_the_product_with_the_last_dimension_fastest() -> None:
    dimensions = {
        "latent_size": IntRange(type="int", low=2, high=4, step=2),
        "activation": Categorical(type="categorical", choices=["relu", "tanh"]),
    }
    assert grid_points(dimensions, {}) == [
        {"latent_size": 2, "activation": "relu"},
        {"latent_size": 2, "activation": "tanh"},
        {"latent_size": 4, "activation": "relu"},
        {"latent_size": 4, "activation": "tanh"},
    ]
    assert grid_size(dimensions, {}) == 4


def test_a_grid_of_nothing_is_one_point() -> None:
    assert grid_points({}, {}) == [{}]
    assert grid_size({}, {}) == 1


def test_a_dimension_without_a_step_has_no_grid() -> None:
    endless = FloatRange(type="float", low=0.0, high=1.0)
    choices = Categorical(type="categorical", choices=[1, 2])
    assert grid_size({"beta": endless}, {}) == 0
    assert grid_size({"latent_size": choices, "beta": endless.model_copy(update={"when": {"latent_size": 2}})}, {}) == 0


def test_billions_of_points_are_counted_without_being_made() -> None:
    dimensions = {
        "seed": IntRange(type="int", low=0, high=MOST_SEEDS - 1),
        "latent_size": IntRange(type="int", low=1, high=1024),
        "beta": FloatRange(type="float", low=1.0, high=2.0, step=0.5, when={"seed": [3, 4], "latent_size": [1, 2000]}),
        "dropout": FloatRange(type="float", low=0.1, high=0.5, step=0.1, when={"seed": [4, 5]}),
    }
    # By seed: 3: beta where the latent size is 1; 4: the same, each with five dropouts; 5: five dropouts.
    plain, of_3 = (MOST_SEEDS - 3) * 1024, 1023 + 3
    started = time.perf_counter()
    assert grid_size(dimensions, {}) == plain + of_3 + 5 * of_3 + 5 * 1024
    assert time.perf_counter() - started < 1


def test_many_conditions_that_each_name_many_values_are_counted_without_looking_at_every_combination() -> None:
    """Ten numbers from 0 to 999; dimension j, of three values, is searched where number j is j and the others even."""
    numbers = [f"number {j}" for j in range(10)]
    named = {number: IntRange(type="int", low=0, high=999) for number in numbers}
    even: dict[str, Any] = {number: list(range(0, 1000, 2)) for number in numbers}
    conditional = {
        f"dimension {j}": Categorical(type="categorical", choices=[1, 2, 3], when={**even, numbers[j]: j})
        for j in range(10)
    }
    # Where all ten are even, each of the five dimensions of an even j multiplies by three the points where its number
    # is j. Elsewhere at most one applies, of an odd j, and has two more points.
    all_even = (499 + 3) ** 5 * 500**5
    elsewhere = 1000**10 - 500**10 + 5 * 500**9 * 2
    started = time.perf_counter()
    assert grid_size(named | conditional, {}) == all_even + elsewhere
    assert time.perf_counter() - started < 10


# ---------------------------------------------------------------- against the product of everything

UNCONDITIONAL = {
    "noise": st.lists(st.sampled_from(["none", "gaussian", "salt_pepper"]), min_size=1, unique=True).map(
        lambda choices: {"type": "categorical", "choices": choices}
    ),
    "latent_size": st.integers(0, 3).map(lambda n: {"type": "int", "low": 2, "high": 2 + 3 * n, "step": 3}),
    "beta": st.integers(0, 2).map(lambda n: {"type": "float", "low": 0.1, "high": 0.1 + n / 10, "step": 0.1}),
}
FIXED = st.fixed_dictionaries({}, optional={"hidden_layers": st.integers(1, 3), "kl_warmup_epochs": st.just(4)})
VALUES = {
    "noise": st.sampled_from(["none", "gaussian", "salt_pepper"]),
    "latent_size": st.integers(1, 12),
    "beta": st.sampled_from([0.1, 0.2, 0.3, 0.5, 1]),
    "hidden_layers": st.integers(1, 3),
    "kl_warmup_epochs": st.sampled_from([0, 4]),
}
WHEN = st.dictionaries(st.sampled_from(list(VALUES)), st.none(), min_size=1, max_size=3).flatmap(
    lambda names: st.fixed_dictionaries(
        {name: VALUES[name] | st.lists(VALUES[name], min_size=1, max_size=4) for name in names}
    )
)
CONDITIONAL = {
    "noise_factor": {"type": "float", "low": 0.1, "high": 0.5, "step": 0.2},
    "dropout": {"type": "categorical", "choices": [0.0, 0.5]},
    "activation": {"type": "categorical", "choices": ["relu", "tanh", "elu"]},
}


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    search = draw(st.fixed_dictionaries({}, optional=UNCONDITIONAL))
    for name, dimension in CONDITIONAL.items():
        if draw(st.booleans()):
            search[name] = {**dimension, "when": draw(WHEN)}
    fixed = {name: value for name, value in draw(FIXED).items() if name not in search}
    content = {"description": "x", "trials": 1, "epochs": 9, "search": search, "fixed": fixed}
    return SearchSpace.model_validate(content)


def values(dimension: Any) -> list[Any]:
    if dimension.type == "categorical":
        return list(dimension.choices)
    n = round((dimension.high - dimension.low) / dimension.step)
    return [round(dimension.low + i * dimension.step, 9) for i in range(n + 1)]


def is_searched(space: SearchSpace, name: str, everything: dict[str, Any]) -> bool:
    """By the trial's own config: its unconditional values are those of the point."""
    unconditional = {key: value for key, value in everything.items() if not space.dimensions[key].when}
    config = space.config(unconditional, seed=0)
    conditions = (space.dimensions[name].when or {}).items()
    return all(getattr(config, key) in (wanted if isinstance(wanted, list) else [wanted]) for key, wanted in conditions)


@given(spaces())
def test_a_grid_is_the_product_of_everything_without_what_does_not_apply(space: SearchSpace) -> None:
    expected: list[dict[str, Any]] = []
    for combination in product(*map(values, space.dimensions.values())):
        everything = dict(zip(space.dimensions, combination, strict=True))
        point = {name: value for name, value in everything.items() if is_searched(space, name, everything)}
        if point not in expected:
            expected.append(point)
    assert space.grid == expected
    assert space.grid_size == len(expected)


@given(spaces(), st.randoms(use_true_random=False))
def test_a_dimension_applies_as_the_trials_config_says(space: SearchSpace, random: Any) -> None:
    everything = {name: random.choice(values(dimension)) for name, dimension in space.dimensions.items()}
    unconditional = {name: value for name, value in everything.items() if not space.dimensions[name].when}
    for name in space.dimensions:
        assert space.applies(name, unconditional) == is_searched(space, name, everything)
        assert space.applies(name, everything) == space.applies(name, unconditional)


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 9))
def test_a_conditional_dimension_multiplies_only_the_points_where_it_applies(n: int, n_named: int, k: int) -> None:
    dimensions = {
        "hidden_units": IntRange(type="int", low=1, high=n),
        "latent_size": IntRange(type="int", low=1, high=k, when={"hidden_units": list(range(1, n_named + 1))}),
    }
    applying = min(n, n_named)
    assert grid_size(dimensions, {}) == len(grid_points(dimensions, {})) == (n - applying) + applying * k
