import numpy as np
import pytest
from scipy import stats

from report.numbers.checkpoint.manifold import Plane, Spacing, manifold, prior_quantiles
from tests.material.subjects import grey, greys, spread_codes, subject

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


@pytest.mark.parametrize("spacing", ["normal", "uniform"])
def test_the_manifold_of_an_autoencoder_covers_its_codes(spacing: Spacing) -> None:
    numbers = manifold(subject(spread_codes(), mode="autoencoder"), 3, spacing)
    assert numbers.spacing == "codes"
    assert numbers.plane.dimensions == (1, 2)  # by the variance of the code
    assert numbers.places[0] == pytest.approx([-4.95, 0, 4.95], abs=1e-3)  # all but half a percent at either end
    assert numbers.places[1] == pytest.approx([0.005, 0.5, 0.995], abs=1e-3)
    assert numbers.images[0, :, 0, 1].tolist() == greys(numbers.places[0])
    assert numbers.images[:, 0, 1, 0].tolist() == greys(numbers.places[1][::-1])
    assert np.unique(numbers.images[:, :, 0, 0]).tolist() == [grey(1)]  # the other latent: at the codes' mean


def test_an_autoencoders_manifold_may_be_of_a_chosen_range() -> None:
    numbers = manifold(subject(spread_codes(), mode="autoencoder"), 3, limit=2.0)
    assert [places.tolist() for places in numbers.places] == [[-2, 0, 2], [-2, 0, 2]]


def test_the_manifold_may_be_of_a_chosen_plane() -> None:
    numbers = manifold(subject(spread_codes()), 4, at=Plane((0, 2), (0.5, 0.2), "KL", 3))
    assert numbers.images[0, :, 0, 0].tolist() == greys(numbers.places[0])
    assert np.unique(numbers.images[:, :, 0, 1]).tolist() == [grey(0)]
