import numpy as np
import pytest

from report.models.subject import Subject
from report.numbers.checkpoint.reconstructions import denoising, reconstructions
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
