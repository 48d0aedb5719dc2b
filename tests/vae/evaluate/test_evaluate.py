"""vae/evaluate.py."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vae.config import EVALUATION_BATCH, TrialConfig
from vae.datasets.types import Images
from vae.errors import CheckpointError
from vae.evaluate.evaluate import Importance, Neighbours, codes, evaluate
from vae.evaluate.importance import importance_weighted_bound
from vae.evaluate.latents import mutual_information
from vae.evaluate.result import Evaluation, table
from vae.model.elbo import mean_distortion_and_rate
from vae.model.network import Vae, initial_weights
from vae.randomness.streams import evaluation_noise


def images(n_images: int, n_pixels: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n_images, n_pixels), dtype=torch.uint8, generator=draw)


def drawn_model(n_pixels: int, latent_size: int = 3, seed: int = 0, **given: Any) -> Vae:
    """Initial weights times five, so that every term counts."""
    config = TrialConfig(latent_size=latent_size, hidden_units=8, seed=seed, **given)
    model = Vae.alone(n_pixels, config).double()
    model.load_state_dict({name: 5 * weight for name, weight in initial_weights(n_pixels, config).items()})
    return model


def constant_encoder(slope: float, mean: float, log_variance: float) -> Vae:
    """z ~ N(mean, exp(log_variance)) whatever the image; the logit of the one pixel is slope * z.

    relu(z) - relu(-z) = z makes the hidden layer linear.
    """
    model = Vae.alone(1, TrialConfig(latent_size=1, hidden_units=2)).double()
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
    found = evaluate(Vae.alone(784, TrialConfig()), images(1200, 784))
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
            (mean, log_variance), pixel = model(x, noise[i : i + 1])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(pixel.logits, x, reduction="sum")
            distortions.append(loss.item())
            rates.append(0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum().item())
    found = mean_distortion_and_rate(model, pixels, noise).tolist()
    assert found == pytest.approx([sum(distortions) / n_images, sum(rates) / n_images], rel=1e-12)


def test_a_stack_is_evaluated_as_each_trial_alone() -> None:
    alone, pixels = [drawn_model(6, seed=seed) for seed in range(3)], images(EVALUATION_BATCH + 7, 6)
    noise = torch.randn(3, len(pixels), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    stack = Vae(6, alone[0].shape, lead=(3,)).double()
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
    model = Vae.alone(2, TrialConfig(latent_size=4, hidden_units=2)).double()
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


# what each mode has


def labelled(n_train: int = 40, n_classes: int = 2) -> Neighbours:
    train = images(n_train, 6, seed=4).numpy()
    return Neighbours(np.arange(30) % n_classes, Images(train, np.arange(n_train) % n_classes))


def everything(model: Vae) -> Evaluation:
    return evaluate(model, images(30, 6), Importance(5, 20), labelled(), noise_factor=0.3)


OF_A_VAE = {"elbo", "rate", "active_units", "kl_per_dimension", "mutual_information", "mutual_information_ceiling",
            "marginal_kl"}  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("vae", OF_A_VAE | {"importance_weighted", "neighbours"}),
        ("autoencoder", {"neighbours"}),
        ("decoder_only", {"importance_weighted"}),
    ],
)
def test_each_mode_has_the_numbers_that_mean_something_for_it_and_no_others(mode: str, expected: set[str]) -> None:
    found = everything(drawn_model(6, mode=mode)).as_dict()
    assert found.keys() == {"n_images", "distortion"} | expected
    noisy = everything(drawn_model(6, mode=mode, noise="gaussian")).as_dict()
    of_noise = {"vae": {"noisy_elbo", "noisy_rate", "noisy_distortion"}, "autoencoder": {"noisy_distortion"}}
    assert noisy.keys() == found.keys() | of_noise.get(mode, set())


def test_a_decoder_alone_is_given_z_from_the_prior() -> None:
    """As its distortion, and its bound: log of the mean over the draws of p(x|z) instead of the mean of log p(x|z)."""
    model, pixels = drawn_model(6, mode="decoder_only"), images(2000, 6)
    x = pixels.double() / 255
    with torch.no_grad():
        logits = model.decode(evaluation_noise(2000, 3).double()).logits
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    found = evaluate(model, pixels, Importance(50, 2000))
    assert found.distortion == pytest.approx(float(loss.mean()), rel=1e-9)
    assert found.importance_weighted is not None
    assert found.importance_weighted.proposal == "prior"
    of_other_draws = pytest.approx(-found.distortion, abs=5 * float(loss.std()) / 2000**0.5)
    assert found.importance_weighted.elbo == of_other_draws
    assert found.importance_weighted.bound > found.importance_weighted.elbo + 0.1


def test_an_autoencoder_is_measured_at_its_code() -> None:
    model, pixels = drawn_model(6, mode="autoencoder"), images(30, 6)
    x = pixels.double() / 255
    with torch.no_grad():
        logits = model.decode(model.code(x)).logits
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    assert evaluate(model, pixels).distortion == pytest.approx(float(loss.mean()), rel=1e-9)


# noisy input


def test_the_noisy_numbers_are_of_the_corrupted_input_and_the_clean_target() -> None:
    """Salt and pepper on every pixel leaves nothing of the image: the encoder sees 0 and 1 at random."""
    pixels = torch.full((4000, 6), 51, dtype=torch.uint8)
    model = drawn_model(6, noise="salt_pepper")
    found = evaluate(model, pixels, noise_factor=1.0)
    seen = torch.randint(0, 2, (4000, 6), generator=torch.Generator().manual_seed(0)).double()
    x, noise = pixels.double() / 255, evaluation_noise(4000, 3).double()
    with torch.no_grad():
        (mean, log_variance), pixel = model(seen, noise)
    rate = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(pixel.logits, x, reduction="none").sum(-1)
    assert found.noisy_rate == pytest.approx(float(rate.mean()), abs=5 * float(rate.std()) / 4000**0.5)
    assert found.noisy_distortion == pytest.approx(float(loss.mean()), abs=5 * float(loss.std()) / 4000**0.5)
    assert found.noisy_elbo == pytest.approx(-found.noisy_rate - found.noisy_distortion)
    assert found.rate == pytest.approx(evaluate(drawn_model(6), pixels).rate)  # the clean numbers stay what they were
    assert abs(found.rate - found.noisy_rate) > 0.1


def test_noise_of_strength_zero_changes_nothing() -> None:
    found = evaluate(drawn_model(6, noise="gaussian"), images(50, 6), noise_factor=0.0)
    clean = (found.elbo, found.rate, found.distortion)
    assert (found.noisy_elbo, found.noisy_rate, found.noisy_distortion) == clean


# the bound, the information and the neighbours, as the report shows them


def test_the_bound_is_of_the_first_images_with_its_standard_error() -> None:
    model, pixels = drawn_model(6), images(EVALUATION_BATCH + 30, 6)
    found = evaluate(model, pixels, Importance(7, EVALUATION_BATCH + 10)).importance_weighted
    assert found is not None
    n = EVALUATION_BATCH + 10
    bounds = importance_weighted_bound(model, pixels[:n].double() / 255, 7)
    each, gains = bounds.bound.numpy(), (bounds.bound - bounds.elbo).numpy()
    assert found.gain == pytest.approx(gains.mean(), rel=1e-9)
    assert found.gain_standard_error == pytest.approx(np.std(gains, ddof=1) / math.sqrt(n), rel=1e-9)
    assert found.bound == pytest.approx(np.mean(each), rel=1e-9)
    assert found.standard_error == pytest.approx(np.std(each, ddof=1) / math.sqrt(n), rel=1e-9)
    assert (found.n_samples, found.n_images) == (7, n)


def test_more_images_than_there_are_means_all_of_them_and_one_has_no_standard_error() -> None:
    found = evaluate(drawn_model(6), images(12, 6), Importance(3, 1000)).importance_weighted
    assert found is not None
    assert found.n_images == 12
    alone = evaluate(drawn_model(6), images(12, 6), Importance(3, 1))
    assert alone.importance_weighted is not None
    assert (alone.importance_weighted.n_images, alone.importance_weighted.standard_error) == (1, None)
    assert "standard_error" not in alone.as_dict()["importance_weighted"]


def test_threads_do_not_change_the_bound_and_each_image_is_told_once() -> None:
    told: list[int] = []
    one = evaluate(drawn_model(6), images(40, 6), Importance(50, 40, n_threads=1))
    three = evaluate(drawn_model(6), images(40, 6), Importance(50, 40, n_threads=3), advance=told.append)
    assert one == three
    assert sum(told) == 40


def test_the_pixels_of_the_bound_are_binarised_as_those_of_the_elbo() -> None:
    """A pixel that is never on has p(x) = p(0), whatever its grey value below one half."""
    pixels = torch.full((20, 6), 100, dtype=torch.uint8)
    model = drawn_model(6, binarize="threshold")
    found = evaluate(model, pixels, Importance(9, 20)).importance_weighted
    expected = importance_weighted_bound(model, torch.zeros(20, 6, dtype=torch.float64), 9).bound.mean()
    assert found is not None
    assert found.bound == pytest.approx(float(expected), rel=1e-9)


def test_the_rate_is_the_information_and_the_marginal_kl() -> None:
    """Hoffman & Johnson 2016, with z of the evaluation's own noise."""
    model, pixels = drawn_model(6), images(60, 6)
    found = evaluate(model, pixels)
    assert found.mutual_information is not None
    assert found.marginal_kl is not None
    with torch.no_grad():
        posterior = model.encode(pixels.double() / 255)
        z = posterior.mean + torch.exp(posterior.log_variance / 2) * evaluation_noise(60, 3).double()
    assert found.mutual_information == pytest.approx(mutual_information(posterior, z).value)
    assert found.mutual_information_ceiling == pytest.approx(math.log(60))
    assert found.rate == pytest.approx(found.mutual_information + found.marginal_kl)


def test_neighbours_are_looked_for_among_the_first_10000_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same images as reference and as queries: the nearest one is itself. Without the last ten, it is not."""
    monkeypatch.setattr("vae.evaluate.evaluate.MOST_REFERENCES", 20)
    train = images(30, 6, seed=4)
    labels = np.arange(30)
    found = evaluate(drawn_model(6), train, neighbours=Neighbours(labels, Images(train.numpy(), labels), 1)).neighbours
    assert found is not None
    assert (found.n_neighbours, found.n_reference) == (1, 20)
    assert found.accuracy == pytest.approx(20 / 30)


def test_one_label_for_all_is_nothing_to_tell_apart() -> None:
    assert evaluate(drawn_model(6), images(30, 6), neighbours=labelled(n_classes=1)).neighbours is None


def test_codes_are_means_and_not_samples() -> None:
    model, pixels = drawn_model(6), images(EVALUATION_BATCH + 3, 6)
    with torch.no_grad():
        means = model.encode(pixels.double() / 255).mean
    np.testing.assert_allclose(codes(model, pixels), means.numpy(), rtol=1e-12)


def test_weights_that_have_diverged_are_refused() -> None:
    model = drawn_model(6)
    model.logits.bias.data[0] = math.nan
    with pytest.raises(CheckpointError, match="diverged: the distortion is nan"):
        evaluate(model, images(3, 6))


def test_the_information_is_of_the_first_10000_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae.evaluate.evaluate.MOST_INFORMING", 20)
    model, pixels = drawn_model(6), images(60, 6)
    found = evaluate(model, pixels)
    with torch.no_grad():
        posterior = model.encode(pixels[:20].double() / 255)
        z = posterior.mean + torch.exp(posterior.log_variance / 2) * evaluation_noise(60, 3)[:20].double()
    information = mutual_information(posterior, z)
    assert found.mutual_information == pytest.approx(information.value)
    assert found.mutual_information_ceiling == pytest.approx(math.log(20))
    rate = 0.5 * (posterior.mean**2 + posterior.log_variance.exp() - 1 - posterior.log_variance).sum(-1).mean()
    assert found.marginal_kl == pytest.approx(float(rate) - information.value)


def test_the_bound_of_the_split_is_its_elbo_and_the_gain_on_the_first_images() -> None:
    model, pixels = drawn_model(6), images(40, 6)
    found = evaluate(model, pixels, Importance(50, 15))
    assert found.elbo is not None
    assert found.importance_weighted is not None
    first = importance_weighted_bound(model, pixels[:15].double() / 255, 50)
    expected = found.elbo + float((first.bound - first.elbo).mean())
    assert found.bound == (pytest.approx(expected, rel=1e-9), found.importance_weighted.gain_standard_error)
    every = evaluate(model, pixels, Importance(50, 40)).bound
    assert every is not None
    assert found.bound[0] == pytest.approx(every[0], abs=4 * found.bound[1])  # what all of the images give
    assert evaluate(model, pixels).bound is None


@pytest.mark.parametrize(("information", "is_saturated"), [(9.2, True), (8.72, True), (8.70, False), (None, False)])
def test_mutual_information_near_the_logarithm_of_the_images_is_a_lower_limit(
    information: float | None, is_saturated: bool
) -> None:
    numbers = Evaluation(10_000, 80.0, -100.0, 20.0, mutual_information=information)
    numbers = replace(numbers, mutual_information_ceiling=math.log(10_000), marginal_kl=1.0)  # 9.21
    assert numbers.is_saturated is is_saturated
    if information is not None:
        assert ("at least" in table(numbers)) is ("at most 1.00" in table(numbers)) is is_saturated
