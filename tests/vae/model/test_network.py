"""vae/model/network.py."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vae.config import Likelihood, Mode, TrialConfig, Variance
from vae.model.likelihood import clamped, distortion
from vae.model.network import ACTIVATIONS, Linear, Vae, initial_weights
from vae.model.shape_class import ShapeClass

MODULES = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU, "softplus": nn.Softplus}


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def built(n_pixels: int, config: TrialConfig) -> Vae:
    model = Vae.alone(n_pixels, config).double()
    model.load_state_dict(initial_weights(n_pixels, config))
    return model


def plain_torch(model: Vae, config: TrialConfig) -> tuple[nn.Sequential, nn.Linear, nn.Linear, nn.Sequential]:
    """The textbook model of nn.Linear layers, with the same weights."""

    def linear(layer: nn.Module) -> nn.Linear:
        assert isinstance(layer, Linear)
        copy = nn.Linear(layer.weight.shape[1], layer.weight.shape[0], dtype=torch.float64)
        copy.weight.data, copy.bias.data = layer.weight.data.clone(), layer.bias.data.clone()
        return copy

    act = MODULES[config.activation]
    encoder = [part for layer in model.encoder for part in (linear(layer), act())]
    decoder = [part for layer in model.decoder for part in (linear(layer), act())]
    decoder.append(linear(model.logits))
    return nn.Sequential(*encoder), linear(model.mean), linear(model.log_variance), nn.Sequential(*decoder)


@pytest.mark.parametrize("activation", MODULES)
@pytest.mark.parametrize("hidden_layers", [1, 3])
def test_the_model_is_the_textbook_one_of_plain_torch_layers(activation: str, hidden_layers: int) -> None:
    config = TrialConfig.model_validate({"activation": activation, "hidden_layers": hidden_layers})
    model = built(784, config)
    encoder, mean, log_variance, decoder = plain_torch(model, config)
    x, noise = draws(6, 784).sigmoid(), draws(6, 20, seed=1)
    hidden = encoder(x)
    z = mean(hidden) + torch.exp(log_variance(hidden) / 2) * noise
    posterior, (logits, _) = model(x, noise)
    torch.testing.assert_close(posterior.mean, mean(hidden), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(posterior.log_variance, log_variance(hidden), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(logits, decoder(z), rtol=1e-12, atol=1e-12)


def test_every_activation_is_torchs_own() -> None:
    x = torch.linspace(-5, 5, 101)
    assert set(ACTIVATIONS) == set(MODULES)
    for name, activation in ACTIVATIONS.items():
        torch.testing.assert_close(activation(x), MODULES[name]()(x))


@pytest.mark.parametrize("hidden_layers", [1, 2])
def test_a_stack_gives_every_trial_its_own_outputs_and_gradients(hidden_layers: int) -> None:
    configs = [TrialConfig(latent_size=3, hidden_units=7, hidden_layers=hidden_layers, seed=seed) for seed in range(4)]
    alone = [built(11, config) for config in configs]
    stack = Vae(11, alone[0].shape, lead=(4,)).double()
    stack.load_state_dict({name: torch.stack([m.state_dict()[name] for m in alone]) for name in alone[0].state_dict()})
    x, noise = draws(4, 5, 11).sigmoid(), draws(4, 5, 3, seed=1)
    posterior, (logits, _) = stack(x, noise)
    assert logits.shape == (4, 5, 11)
    (logits.square().sum() + posterior.log_variance.sum()).backward()
    for k, model in enumerate(alone):
        own_posterior, (own_logits, _) = model(x[k], noise[k])
        (own_logits.square().sum() + own_posterior.log_variance.sum()).backward()
        torch.testing.assert_close(logits[k], own_logits, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(posterior.mean[k], own_posterior.mean, rtol=1e-12, atol=1e-12)
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        for name, parameter in stack.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.grad[k], gradients[name], rtol=1e-11, atol=1e-12)


def test_no_trial_of_a_stack_sees_another() -> None:
    stack = Vae(6, ShapeClass.alone(TrialConfig(latent_size=2, hidden_units=4)), lead=(2,)).double()
    stack.load_state_dict({name: draws(*w.shape) for name, w in stack.state_dict().items()})
    x, noise = draws(2, 3, 6).sigmoid(), draws(2, 3, 2)
    before = stack(x, noise)[1].logits
    x[1] = float("nan")
    after = stack(x, noise)[1].logits
    assert torch.equal(after[0], before[0])
    assert after[1].isnan().all()


def test_the_noise_is_scaled_by_the_posteriors_standard_deviation() -> None:
    """Zero weights but the biases: z = m + exp(v / 2) * noise reaches the logits through one known row."""
    model = Vae.alone(1, TrialConfig(latent_size=1, hidden_units=1)).double()
    with torch.no_grad():
        model.mean.bias.fill_(2.0)
        model.log_variance.bias.fill_(2 * math.log(3.0))  # std 3
        model.decoder[0].weight.fill_(1.0)
        model.logits.weight.fill_(1.0)
    _, (logits, _) = model(torch.zeros(1, 1).double(), torch.tensor([[0.5]]).double())
    assert logits.item() == pytest.approx(2 + 3 * 0.5)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), n_pixels=st.integers(1, 30), latent=st.integers(1, 5), hidden=st.integers(1, 9))
def test_initial_weights_lie_within_torchs_bound_of_each_layer(
    seed: int, n_pixels: int, latent: int, hidden: int
) -> None:
    weights = initial_weights(n_pixels, TrialConfig(latent_size=latent, hidden_units=hidden, seed=seed))
    fan_in = {"encoder.0": n_pixels, "mean": hidden, "log_variance": hidden, "decoder.0": latent, "logits": hidden}
    assert set(weights) == {f"{layer}.{kind}" for layer in fan_in for kind in ("weight", "bias")}
    for name, weight in weights.items():
        assert weight.abs().max().item() <= 1 / math.sqrt(fan_in[name.rpartition(".")[0]])


def test_initial_weights_have_the_spread_of_torchs_own_layer() -> None:
    """U(-b, b) has standard deviation b / sqrt(3), with b = 1/sqrt(784)."""
    weight = initial_weights(784, TrialConfig())["encoder.0.weight"]
    assert weight.std().item() == pytest.approx(1 / math.sqrt(3 * 784), rel=0.01)
    assert weight.std().item() == pytest.approx(nn.Linear(784, 400).weight.std().item(), rel=0.01)


def test_initial_weights_depend_on_the_seed_and_on_nothing_else() -> None:
    config = TrialConfig(latent_size=2, hidden_units=5, seed=3)
    first = initial_weights(9, config)
    torch.randn(5)
    again = initial_weights(9, config.model_copy(update={"learning_rate": 0.5, "beta": 9.0, "batch_size": 2}))
    other = initial_weights(9, config.model_copy(update={"seed": 4}))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_no_two_layers_start_with_the_same_numbers() -> None:
    weights = initial_weights(9, TrialConfig(latent_size=4, hidden_units=4))
    assert not torch.equal(weights["mean.weight"], weights["log_variance.weight"])


FAMILY = [
    {"mode": mode, **output}
    for mode in get_args(Mode)
    for output in (
        {"likelihood": "bernoulli"},
        {"likelihood": "gaussian", "variance": "per_pixel"},
        {"likelihood": "gaussian", "variance": "shared"},
    )
]
each_relative = pytest.mark.parametrize("changes", FAMILY, ids=lambda changes: "-".join(changes.values()))


def small(changes: dict[str, str], **more: object) -> TrialConfig:
    return TrialConfig.model_validate({"latent_size": 3, "hidden_units": 7, **changes, **more})


@settings(max_examples=200)
@given(
    n_pixels=st.integers(1, 900),
    latent=st.integers(1, 64),
    hidden=st.integers(1, 600),
    layers=st.integers(1, 3),
    mode=st.sampled_from(get_args(Mode)),
    likelihood=st.sampled_from(get_args(Likelihood)),
    variance=st.sampled_from(get_args(Variance)),
)
def test_the_model_has_as_many_parameters_as_its_config_says(
    n_pixels: int, latent: int, hidden: int, layers: int, mode: Mode, likelihood: Likelihood, variance: Variance
) -> None:
    config = TrialConfig(
        latent_size=latent,
        hidden_units=hidden,
        hidden_layers=layers,
        mode=mode,
        likelihood=likelihood,
        variance=variance,
    )
    with torch.device("meta"):
        built_count = sum(parameter.numel() for parameter in Vae.alone(n_pixels, config).parameters())
    assert config.n_parameters(n_pixels) == built_count


# ---- its relatives


def test_an_autoencoder_has_a_code_and_no_posterior_and_ignores_the_noise() -> None:
    model, x = built(11, small({"mode": "autoencoder"})), draws(5, 11).sigmoid()
    (first, one), (second, other) = (model(x, draws(5, 3, seed=seed)) for seed in (1, 2))
    assert first is second is None
    assert torch.equal(one.logits, other.logits)
    assert torch.equal(one.logits, model.decode(model.code(x)).logits)
    assert not any(name.startswith("log_variance") for name in model.state_dict())


def test_a_decoder_alone_has_no_encoder_and_never_looks_at_the_image() -> None:
    model, noise = built(11, small({"mode": "decoder_only"})), draws(5, 3, seed=1)
    posterior, pixels = model(draws(5, 11).sigmoid(), noise)
    assert posterior is None
    assert torch.equal(model(torch.full((5, 11), math.nan).double(), noise)[1].logits, pixels.logits)
    assert torch.equal(model.decode(noise).logits, pixels.logits)  # z is the noise itself, from the prior
    assert set(model.state_dict()) == {
        f"{layer}.{kind}" for layer in ("decoder.0", "logits") for kind in ("weight", "bias")
    }


def test_the_code_of_a_vae_is_the_mean_of_its_posterior() -> None:
    model, x = built(11, small({"mode": "vae"})), draws(5, 11).sigmoid()
    assert torch.equal(model.code(x), model.encode(x).mean)


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("hidden_layers", [1, 3])
def test_every_mode_is_the_textbook_one_of_plain_torch_layers_with_dropout_between_them(
    mode: Mode, hidden_layers: int
) -> None:
    """Encoder's masks first; two heads for the pixels of a gaussian."""
    config = small({"mode": mode, "likelihood": "gaussian"}, hidden_layers=hidden_layers, activation="elu")
    model, x, noise = built(11, config), draws(5, 11).sigmoid(), draws(5, 3, seed=1)
    masks = draws(2 * hidden_layers, 5, 7, seed=2)

    def stack(layers: nn.ModuleList, inputs: Tensor, dropped: Tensor) -> Tensor:
        for layer, mask in zip(layers, dropped, strict=True):
            inputs = nn.functional.elu(nn.functional.linear(inputs, layer.weight, layer.bias)) * mask
        return inputs

    def head(layer: nn.Module, hidden: Tensor) -> Tensor:
        return hidden @ layer.weight.T + layer.bias

    z = noise
    if mode != "decoder_only":
        hidden = stack(model.encoder, x, masks[:hidden_layers])
        z = head(model.mean, hidden)
    if mode == "vae":
        z = z + noise * (head(model.log_variance, hidden) / 2).exp()
    hidden = stack(model.decoder, z, masks[hidden_layers:])
    posterior, pixels = model(x, noise, masks)
    assert (posterior is None) == (mode != "vae")
    torch.testing.assert_close(pixels.logits, head(model.logits, hidden), rtol=1e-12, atol=1e-12)
    expected = clamped(head(model.pixel_log_variance, hidden))
    torch.testing.assert_close(pixels.log_variance, expected, rtol=1e-12, atol=1e-12)


@each_relative
def test_a_stack_of_any_relative_gives_every_trial_its_own_outputs_and_gradients(changes: dict[str, str]) -> None:
    alone = [built(11, small(changes, seed=seed)) for seed in range(4)]
    stack = Vae(11, alone[0].shape, lead=(4,)).double()
    stack.load_state_dict({name: torch.stack([m.state_dict()[name] for m in alone]) for name in alone[0].state_dict()})
    x, noise, masks = draws(4, 5, 11).sigmoid(), draws(4, 5, 3, seed=1), draws(2, 4, 5, 7, seed=2)

    def number(likelihood: Likelihood, x: Tensor, noise: Tensor, masks: Tensor, model: Vae) -> Tensor:
        posterior, pixels = model(x, noise, masks)
        kl = 0.0 if posterior is None else (posterior.mean.square() + posterior.log_variance).sum()
        return distortion(likelihood, pixels, x).sum() + kl

    total = number(stack.shape.likelihood, x, noise, masks, stack)
    total.backward()
    own = [number(m.shape.likelihood, x[k], noise[k], masks[:, k], m) for k, m in enumerate(alone)]
    torch.testing.assert_close(total, torch.stack(own).sum(), rtol=1e-12, atol=1e-12)
    for k, model in enumerate(alone):
        own[k].backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        for name, parameter in stack.named_parameters():
            assert parameter.grad is not None, name
            torch.testing.assert_close(parameter.grad[k], gradients[name], rtol=1e-11, atol=1e-12)


def test_a_mask_of_ones_changes_nothing_and_one_of_zeros_leaves_the_biases() -> None:
    model, x, noise = built(11, small({})), draws(5, 11).sigmoid(), draws(5, 3, seed=1)
    _, plain = model(x, noise)
    _, ones = model(x, noise, torch.ones(2, 5, 7).double())
    posterior, zeros = model(x, noise, torch.zeros(2, 5, 7).double())
    assert torch.equal(ones.logits, plain.logits)
    torch.testing.assert_close(zeros.logits, model.logits.bias.expand(5, 11))
    torch.testing.assert_close(posterior.mean, model.mean.bias.expand(5, 3))


def test_only_a_gaussian_decoder_says_how_sure_it_is() -> None:
    z = draws(5, 3)
    shapes = {}
    for changes in FAMILY[:3]:
        pixels = built(11, small(changes)).decode(z)
        shapes[changes.get("variance")] = None if pixels.log_variance is None else pixels.log_variance.shape
    assert shapes == {None: None, "per_pixel": (5, 11), "shared": (1, 1)}


def test_a_shared_variance_starts_at_about_that_of_a_pixel_over_the_images() -> None:
    """One number moves by the learning rate a step: from a standard deviation of 1 it would take an epoch to come."""
    config = small({"likelihood": "gaussian", "variance": "shared"})
    weights = initial_weights(11, config)
    assert weights["shared_log_variance"].tolist() == [-3.0]
    _, pixels = built(11, config)(draws(5, 11).sigmoid(), draws(5, 3))
    assert math.exp(pixels.log_variance.item() / 2) == pytest.approx(0.22, abs=0.005)


@each_relative
def test_the_initial_weights_of_any_relative_fill_its_model(changes: dict[str, str]) -> None:
    config = small(changes, hidden_layers=2)
    weights = initial_weights(11, config)
    model = Vae.alone(11, config)
    assert {name: weight.shape for name, weight in weights.items()} == {
        name: parameter.shape for name, parameter in model.named_parameters()
    }
    assert all(weight.unique().numel() == weight.numel() for weight in weights.values())
