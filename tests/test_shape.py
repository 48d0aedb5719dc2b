"""vae/shape.py: the class a trial trains in follows from its own config, and padding wastes little."""

from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae.config import Activation, Precision, TrialConfig
from vae.pack import Pack
from vae.shape import HIDDEN_UNITS, LATENT_SIZES, ShapeClass

CONFIGS = st.builds(
    TrialConfig,
    latent_size=st.integers(1, 1024),
    hidden_units=st.integers(1, 8192),
    hidden_layers=st.integers(1, 3),
    activation=st.sampled_from(get_args(Activation)),
    learning_rate=st.floats(1e-6, 1.0),
    beta=st.floats(0, 1000),
    batch_size=st.integers(1, 65536),
    epochs=st.integers(1, 100_000),
    precision=st.sampled_from(get_args(Precision)),
    seed=st.integers(0, 2**32 - 1),
)


@pytest.mark.parametrize(
    ("hidden_units", "expected"),
    [(1, 64), (64, 64), (65, 128), (400, 448), (512, 512), (513, 640), (1024, 1024), (1025, 1280), (8192, 8192)],
)
def test_the_width_is_rounded_up_to_the_next_step(hidden_units: int, expected: int) -> None:
    assert ShapeClass.of(TrialConfig(hidden_units=hidden_units)).hidden_units == expected


@pytest.mark.parametrize(("latent_size", "expected"), [(1, 16), (16, 16), (17, 64), (65, 256), (257, 1024)])
def test_the_latent_size_is_rounded_up_to_the_next_power_of_four(latent_size: int, expected: int) -> None:
    assert ShapeClass.of(TrialConfig(latent_size=latent_size)).latent_size == expected


@given(config=CONFIGS)
def test_every_config_has_a_class_that_holds_it(config: TrialConfig) -> None:
    shape = ShapeClass.of(config)
    assert shape.hidden_units >= config.hidden_units
    assert shape.latent_size >= config.latent_size
    for name in ("hidden_layers", "activation", "batch_size", "precision"):
        assert getattr(shape, name) == getattr(config, name)


@given(config=CONFIGS)
def test_a_class_adds_less_than_64_units_or_a_quarter_of_the_width(config: TrialConfig) -> None:
    """Above 4,096 units, where one trial fills a GPU by itself: a half."""
    wasted = ShapeClass.of(config).hidden_units - config.hidden_units
    assert wasted < max(64, config.hidden_units * (0.5 if config.hidden_units > 4096 else 0.25))


@given(config=CONFIGS, changes=st.fixed_dictionaries({"learning_rate": st.floats(1e-6, 1.0), "beta": st.floats(0, 9)}))
def test_what_does_not_shape_the_tensors_or_the_steps_does_not_part_trials(
    config: TrialConfig, changes: dict[str, Any]
) -> None:
    other = config.model_copy(update={**changes, "seed": config.seed ^ 1, "epochs": config.epochs + 1})
    assert ShapeClass.of(other) == ShapeClass.of(config)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_layers": 2},
        {"activation": "tanh"},
        {"batch_size": 64},
        {"precision": "bf16"},
        {"hidden_units": 449},
        {"latent_size": 65},
    ],
)
def test_what_shapes_the_tensors_or_the_steps_parts_trials(changes: dict[str, Any]) -> None:
    assert ShapeClass.of(TrialConfig(**changes)) != ShapeClass.of(TrialConfig())


@given(config=CONFIGS)
def test_a_trial_alone_has_its_exact_shape(config: TrialConfig) -> None:
    alone = ShapeClass.alone(config)
    assert {name: getattr(config, name) for name in ShapeClass.__dataclass_fields__} == vars(alone)


def test_the_steps_rise_and_reach_what_a_config_may_ask_for() -> None:
    assert list(HIDDEN_UNITS) == sorted(set(HIDDEN_UNITS))
    assert list(LATENT_SIZES) == sorted(set(LATENT_SIZES))
    highest = {
        name: next(rule.le for rule in TrialConfig.model_fields[name].metadata if hasattr(rule, "le"))
        for name in ("hidden_units", "latent_size")
    }
    assert highest == {"hidden_units": HIDDEN_UNITS[-1], "latent_size": LATENT_SIZES[-1]}


@pytest.mark.parametrize("config", [TrialConfig(), TrialConfig(hidden_units=64, hidden_layers=3, precision="float64")])
def test_the_memory_of_a_slot_covers_every_tensor_that_a_pack_keeps_for_it(config: TrialConfig) -> None:
    n_train, n_validation, n_slots = 55_000, 5_000, 2
    pixels = torch.zeros(n_train, 784, dtype=torch.uint8)
    shape = ShapeClass.of(config)
    pack = Pack(pixels, pixels[:n_validation], shape=shape, n_slots=n_slots)
    weights = sum(parameter.nbytes for parameter in pack.stack.parameters())
    epoch = (
        pack.step.order.nbytes
        + pack.step.noise.nbytes
        + n_slots * n_validation * shape.latent_size * pack.step.noise.element_size()
    )
    kept = (4 * weights + epoch) / n_slots  # weights, gradients and two moments
    assert kept < shape.slot_bytes(784, n_train, n_validation) < 3 * kept
