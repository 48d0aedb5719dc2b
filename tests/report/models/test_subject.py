import math

import numpy as np
import pytest
import torch

from report.models.subject import Subject
from tests.material.subjects import grey, subject
from vae.errors import CheckpointError

MEANS = np.array([[1.0, 0.0], [-1.0, 0.25], [3.0, 0.5]])


def test_the_posterior_of_the_split_is_the_encoders() -> None:
    one = subject(MEANS)
    assert one.codes is not None
    assert one.kl is not None
    assert np.allclose(one.codes, MEANS, atol=1e-4)
    assert np.allclose(one.kl, (MEANS**2).mean(0) / 2, atol=1e-4)  # variance 1: KL = mean^2 / 2


def test_the_kl_counts_the_posteriors_variance() -> None:
    one = subject(np.zeros((3, 1)), log_variance=math.log(4.0))
    assert one.kl is not None
    assert one.kl[0] == pytest.approx((4 - 1 - math.log(4)) / 2, abs=1e-5)


def test_the_kl_is_the_mean_over_a_split_of_several_batches() -> None:
    means = np.linspace(-2, 2, 256)[:, None]
    images = subject(means).images
    one = subject(means)
    many = type(images)(np.concatenate([images.pixels] * 4), np.concatenate([images.labels] * 4))
    four = Subject.of(one.model, one.description, "validation", many, [])
    assert four.codes is not None
    assert len(four.codes) == 1024
    assert np.allclose(four.codes[256:512], four.codes[768:])
    assert four.kl == pytest.approx((means**2).mean() / 2, abs=1e-3)


def test_a_latent_is_active_from_a_variance_of_its_mean_above_a_hundredth() -> None:
    spread = np.array([-1.0, 1.0, -1.0, 1.0])[:, None]  # its variance is 4/3
    active = subject(spread * np.sqrt(3 / 4 * np.array([[0.0101, 0.0099, 4.0]]))).active
    assert active is not None
    assert active.tolist() == [True, False, True]


def test_an_autoencoder_has_codes_and_no_kl() -> None:
    one = subject(MEANS, mode="autoencoder")
    assert one.codes is not None
    assert np.allclose(one.codes, MEANS, atol=1e-4)
    assert one.kl is None
    assert one.active is None


def test_a_decoder_alone_has_neither() -> None:
    one = subject(MEANS, mode="decoder_only")
    assert one.codes is None
    assert one.kl is None
    assert one.latent_size == 2


@pytest.mark.parametrize(
    ("mode", "strength", "order"),
    [("vae", "KL", [1, 0]), ("autoencoder", "variance", [0, 1]), ("decoder_only", "none", [0, 1])],
)
def test_latents_are_ordered_by_what_the_mode_knows_of_them(mode: str, strength: str, order: list[int]) -> None:
    means = np.array([[1.0, 3.0], [-1.0, 3.0]])  # KL 0.5 and 4.5, variance 1 and 0
    one = subject(means, mode=mode)
    assert one.strength[0] == strength
    assert one.order.tolist() == order


def test_binarised_images_are_shown_as_the_model_sees_them() -> None:
    one = subject(np.zeros((256, 1)), binarize="threshold")
    assert one.inputs(np.array([0, 127, 128, 255]))[:, 0, 0].tolist() == [0, 0, 255, 255]


def test_an_image_is_binarised_at_random_in_the_same_way_wherever_it_is_asked_for() -> None:
    one = subject(np.zeros((200, 1)), binarize="stochastic")
    every = one.inputs(np.arange(200))
    assert set(np.unique(every)) == {0, 255}
    assert np.array_equal(one.inputs(np.array([150, 30])), every[[150, 30]])
    share = every[100:].mean() / 255
    assert share == pytest.approx(149.5 / 255, abs=0.1)  # of ones, by chance: 400 pixels of a mean grey of 149.5


def test_the_encoder_is_given_the_binarised_image() -> None:
    means = np.arange(200.0)[:, None] / 100
    codes = subject(means, binarize="threshold").codes
    assert codes is not None
    assert np.allclose(codes[:128], means[0], atol=1e-4)  # black: of image 0


def test_pixels_are_the_means_of_the_models_likelihood() -> None:
    """Of a continuous Bernoulli of logit l: 1 / (1 - e^-l) - 1 / l (Loaiza-Ganem & Cunningham 2019)."""
    one = subject(np.zeros((3, 1)), likelihood="continuous_bernoulli")
    (pixel,) = one.decode(np.array([[2.0]]))[:, 0, 0]
    assert pixel == round(255 * (1 / (1 - math.exp(-2)) - 1 / 2))
    assert subject(np.zeros((3, 1)), likelihood="gaussian").decode(np.array([[2.0]]))[0, 0, 0] == grey(2)


def test_labels_have_the_names_of_their_dataset_or_those_given() -> None:
    plain = subject(MEANS, [7, 1, 0])
    assert plain.class_name(0) == "7"
    of = (plain.model, plain.description, "validation", plain.images, [])
    named = Subject.of(*of, class_names=[f"class {label}" for label in range(8)])
    assert named.class_name(0) == "class 7"
    assert Subject.of(*of, class_names=()).class_name(0) == ""


def test_weights_that_have_diverged_are_refused() -> None:
    one = subject(MEANS)
    with torch.no_grad():
        one.model.logits.bias[0] = math.nan
    with pytest.raises(CheckpointError, match="diverged"):
        Subject.of(one.model, one.description, "validation", one.images, [])


def test_weights_whose_codes_are_not_finite_are_refused() -> None:
    one = subject(MEANS)
    with torch.no_grad():
        one.model.mean.weight[:] = 3e38
    with pytest.raises(CheckpointError, match="not finite"):
        Subject.of(one.model, one.description, "validation", one.images, [])
