import math

import numpy as np
import pytest

from report.models.subject import Subject
from report.numbers.checkpoint.decoded import (
    denoising,
    fitted_samples,
    gaussian_of,
    reconstructions,
    sample_blocks,
    samples,
)
from tests.material.subjects import grey, greys, subject
from vae.datasets.types import Images
from vae.randomness.streams import evaluation_noise


def test_reconstructions_take_the_first_images_of_each_class_a_class_per_column() -> None:
    numbers = reconstructions(subject(np.zeros((8, 1)), [1, 0, 1, 0, 1, 0, 1, 0]), 2)
    assert numbers.n_columns == 2
    assert numbers.class_names == ("0", "1")
    assert numbers.inputs[:, 0, 0].tolist() == [1, 0, 3, 2, 5, 4]


def test_reconstructions_without_classes_are_of_images_from_the_whole_split() -> None:
    numbers = reconstructions(subject(np.zeros((59, 1))))
    assert numbers.inputs[:, 0, 0].tolist() == list(range(0, 59, 2))
    assert numbers.class_names == ()


@pytest.mark.parametrize("mode", ["vae", "autoencoder"])
def test_reconstructions_are_decoded_from_the_codes(mode: str) -> None:
    numbers = reconstructions(subject(np.array([[-2.0], [0.0], [2.0]]), mode=mode))
    assert numbers.outputs[:, 0, 0].tolist() == [grey(-2), grey(0), grey(2)]
    assert not numbers.is_random


def test_without_an_encoder_what_comes_back_is_of_random_z() -> None:
    numbers = reconstructions(subject(np.zeros((30, 1)), mode="decoder_only"))
    assert numbers.is_random
    assert numbers.outputs[:, 0, 0].tolist() == greys(evaluation_noise(30, 1)[:, 0].numpy())


def test_the_size_of_the_grid_is_a_choice() -> None:
    numbers = reconstructions(subject(np.zeros((40, 1))), 7, 2)
    assert (len(numbers.inputs), len(numbers.outputs), numbers.n_columns) == (14, 14, 7)


def test_without_any_noise_what_is_restored_is_the_reconstruction() -> None:
    means = np.linspace(-2, 2, 12)[:, None]
    one = subject(means, noise="gaussian", noise_factor=0.0)
    numbers, plain = denoising(one), reconstructions(one)
    assert np.array_equal(numbers.clean, numbers.corrupted)
    assert np.array_equal(numbers.restored, plain.outputs)


def test_salt_and_pepper_of_every_pixel_leaves_black_and_white_as_often() -> None:
    numbers = denoising(subject(np.zeros((200, 1)), noise="salt_pepper", noise_factor=1.0), 20, 10)
    assert set(np.unique(numbers.corrupted)) == {0, 255}
    assert (numbers.corrupted == 255).mean() == pytest.approx(0.5, abs=0.07)  # 800 pixels: 4 standard errors
    assert np.array_equal(numbers.clean[:, 0, 0], np.arange(200))


def test_what_is_restored_is_what_the_model_makes_of_the_corrupted_image() -> None:
    """A model without noise that is given the corrupted images as its split reconstructs the same."""
    means = np.linspace(-2, 2, 30)[:, None]
    numbers = denoising(subject(means, noise="salt_pepper", noise_factor=0.5), 10, 3)
    plain = subject(means)
    corrupted = Images(numbers.corrupted.reshape(30, 4), np.zeros(30, int))
    fed = Subject.of(plain.model, plain.description, "validation", corrupted, [])
    assert np.array_equal(reconstructions(fed, 10, 3).outputs, numbers.restored)
    assert not np.array_equal(numbers.restored, reconstructions(plain, 10, 3).outputs)


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
