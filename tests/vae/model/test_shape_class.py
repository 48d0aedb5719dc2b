"""vae/model/shape_class.py: the class a trial trains in follows from its config and the frame of its sweep."""

import gc
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae.config import Activation, Binarize, Keep, Likelihood, Mode, Noise, Precision, TrialConfig, Variance
from vae.model.shape_class import Frame, ShapeClass
from vae.training import stack as stack_module
from vae.training.adam import StackedAdam
from vae.training.pack import Pack

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
    mode=st.sampled_from(get_args(Mode)),
    dropout=st.just(0.0) | st.floats(0, 0.95),
    likelihood=st.sampled_from(get_args(Likelihood)),
    variance=st.sampled_from(get_args(Variance)),
    binarize=st.sampled_from(get_args(Binarize)),
    noise=st.sampled_from(get_args(Noise)),
    noise_factor=st.floats(0, 1),
    kl_warmup_epochs=st.integers(0, 100),
    free_bits=st.floats(0, 100),
    keep=st.sampled_from(get_args(Keep)),
)


@pytest.mark.parametrize(
    ("hidden_units", "expected"),
    [(1, 64), (64, 64), (65, 128), (400, 448), (512, 512), (513, 576), (1025, 1088), (8192, 8192)],
)
def test_without_a_frame_the_width_is_rounded_up_to_the_next_multiple_of_64(hidden_units: int, expected: int) -> None:
    assert ShapeClass.of(TrialConfig(hidden_units=hidden_units)).hidden_units == expected


@pytest.mark.parametrize(("latent_size", "expected"), [(1, 64), (64, 64), (65, 128), (1024, 1024)])
def test_without_a_frame_the_latent_size_is_rounded_up_likewise(latent_size: int, expected: int) -> None:
    assert ShapeClass.of(TrialConfig(latent_size=latent_size)).latent_size == expected


@given(config=CONFIGS)
def test_every_config_has_a_class_that_holds_it(config: TrialConfig) -> None:
    shape = ShapeClass.of(config)
    assert shape.hidden_units >= config.hidden_units
    assert shape.latent_size >= config.latent_size
    assert shape.holds(config)
    assert shape.activations == (config.activation,)
    for name in ("hidden_layers", "batch_size", "precision"):
        assert getattr(shape, name) == getattr(config, name)


@given(config=CONFIGS)
def test_without_a_frame_a_class_adds_less_than_64_units(config: TrialConfig) -> None:
    assert ShapeClass.of(config).hidden_units - config.hidden_units < 64


FRAME = Frame(hidden_units=(256, 512), latent_sizes=(64, 200), activations=("relu", "softplus"))


@pytest.mark.parametrize(("hidden_units", "width"), [(1, 256), (256, 256), (257, 512), (512, 512), (513, 576)])
@pytest.mark.parametrize(("latent_size", "latents"), [(2, 64), (65, 200), (201, 256)])
def test_a_trial_is_padded_to_the_next_widths_of_its_frame(
    hidden_units: int, width: int, latent_size: int, latents: int
) -> None:
    config = TrialConfig(hidden_units=hidden_units, latent_size=latent_size)
    shape = ShapeClass.of(config, FRAME)
    assert (shape.hidden_units, shape.latent_size) == (width, latents)
    assert shape.holds(config)


def test_trials_of_all_activations_of_a_frame_train_together_and_another_one_apart() -> None:
    relu, softplus, tanh = (ShapeClass.of(TrialConfig(activation=name), FRAME) for name in ("relu", "softplus", "tanh"))
    assert relu == softplus
    assert tanh.activations == ("tanh",)
    assert relu.holds(TrialConfig(activation="softplus"))
    assert not relu.holds(TrialConfig(activation="tanh"))


@pytest.mark.parametrize("changes", [{"hidden_units": 600}, {"latent_size": 300}, {"batch_size": 64}])
def test_a_class_does_not_hold_a_wider_trial_or_one_of_another_kind(changes: dict[str, Any]) -> None:
    assert not ShapeClass.of(TrialConfig(), FRAME).holds(TrialConfig(**changes))


OF_A_TRIAL_ALONE = st.fixed_dictionaries(
    {
        "learning_rate": st.floats(1e-6, 1.0),
        "beta": st.floats(0, 9),
        "noise_factor": st.floats(0, 1),
        "kl_warmup_epochs": st.integers(0, 100),
        "free_bits": st.floats(0, 100),
        "keep": st.sampled_from(get_args(Keep)),
    }
)


@given(config=CONFIGS, changes=OF_A_TRIAL_ALONE)
def test_what_does_not_shape_the_tensors_or_the_steps_does_not_part_trials(
    config: TrialConfig, changes: dict[str, Any]
) -> None:
    dropout = 0.95 - config.dropout / 2 if config.dropout else 0.0  # another share; whether there is any is the class's
    changes = {**changes, "dropout": dropout, "seed": config.seed ^ 1, "epochs": config.epochs + 1}
    other = config.model_copy(update=changes)
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
        {"mode": "autoencoder"},
        {"mode": "decoder_only"},
        {"likelihood": "continuous_bernoulli"},
        {"likelihood": "gaussian"},
        {"binarize": "stochastic"},
        {"binarize": "threshold"},
        {"noise": "gaussian"},
        {"noise": "salt_pepper"},
        {"dropout": 1e-9},
    ],
)
def test_what_shapes_the_tensors_or_the_steps_parts_trials(changes: dict[str, Any]) -> None:
    assert ShapeClass.of(TrialConfig(**changes)) != ShapeClass.of(TrialConfig())


def test_the_two_variances_of_a_gaussian_are_two_classes_and_mean_nothing_to_another_likelihood() -> None:
    def shape(likelihood: Likelihood, variance: Variance) -> ShapeClass:
        return ShapeClass.of(TrialConfig(likelihood=likelihood, variance=variance))

    assert shape("gaussian", "shared") != shape("gaussian", "per_pixel")
    assert shape("bernoulli", "shared") == shape("bernoulli", "per_pixel")


def test_decoders_alone_train_together_whatever_noise_their_input_would_have() -> None:
    shapes = {ShapeClass.of(TrialConfig(mode="decoder_only", noise=noise)) for noise in get_args(Noise)}
    assert len(shapes) == 1
    assert shapes.pop().noise == "none"


@given(config=CONFIGS)
def test_a_trial_alone_has_its_exact_shape(config: TrialConfig) -> None:
    alone = ShapeClass.alone(config)
    exact = {name: value for name, value in config.model_dump().items() if name in vars(alone)}
    exact |= {"noise": config.input_noise, "has_dropout": config.dropout > 0, "activations": (config.activation,)}
    if config.likelihood != "gaussian":
        exact["variance"] = alone.variance  # it has none
    assert exact == vars(alone)


@pytest.mark.parametrize("config", [TrialConfig(), TrialConfig(hidden_units=64, hidden_layers=3, precision="float64")])
def test_the_memory_of_a_slot_covers_every_tensor_that_a_pack_keeps_for_it(config: TrialConfig) -> None:
    n_train, n_validation, n_slots = 55_000, 5_000, 2
    pixels = torch.zeros(n_train, 784, dtype=torch.uint8)
    shape = ShapeClass.of(config)
    pack = Pack(pixels, pixels[:n_validation], shape=shape, n_slots=n_slots)
    weights = sum(parameter.nbytes for parameter in pack.stack.network.parameters())
    epoch = (
        pack.stack.loop.order.nbytes
        + pack.stack.loop.noise.nbytes
        + n_slots * n_validation * shape.latent_size * pack.stack.loop.noise.element_size()
    )
    kept = (4 * weights + epoch) / n_slots  # weights, gradients and two moments
    assert kept < shape.slot_bytes(784, n_train, n_validation) < 3 * kept


HEAVY = [  # each with what takes memory of its own; batches larger than an evaluation's, too
    {},
    {"hidden_layers": 3, "precision": "float64"},
    {"latent_size": 512, "hidden_units": 64, "batch_size": 600},
    {"likelihood": "continuous_bernoulli", "hidden_units": 64, "batch_size": 600},
    {"likelihood": "gaussian", "mode": "decoder_only"},
    {"likelihood": "gaussian", "variance": "shared", "mode": "autoencoder", "hidden_units": 64},
    {"binarize": "stochastic", "hidden_units": 64},
    {"noise": "gaussian", "hidden_units": 64, "batch_size": 600},
    {"dropout": 0.2, "hidden_units": 512, "hidden_layers": 3, "batch_size": 600},
    {"noise": "salt_pepper", "binarize": "stochastic", "likelihood": "gaussian", "dropout": 0.2, "hidden_layers": 2},
]


def peak_bytes(config: TrialConfig, shape: ShapeClass, images: torch.Tensor, n_slots: int) -> int:
    """The most memory that torch held at once while a pack was built, filled, trained and evaluated for an epoch."""
    gc.collect()  # what another test has left is not to be freed meanwhile
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        pack = Pack(images, images[:500], shape=shape, n_slots=n_slots)
        pack.epoch([pack.join(config.model_copy(update={"seed": seed})) for seed in range(n_slots)])
    held, peak = 0, 0
    events = (event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]")
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


@pytest.mark.parametrize("changes", HEAVY)
def test_the_memory_of_a_slot_covers_the_most_that_its_training_takes_and_is_no_wild_guess(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the Adam of a GPU, which holds whole copies while it steps."""
    monkeypatch.setattr(stack_module, "adam_for", lambda parameters, is_compiled: StackedAdam(parameters))
    config, n_slots = TrialConfig(**changes), 2
    images = torch.zeros(600, 784, dtype=torch.uint8)
    peak = peak_bytes(config, ShapeClass.of(config), images, n_slots) / n_slots
    assert peak < ShapeClass.of(config).slot_bytes(784, 600, 500) < 4 * peak


def test_the_memory_of_a_slot_covers_a_class_of_every_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "adam_for", lambda parameters, is_compiled: StackedAdam(parameters))
    config = TrialConfig(hidden_units=512, hidden_layers=3, latent_size=64, batch_size=600)
    shape, images = ShapeClass.of(config, Frame(activations=get_args(Activation))), torch.zeros(600, 784).byte()
    peak = peak_bytes(config, shape, images, 2) / 2
    assert peak < shape.slot_bytes(784, 600, 500) < 4 * peak
