import math

import numpy as np
import pytest

from report.numbers.checkpoint.samples import fitted_samples, gaussian_of, sample_blocks, samples
from tests.material.subjects import grey, subject


def test_samples_are_the_same_each_time_and_spread_like_the_prior() -> None:
    one = subject(np.zeros((3, 2)))
    images = samples(one)
    assert images.shape == (100, 2, 2)
    assert np.array_equal(images, samples(one))
    assert samples(one, 7).shape == (7, 2, 2)
    within = (images[:, 0, 0] > grey(-1)) & (images[:, 0, 0] < grey(1))
    assert 0.52 < within.mean() < 0.84  # 0.683 +- 3 standard errors of 100 draws


CODES = np.array([[2.0, 1.0], [0.0, -1.0], [1.5, 0.5], [0.5, -0.5]])  # mean (1, 0), z1 = z0 - 1


def _latents(images: np.ndarray) -> np.ndarray:
    """The inverse of the decoder of `subject`, within a grey value."""
    share = images.reshape(len(images), -1)[:, :2].clip(1, 254) / 255
    latents: np.ndarray = np.log(share / (1 - share))
    return latents


def test_fitted_samples_are_spread_like_the_codes() -> None:
    z = _latents(fitted_samples(subject(CODES, mode="autoencoder"), 2000))
    assert z.mean(0) == pytest.approx(CODES.mean(0), abs=3 * CODES.std() / math.sqrt(2000))
    assert z.std(0) == pytest.approx(CODES.std(0), abs=0.05)
    exact = z[(np.abs(z) < 2).all(-1)]  # further out a grey value is a long way
    assert len(exact) > 1000
    assert np.allclose(exact[:, 1], exact[:, 0] - 1, atol=0.05)  # the codes lie on a line, and so do the samples


def test_one_latent_too_has_a_gaussian() -> None:
    centre, covariance = gaussian_of(np.array([[1.0], [3.0]]))
    assert (centre.tolist(), covariance.tolist()) == ([2.0], [[1.0]])


def test_only_an_autoencoder_has_samples_from_a_fitted_gaussian() -> None:
    (block,) = sample_blocks(subject(CODES), 9)
    assert block.z_from == "z ~ N(0, I)"
    fitted, standard = sample_blocks(subject(CODES, mode="autoencoder"), 9)
    assert "fitted" in fitted.z_from
    assert np.array_equal(standard.images, block.images)
    assert not np.array_equal(fitted.images, standard.images)
