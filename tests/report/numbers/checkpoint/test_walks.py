import numpy as np
import pytest

from report.numbers.checkpoint.reconstructions import reconstructions
from report.numbers.checkpoint.walks import interpolations, traversals
from tests.material.subjects import grey, greys, spread_codes, subject

MEANS = np.array([[0.5, 3.0, 0.1], [-0.5, -3.0, 1.9]])  # KL 0.125, 4.5, (0.01 + 3.61) / 4


def test_traversals_are_ordered_by_kl_and_go_from_minus_three_to_three() -> None:
    numbers = traversals(subject(MEANS))
    assert numbers.dimensions.tolist() == [1, 2, 0]
    assert numbers.strengths == pytest.approx([4.5, 0.905, 0.125], abs=1e-3)
    assert np.allclose(numbers.z, np.linspace(-3, 3, 11))
    assert traversals(subject(MEANS), n_latents=2).dimensions.tolist() == [1, 2]


@pytest.mark.parametrize("image", [0, 1])
def test_a_row_of_a_traversal_moves_its_latent_alone(image: int) -> None:
    numbers = traversals(subject(MEANS), image)
    assert numbers.image == image
    for row, latent in enumerate([1, 2, 0]):
        pixels = numbers.images[row].reshape(11, 4)
        for other in range(3):
            expected = greys(np.linspace(-3, 3, 11)) if other == latent else [grey(MEANS[image, other])] * 11
            assert pixels[:, other].tolist() == expected
    assert numbers.at_image == pytest.approx(MEANS[image, [1, 2, 0]], abs=1e-3)
    assert numbers.input is not None
    assert numbers.input[0, 0] == image
    assert numbers.reconstruction.ravel()[:3].tolist() == greys(MEANS[image])


def test_an_autoencoder_is_traversed_over_the_range_of_its_codes_by_their_variance() -> None:
    numbers = traversals(subject(spread_codes(), mode="autoencoder"), 100)
    assert numbers.dimensions.tolist() == [1, 2, 0]
    assert numbers.strengths == pytest.approx(spread_codes().var(0)[[1, 2, 0]], rel=1e-3, abs=1e-6)
    assert numbers.z[0] == pytest.approx(np.linspace(-4.95, 4.95, 11), abs=1e-3)
    assert numbers.z[1] == pytest.approx(np.linspace(0.005, 0.995, 11), abs=1e-3)


def test_a_decoder_alone_is_traversed_from_zero() -> None:
    numbers = traversals(subject(np.zeros((3, 2)), mode="decoder_only"))
    assert numbers.image is None
    assert numbers.input is None
    assert numbers.dimensions.tolist() == [0, 1]
    assert numbers.images[0, :, 0, 0].tolist() == greys(np.linspace(-3, 3, 11))
    assert np.unique(numbers.images[0, :, 0, 1]).tolist() == [grey(0)]


@pytest.mark.parametrize("mode", ["vae", "autoencoder"])
def test_interpolations_begin_and_end_at_the_reconstructions_of_the_two_images(mode: str) -> None:
    means = np.random.default_rng(0).normal(size=(12, 2))
    one = subject(means, [0, 1, 2] * 4, mode=mode)
    numbers = interpolations(one, 5)
    plain = reconstructions(one, 3, 4)
    of_image = dict(zip(plain.inputs[:, 0, 0].tolist(), plain.outputs, strict=True))
    assert len(of_image) == 12
    for pair, ends, line, names in zip(
        numbers.pairs.tolist(), numbers.ends, numbers.images, numbers.names, strict=True
    ):
        assert ends[:, 0, 0].tolist() == pair  # image i is of grey value i
        assert np.array_equal(line[0], of_image[pair[0]])
        assert np.array_equal(line[-1], of_image[pair[1]])
        assert names == tuple(str(place % 3) for place in pair)
        assert names[0] != names[1]


def test_an_interpolation_is_a_straight_line_of_even_steps() -> None:
    numbers = interpolations(subject(np.array([[-2.0, 1.0], [2.0, 0.0]])), 1)
    assert numbers.images[0, :, 0, 0].tolist() == greys(np.linspace(-2, 2, 9))
    assert numbers.images[0, :, 0, 1].tolist() == greys(np.linspace(1, 0, 9))


def test_without_classes_the_ends_are_half_a_split_apart() -> None:
    one = subject(np.zeros((40, 1)))
    numbers = interpolations(one, 3)
    assert numbers.pairs.tolist() == [[0, 20], [10, 30], [19, 39]]
