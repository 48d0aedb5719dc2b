import numpy as np
import pytest
from scipy import stats

from report.numbers.checkpoint.decoded import reconstructions
from report.numbers.checkpoint.walks import Plane, Spacing, interpolations, manifold, prior_quantiles, traversals
from tests.material.subjects import grey, greys, subject

ZEROS = np.zeros((3, 2))


def test_the_priors_quantiles_split_it_evenly() -> None:
    assert prior_quantiles(20) == pytest.approx(stats.norm.ppf((np.arange(20) + 0.5) / 20))


@pytest.mark.parametrize("limit", [0.5, 3.0, 8.0])
def test_within_a_range_the_quantiles_are_those_of_the_truncated_normal(limit: float) -> None:
    expected = stats.truncnorm.ppf((np.arange(15) + 0.5) / 15, -limit, limit)
    assert prior_quantiles(15, limit) == pytest.approx(expected, abs=1e-6)


def test_the_manifold_of_two_latents_grows_to_the_right_and_upwards() -> None:
    numbers = manifold(subject(ZEROS))
    assert numbers.plane.dimensions == (0, 1)
    assert numbers.images.shape == (20, 20, 2, 2)
    expected = greys(stats.norm.ppf((np.arange(20) + 0.5) / 20))
    assert numbers.images[7, :, 0, 0].tolist() == expected  # z0 is written into the first pixel
    assert numbers.images[:, 7, 0, 1].tolist() == expected[::-1]  # z1 into the second, highest on top


@pytest.mark.parametrize(("limit", "reach"), [(None, 3.0), (1.5, 1.5)])
@pytest.mark.parametrize("mode", ["vae", "decoder_only"])
def test_evenly_spaced_places_reach_from_end_to_end(limit: float | None, reach: float, mode: str) -> None:
    numbers = manifold(subject(ZEROS, mode=mode), 5, "uniform", limit)
    expected = [-reach, -reach / 2, 0, reach / 2, reach]
    assert [places.tolist() for places in numbers.places] == [expected, expected]
    assert numbers.images[0, :, 0, 0].tolist() == greys(np.array(expected))
    assert (numbers.spacing, numbers.limit) == ("uniform", reach)


def test_the_manifold_of_more_latents_is_the_plane_of_the_highest_kl_with_the_others_at_zero() -> None:
    means = np.array([[0.1, 3.0, 0.0, -2.0], [-0.1, -3.0, 0.0, 2.0]])
    numbers = manifold(subject(means))
    assert numbers.plane.dimensions == (1, 3)
    assert numbers.plane.strengths == pytest.approx((4.5, 2.0), abs=1e-3)
    assert numbers.images[0, :, 0, 1].tolist() == greys(numbers.places[0])
    assert numbers.images[:, 0, 1, 1].tolist() == greys(numbers.places[1][::-1])
    assert np.unique(numbers.images[:, :, 0, 0]).tolist() == [grey(0)]
    assert np.unique(numbers.images[:, :, 1, 0]).tolist() == [grey(0)]


def test_the_manifold_of_one_latent_is_a_row() -> None:
    numbers = manifold(subject(np.zeros((3, 1))))
    assert numbers.images.shape == (1, 20, 2, 2)
    assert numbers.images[0, :, 0, 0].tolist() == greys(numbers.places[0])


def _codes() -> np.ndarray:
    """Of 201 images: z0 1, z1 from -5 to 5, z2 from 0 to 1; the quantiles of evenly spaced numbers are exact."""
    return np.stack([np.ones(201), np.linspace(-5, 5, 201), np.linspace(0, 1, 201)], axis=1)


@pytest.mark.parametrize("spacing", ["normal", "uniform"])
def test_the_manifold_of_an_autoencoder_covers_its_codes(spacing: Spacing) -> None:
    numbers = manifold(subject(_codes(), mode="autoencoder"), 3, spacing)
    assert numbers.spacing == "codes"
    assert numbers.plane.dimensions == (1, 2)  # by the variance of the code
    assert numbers.places[0] == pytest.approx([-4.95, 0, 4.95], abs=1e-3)  # all but half a percent at either end
    assert numbers.places[1] == pytest.approx([0.005, 0.5, 0.995], abs=1e-3)
    assert numbers.images[0, :, 0, 1].tolist() == greys(numbers.places[0])
    assert numbers.images[:, 0, 1, 0].tolist() == greys(numbers.places[1][::-1])
    assert np.unique(numbers.images[:, :, 0, 0]).tolist() == [grey(1)]  # the other latent: at the codes' mean


def test_an_autoencoders_manifold_may_be_of_a_chosen_range() -> None:
    numbers = manifold(subject(_codes(), mode="autoencoder"), 3, limit=2.0)
    assert [places.tolist() for places in numbers.places] == [[-2, 0, 2], [-2, 0, 2]]


def test_the_manifold_may_be_of_a_chosen_plane() -> None:
    numbers = manifold(subject(_codes()), 4, at=Plane((0, 2), (0.5, 0.2), "KL", 3))
    assert numbers.images[0, :, 0, 0].tolist() == greys(numbers.places[0])
    assert np.unique(numbers.images[:, :, 0, 1]).tolist() == [grey(0)]


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
    numbers = traversals(subject(_codes(), mode="autoencoder"), 100)
    assert numbers.dimensions.tolist() == [1, 2, 0]
    assert numbers.strengths == pytest.approx(_codes().var(0)[[1, 2, 0]], rel=1e-3, abs=1e-6)
    assert numbers.z[0] == pytest.approx(np.linspace(-4.95, 4.95, 11), abs=1e-3)
    assert numbers.z[1] == pytest.approx(np.linspace(0.005, 0.995, 11), abs=1e-3)


def test_a_decoder_alone_is_traversed_from_zero() -> None:
    numbers = traversals(subject(ZEROS, mode="decoder_only"))
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
