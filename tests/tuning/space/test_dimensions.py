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
    holds,
    n_values,
    values_of,
)


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
