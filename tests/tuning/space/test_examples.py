from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.space.examples import drawn, middling, numbers, widest
from tuning.space.model import SearchSpace
from vae.config import TrialConfig
from vae.model.shape_class import ShapeClass

NOISE = {"type": "categorical", "choices": ["none", "gaussian", "salt_pepper"]}
FACTOR = {"type": "float", "low": 0.1, "high": 0.5}
N_PIXELS, N_TRAIN, N_VALIDATION = 784, 55_000, 5_000


def space(search: dict[str, Any], **fixed: Any) -> SearchSpace:
    content = {"description": "x", "trials": 3, "epochs": 9, "search": search, "fixed": fixed}
    return SearchSpace.model_validate(content)


def slot_bytes(shapes: set[ShapeClass]) -> int:
    return max(shape.slot_bytes(N_PIXELS, N_TRAIN, N_VALIDATION) for shape in shapes)


def bytes_of(**config: Any) -> int:
    return slot_bytes({ShapeClass.of(TrialConfig(**config))})


# ---------------------------------------------------------------- middling


def test_a_middling_trial_has_what_applies_to_it() -> None:
    noisy = space({"noise": NOISE, "noise_factor": {**FACTOR, "when": {"noise": ["gaussian"]}}})
    assert middling(noisy, 3) == TrialConfig(noise="gaussian", noise_factor=0.3, epochs=9, seed=3)


def test_a_middling_trial_lacks_what_does_not_apply_to_it() -> None:
    noisy = space({"noise": NOISE, "noise_factor": {**FACTOR, "when": {"noise": "salt_pepper"}}}, noise_factor=0.9)
    assert middling(noisy, 3) == TrialConfig(noise="gaussian", noise_factor=0.9, epochs=9, seed=3)


@given(st.floats(1e-12, 1.0), st.floats(1e-12, 1.0), st.booleans())
def test_the_middle_of_a_range_is_in_it(one: float, other: float, log: bool) -> None:
    low, high = sorted((one, other))
    config = middling(space({"learning_rate": {"type": "float", "low": low, "high": high, "log": log}}), 0)
    assert low <= config.learning_rate <= high


# ---------------------------------------------------------------- random ones


def test_random_trials_spread_evenly_over_each_dimension_on_its_own_scale_and_are_always_the_same() -> None:
    search = {
        "hidden_units": {"type": "int", "low": 64, "high": 512, "step": 64},
        "latent_size": {"type": "int", "low": 2, "high": 64, "log": True},
        "beta": {"type": "float", "low": 0.0, "high": 4.0},
        "activation": {"type": "categorical", "choices": ["relu", "tanh"]},
    }
    configs = drawn(space(search), 800)
    assert configs == drawn(space(search), 800)
    units = Counter(config.hidden_units for config in configs)
    assert sorted(units) == list(range(64, 513, 64))
    assert all(70 < n < 130 for n in units.values())
    assert all(2 <= config.latent_size <= 64 for config in configs)
    halves = {  # a half of each, by 4 standard deviations
        "latent_size": sum(config.latent_size <= 11 for config in configs),
        "beta": sum(config.beta < 2 for config in configs),
        "activation": sum(config.activation == "relu" for config in configs),
    }
    assert all(343 < n < 457 for n in halves.values()), halves


def test_a_random_trial_has_what_applies_to_it() -> None:
    configs = drawn(space({"noise": NOISE, "noise_factor": {**FACTOR, "when": {"noise": "gaussian"}}}), 60)
    for config in configs:
        assert (0.1 <= config.noise_factor <= 0.5) if config.noise == "gaussian" else config.noise_factor == 0.3
    assert len({config.noise_factor for config in configs}) > 10


@pytest.mark.parametrize(
    ("dimension", "values"),
    [
        ({"type": "int", "low": 64, "high": 70, "step": 2}, [70, 68, 66, 64]),
        ({"type": "categorical", "choices": [100, 2000, 500]}, [2000, 500, 100]),
        ({"type": "int", "low": 300, "high": 301, "when": {"activation": "tanh"}}, [400, 301, 300]),
    ],
)
def test_the_numbers_of_a_hyperparameter_come_with_the_largest_first(
    dimension: dict[str, Any], values: list[int]
) -> None:
    words = {"type": "categorical", "choices": ["relu", "tanh"]}
    assert list(numbers(space({"activation": words, "hidden_units": dimension}), "hidden_units")) == values


def test_the_number_of_a_hyperparameter_that_is_not_searched_is_its_fixed_one() -> None:
    beta = {"beta": {"type": "float", "low": 0.0, "high": 4.0}}
    assert list(numbers(space(beta, hidden_units=30), "hidden_units")) == [30]


# ---------------------------------------------------------------- widest


@pytest.mark.parametrize(
    ("search", "worst"),
    [
        ({"noise": NOISE}, {"noise": "gaussian"}),
        ({"noise": {**NOISE, "choices": ["salt_pepper", "none"]}}, {"noise": "salt_pepper"}),
        ({"dropout": {"type": "float", "low": 0.0, "high": 0.5}}, {"dropout": 0.5}),
        ({"dropout": {"type": "categorical", "choices": [0.2, 0.0]}}, {"dropout": 0.2}),
        ({"precision": {"type": "categorical", "choices": ["bf16", "float64"]}}, {"precision": "float64"}),
        ({"mode": {"type": "categorical", "choices": ["decoder_only", "vae"]}}, {"mode": "vae"}),
        ({"variance": {"type": "categorical", "choices": ["shared", "per_pixel"]}}, {"likelihood": "gaussian"}),
        ({"batch_size": {"type": "int", "low": 64, "high": 4096}}, {"batch_size": 4096}),
        (
            {
                "hidden_layers": {"type": "int", "low": 1, "high": 3},
                "hidden_units": {"type": "categorical", "choices": [100, 2000, 500]},
            },
            {"hidden_layers": 3, "hidden_units": 2000},
        ),
    ],
)
def test_the_widest_trial_is_found_among_the_ends_of_numbers_and_all_words(
    search: dict[str, Any], worst: dict[str, Any]
) -> None:
    fixed = {"likelihood": "gaussian"} if "variance" in search else {}
    assert slot_bytes(widest(space(search, **fixed), 0)) == bytes_of(**worst)


def test_what_is_wide_only_under_a_condition_counts_and_only_with_it() -> None:
    """The wide layer goes with one layer, the other three layers with the default width of 400."""
    search = {
        "hidden_layers": {"type": "int", "low": 1, "high": 3},
        "hidden_units": {"type": "int", "low": 1000, "high": 2000, "when": {"hidden_layers": 1}},
    }
    wide, deep = bytes_of(hidden_layers=1, hidden_units=2000), bytes_of(hidden_layers=3)
    assert slot_bytes(widest(space(search), 0)) == max(wide, deep) < bytes_of(hidden_layers=3, hidden_units=2000)
    narrow = {**search, "hidden_units": {"type": "int", "low": 10, "high": 20, "when": {"hidden_layers": [2, 3]}}}
    assert slot_bytes(widest(space(narrow), 0)) == bytes_of(hidden_layers=1)


SIZES = st.lists(st.integers(1, 1200), min_size=1, max_size=4, unique=True)
WORDS = {
    "mode": ["vae", "autoencoder", "decoder_only"],
    "noise": ["none", "gaussian", "salt_pepper"],
    "precision": ["float32", "float64"],
}
NAMED = st.dictionaries(st.sampled_from(["hidden_layers", "dropout", "noise"]), st.none(), min_size=1).flatmap(
    lambda names: st.fixed_dictionaries(
        {
            name: {
                "hidden_layers": st.lists(st.integers(1, 3), min_size=1, max_size=2),
                "dropout": st.sampled_from([0.0, 0.25, 0.5]),
                "noise": st.sampled_from(WORDS["noise"]),
            }[name]
            for name in names
        }
    )
)


@st.composite
def small_spaces(draw: st.DrawFn) -> SearchSpace:
    search: dict[str, Any] = {
        "hidden_layers": {"type": "int", "low": 1, "high": draw(st.integers(1, 3))},
        "dropout": {"type": "float", "low": 0.0, "high": draw(st.sampled_from([0.0, 0.5])), "step": 0.25},
        "hidden_units": {"type": "categorical", "choices": draw(SIZES)},
    }
    for name, words in WORDS.items():
        search[name] = {
            "type": "categorical",
            "choices": draw(st.lists(st.sampled_from(words), min_size=1, unique=True)),
        }
    for name in draw(st.sets(st.sampled_from(["hidden_units", "mode", "precision"]))):
        search[name]["when"] = draw(NAMED)
    return space(search, hidden_units=draw(st.integers(1, 1200)))


@given(small_spaces())
def test_no_configuration_takes_more_than_the_widest(small: SearchSpace) -> None:
    every = {ShapeClass.of(small.config(point, 0)) for point in small.grid}
    assert slot_bytes(widest(small, 0)) == slot_bytes(every)
