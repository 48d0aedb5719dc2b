"""vae/latent_statistics.py, against closed forms, integrals and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import norm
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from vae.errors import UserError
from vae.evaluate import latents
from vae.evaluate.latents import active_units, mutual_information, neighbour_accuracy, squared_distances
from vae.model.network import Posterior

DOUBLE = torch.float64


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def _sampled(mean: Tensor, log_variance: Tensor, seed: int = 1) -> tuple[Posterior, Tensor]:
    return Posterior(mean, log_variance), mean + torch.exp(0.5 * log_variance) * _draw(*mean.shape, seed=seed)


# mutual information


@pytest.mark.parametrize("n_images", [1, 2, 300])
def test_posteriors_far_apart_tell_every_image_log_n_nats(n_images: int) -> None:
    mean = torch.arange(n_images, dtype=DOUBLE)[:, None] * torch.tensor([100.0, -70.0], dtype=DOUBLE)
    found = mutual_information(*_sampled(mean, torch.zeros_like(mean)))
    assert found.value == pytest.approx(math.log(n_images), abs=1e-9)
    assert found.ceiling == pytest.approx(math.log(n_images))


@pytest.mark.parametrize("log_variance", [-80.0, -30.0, 0.0, 3.0])
def test_one_posterior_for_all_images_tells_nothing(log_variance: float) -> None:
    mean = torch.tensor([[0.7, -4.0, 2.0]], dtype=DOUBLE).expand(200, 3)
    found = mutual_information(*_sampled(mean, torch.full_like(mean, log_variance)))
    assert found.value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("apart", [0.5, 1.0, 2.5])
def test_of_two_gaussians_it_is_the_entropy_of_their_mixture_less_their_own(apart: float) -> None:
    """Half of the images at each; by numerical integration. The standard error is below 0.01."""
    n = 4000
    mean = torch.where(torch.arange(n) % 2 == 0, -apart, apart).to(DOUBLE)[:, None]
    found = mutual_information(*_sampled(mean, torch.zeros_like(mean)))

    def integrand(z: float) -> float:
        mixture = 0.5 * (norm.pdf(z, -apart) + norm.pdf(z, apart))
        return float(-mixture * np.log(mixture))

    expected = integrate.quad(integrand, -15, 15)[0] - 0.5 * math.log(2 * math.pi * math.e)
    assert found.value == pytest.approx(expected, abs=0.03)


def test_an_aggregate_that_is_the_prior_leaves_the_whole_rate_as_information() -> None:
    """Means N(0, 1 - v) and variance v make q(z) = N(0, 1): I = -0.5 log v for each latent, far below log N."""
    n, v = 4000, torch.tensor([0.5, 0.8], dtype=DOUBLE)
    mean = torch.sqrt(1 - v) * _draw(n, 2)
    found = mutual_information(*_sampled(mean, v.log().expand(n, 2)))
    assert found.value == pytest.approx(float(-0.5 * v.log().sum()), abs=0.03)


@pytest.mark.parametrize("at_once", [1, 50 * 7, 2**22])
def test_it_is_that_of_torchs_mixture_whatever_the_blocks(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "NUMBERS_AT_ONCE", at_once)
    posterior, z = _sampled(_draw(50, 3), 0.5 * _draw(50, 3, seed=2) - 1)
    each = Independent(Normal(posterior.mean, torch.exp(0.5 * posterior.log_variance)), 1)
    mixture = MixtureSameFamily(Categorical(torch.ones(50, dtype=DOUBLE)), each)
    expected = (each.log_prob(z) - mixture.log_prob(z)).mean()
    assert mutual_information(posterior, z).value == pytest.approx(float(expected), abs=1e-9)


@given(n=st.integers(1, 30), size=st.integers(1, 4), spread=st.floats(0, 100), seed=st.integers(0, 2**31))
def test_it_never_exceeds_log_n(n: int, size: int, spread: float, seed: int) -> None:
    posterior, z = _sampled(spread * _draw(n, size, seed=seed), _draw(n, size, seed=seed + 1))
    assert mutual_information(posterior, z).value <= math.log(n) + 1e-9


@given(scale=st.sampled_from([1e-30, 1e-12, 1e-3, 1.0, 10.0]), seed=st.integers(0, 2**31))
def test_distances_are_right_however_narrow_the_gaussians_are(scale: float, seed: int) -> None:
    z, mean = _draw(5, 3, seed=seed), _draw(7, 3, seed=seed + 1)
    mean[2] = z[1]  # a distance of 0 between large terms
    variance = scale * torch.exp(_draw(7, 3, seed=seed + 2))
    expected = ((z[:, None] - mean) ** 2 / variance).sum(-1)
    torch.testing.assert_close(squared_distances(z, mean, variance), expected, rtol=1e-9, atol=1e-5)


# active units


def test_a_unit_is_active_if_its_mean_varies_by_more_than_a_hundredth() -> None:
    """+a and -a in equal numbers have variance a^2 n / (n - 1)."""
    n = 1000
    signs = torch.where(torch.arange(n) % 2 == 0, 1.0, -1.0).to(DOUBLE)[:, None]
    amplitudes = torch.sqrt(torch.tensor([0.0, 0.0099, 0.0101, 4.0], dtype=DOUBLE) * (n - 1) / n)
    assert active_units(50 + signs * amplitudes).tolist() == [False, False, True, True]


def test_a_single_image_shows_no_active_unit() -> None:
    assert active_units(torch.tensor([[3.0, -1.0]])).tolist() == [False, False]


# nearest neighbours


def test_clusters_apart_are_told_apart_and_a_strange_label_is_not() -> None:
    """Queries beside their cluster of ten; the two labelled otherwise are the only faults."""
    centres = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]])
    reference = np.repeat(centres, 10, axis=0) + np.tile(np.linspace(-1, 1, 10)[:, None], (3, 2))
    queries = np.repeat(centres, 4, axis=0) + 0.3
    labels = np.repeat([5, 2, 9], 4)
    labels[[0, 7]] = [2, 9]
    assert neighbour_accuracy(queries, labels, reference, np.repeat([5, 2, 9], 10), 5) == pytest.approx(10 / 12)


@pytest.mark.parametrize("n_neighbours", [1, 5, 8])
def test_it_is_the_share_that_the_majority_of_the_nearest_gets_right(n_neighbours: int) -> None:
    """By sorting every distance; a tie goes to the smallest label, as scikit-learn's mode has it."""
    draw = np.random.default_rng(0)
    reference, queries = draw.normal(size=(80, 3)), draw.normal(size=(60, 3))
    known, labels = draw.integers(0, 4, 80), draw.integers(0, 4, 60)
    nearest = np.argsort(np.linalg.norm(queries[:, None] - reference, axis=-1), axis=1)[:, :n_neighbours]
    votes = np.array([np.bincount(known[row], minlength=4).argmax() for row in nearest])
    expected = float((votes == labels).mean())
    assert 0 < expected < 1
    assert neighbour_accuracy(queries, labels, reference, known, n_neighbours) == pytest.approx(expected)


def test_more_neighbours_than_images_are_refused() -> None:
    codes, labels = np.zeros((4, 2)), np.array([0, 1, 0, 1])
    with pytest.raises(UserError, match="5 neighbours of 4 images"):
        neighbour_accuracy(codes, labels, codes, labels, 5)
