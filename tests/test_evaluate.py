"""vae/evaluate.py."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from vae.config import EVALUATION_BATCH, TrialConfig
from vae.evaluate import evaluate, mean_distortion_and_rate
from vae.model import Vae, initial_weights
from vae.streams import evaluation_noise


def images(n_images: int, n_pixels: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n_images, n_pixels), dtype=torch.uint8, generator=draw)


def drawn_model(n_pixels: int, latent_size: int = 3, seed: int = 0) -> Vae:
    """Initial weights times five, so that every term counts."""
    config = TrialConfig(latent_size=latent_size, hidden_units=8, seed=seed)
    model = Vae(n_pixels, config).double()
    model.load_state_dict({name: 5 * weight for name, weight in initial_weights(n_pixels, config).items()})
    return model


def constant_encoder(slope: float, mean: float, log_variance: float) -> Vae:
    """z ~ N(mean, exp(log_variance)) whatever the image; the logit of the one pixel is slope * z.

    relu(z) - relu(-z) = z makes the hidden layer linear.
    """
    model = Vae(1, TrialConfig(latent_size=1, hidden_units=2)).double()
    with torch.no_grad():
        model.mean.bias.fill_(mean)
        model.log_variance.bias.fill_(log_variance)
        model.decoder[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model.logits.weight.copy_(torch.tensor([[slope, -slope]]))
    return model


def expected_softplus(slope: float, mean: float, std: float) -> float:
    """E[softplus(slope * z)], z ~ N(mean, std), by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return float((weights * np.logaddexp(0, slope * (mean + std * nodes))).sum() / math.sqrt(2 * math.pi))


def test_a_model_of_zeros_costs_log_2_a_pixel_and_no_rate() -> None:
    found = evaluate(Vae(784, TrialConfig()), images(1200, 784))
    assert found.distortion == pytest.approx(784 * math.log(2), rel=1e-6)
    assert found.rate == 0
    assert found.elbo == pytest.approx(-784 * math.log(2), rel=1e-6)
    assert found.active_units == 0
    assert found.kl_per_dimension == [0.0] * 20
    assert found.n_images == 1200


def test_the_distortion_is_that_of_samples_and_not_of_the_mean() -> None:
    """Decoding the mean 0.4 would give softplus(3 * 0.4) = 1.46; samples of std 2 cost 2.98 on average."""
    pixels = torch.zeros(40_000, 1, dtype=torch.uint8)
    found = evaluate(constant_encoder(slope=3.0, mean=0.4, log_variance=math.log(4.0)), pixels)
    expected, of_the_mean = expected_softplus(3.0, 0.4, 2.0), math.log1p(math.exp(1.2))
    assert found.distortion == pytest.approx(expected, abs=0.1)  # standard error 0.02
    assert found.distortion > of_the_mean + 1


def test_a_constant_posterior_has_the_closed_form_rate() -> None:
    """KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1 - log s^2) / 2."""
    found = evaluate(constant_encoder(1.0, mean=0.4, log_variance=math.log(4.0)), images(700, 1))
    assert found.rate == pytest.approx((0.16 + 4 - 1 - math.log(4)) / 2)
    assert found.kl_per_dimension == pytest.approx([found.rate])


def test_the_pixels_enter_as_grey_values_between_0_and_1() -> None:
    """With z = m for certain, D of a pixel x is softplus(m) - x m."""
    model = constant_encoder(1.0, mean=1.5, log_variance=-80.0)
    for grey in (0, 51, 255):
        pixels = torch.full((3, 1), grey, dtype=torch.uint8)
        expected = math.log1p(math.exp(1.5)) - grey / 255 * 1.5
        assert evaluate(model, pixels).distortion == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "n_images", [1, EVALUATION_BATCH - 1, EVALUATION_BATCH, EVALUATION_BATCH + 1, 2 * EVALUATION_BATCH + 203]
)
def test_every_image_counts_the_same_whatever_the_batches(n_images: int) -> None:
    """Against a sum over single images, by torch's own loss."""
    model, pixels = drawn_model(6), images(n_images, 6)
    noise = evaluation_noise(n_images, 3).double()
    distortions, rates = [], []
    with torch.no_grad():
        for i in range(n_images):
            x = pixels[i : i + 1].double() / 255
            (mean, log_variance), logits = model(x, noise[i : i + 1])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            distortions.append(loss.item())
            rates.append(0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum().item())
    found = mean_distortion_and_rate(model, pixels, noise).tolist()
    assert found == pytest.approx([sum(distortions) / n_images, sum(rates) / n_images], rel=1e-12)


def test_a_stack_is_evaluated_as_each_trial_alone() -> None:
    alone, pixels = [drawn_model(6, seed=seed) for seed in range(3)], images(EVALUATION_BATCH + 7, 6)
    noise = torch.randn(3, len(pixels), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    stack = Vae(6, TrialConfig(latent_size=3, hidden_units=8), lead=(3,)).double()
    stack.load_state_dict({name: torch.stack([m.state_dict()[name] for m in alone]) for name in stack.state_dict()})
    found = mean_distortion_and_rate(stack, pixels, noise)
    assert found.shape == (3, 2)
    for k, model in enumerate(alone):
        torch.testing.assert_close(found[k], mean_distortion_and_rate(model, pixels, noise[k]), rtol=1e-12, atol=1e-12)


def test_evaluating_twice_gives_the_same_bits_and_leaves_the_model_alone() -> None:
    model, pixels = drawn_model(6), images(50, 6)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    assert evaluate(model, pixels) == evaluate(model, pixels)
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_active_units_are_those_whose_mean_moves_with_the_image() -> None:
    """A pixel that is on in half the images has variance 1/4, so a mean of s times it has s^2 / 4.

    Burda's threshold 0.01 lies at s = 0.2. A mean that is constant, however large, is not active.
    """
    model = Vae(2, TrialConfig(latent_size=4, hidden_units=2)).double()
    slopes = [0.19, 0.21, -3.0, 0.0]
    with torch.no_grad():
        model.encoder[0].weight.copy_(torch.eye(2))
        model.mean.weight[:, 0] = torch.tensor(slopes, dtype=torch.float64)
        model.mean.bias[3] = 5.0
    n = 2000  # more than one evaluation batch, and all its images on in the first half, off in the second
    pixels = torch.zeros(n, 2, dtype=torch.uint8)
    pixels[: n // 2, 0] = 255
    found = evaluate(model, pixels)
    assert found.active_units == 2
    expected = [slope**2 / 2 / 2 for slope in slopes[:3]] + [12.5]  # half the images have mean s, KL = mean^2 / 2
    assert found.kl_per_dimension == pytest.approx(expected)
    assert found.rate == pytest.approx(sum(expected))
