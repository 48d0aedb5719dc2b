import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.models.subject import Subject
from report.numbers.checkpoint.latents import kl_per_dimension, latents, name_places, principal_components, tsne
from tests.material.subjects import subject
from vae.storage.checkpoint import Description


@pytest.mark.parametrize("mode", ["vae", "autoencoder"])
@pytest.mark.parametrize("latent_size", [1, 2])
def test_one_or_two_latents_are_shown_as_they_are(latent_size: int, mode: str) -> None:
    means = np.array([[1.0, 0.0], [5.0, 0.0]])[:, :latent_size]
    numbers = latents(subject(means, [4, 7], mode=mode))
    assert numbers.projection == "none"
    assert numbers.plane is not None
    assert numbers.plane.dimensions == tuple(range(latent_size))
    assert np.allclose(numbers.z, means, atol=1e-3)
    assert numbers.labels.tolist() == [4, 7]


def test_more_latents_are_shown_by_their_principal_components() -> None:
    """Against numpy's singular values of the centred codes; the sign of a component is free."""
    means = np.random.default_rng(1).normal(size=(50, 5)) @ np.diag([0.1, 2.0, 0.3, 1.0, 0.2])
    numbers = latents(subject(means))
    u, s, _ = np.linalg.svd(means - means.mean(0), full_matrices=False)
    assert numbers.projection == "PCA"
    assert np.allclose(np.abs(numbers.z), np.abs(u[:, :2] * s[:2]), atol=1e-3)
    assert numbers.explained == pytest.approx((s[:2] ** 2 / (s**2).sum()).tolist(), abs=1e-4)


@pytest.mark.filterwarnings("error")
def test_codes_at_one_point_have_no_components() -> None:
    z, explained = principal_components(np.ones((7, 4)))
    assert z.tolist() == [[0.0, 0.0]] * 7
    assert explained == (0.0, 0.0)


@pytest.mark.filterwarnings("error")
def test_two_images_have_one_direction() -> None:
    z, explained = principal_components(np.array([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]]))
    assert np.allclose(np.sort(z[:, 0]), [-2.5, 2.5])
    assert np.allclose(z[:, 1], 0)
    assert explained == pytest.approx((1.0, 0.0))


def test_fewer_points_are_spread_over_the_split_with_their_labels() -> None:
    means = np.arange(21.0)[:, None]
    numbers = latents(subject(means, [0, 1, 2] * 7), 5)
    assert numbers.places.tolist() == [0, 5, 10, 15, 20]
    assert np.allclose(numbers.z[:, 0], [0, 5, 10, 15, 20], atol=1e-2)
    assert numbers.labels.tolist() == [0, 2, 1, 0, 2]
    assert numbers.n_images == 21


def test_tsne_keeps_far_groups_apart_and_gives_the_same_points_twice() -> None:
    groups = np.repeat(np.eye(3) * 20, 12, axis=0)
    means = groups + np.random.default_rng(0).normal(size=(36, 3)) * 0.1
    one = subject(means)
    numbers = tsne(one, perplexity=5)
    of_group = numbers.z.reshape(3, 12, 2)
    centres = of_group.mean(1)
    radius = np.linalg.norm(of_group - centres[:, None], axis=-1).max()
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)[np.triu_indices(3, 1)]
    assert distances.min() > 2 * radius
    assert numbers.projection == "t-SNE"
    assert np.array_equal(numbers.z, tsne(one, perplexity=5).z)


def test_of_a_film_the_places_are_its_time() -> None:
    one = subject(np.zeros((4, 2)))
    assert not latents(one).is_film
    film = Description(one.config, "freyface", (2, 2), 1)
    numbers = latents(Subject.of(one.model, film, "validation", one.images, []))
    assert numbers.is_film
    assert numbers.class_names == ()


def _overlaps(places: np.ndarray, sizes: np.ndarray) -> bool:
    apart = np.abs(places[:, None] - places[None]) - (sizes[:, None] + sizes[None]) / 2
    first, second = np.triu_indices(len(places), 1)
    return bool((apart[first, second] < -1e-6).all(-1).any())


@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=2, max_size=10),
    st.lists(st.floats(0.1, 1.5), min_size=10, max_size=10),
)
def test_names_of_classes_do_not_cover_each_other(medians: list[tuple[float, float]], widths: list[float]) -> None:
    z = np.array(medians)
    sizes = np.array([(width, 0.3) for width in widths[: len(z)]])
    places = name_places(z, np.arange(len(z)), sizes)
    assert not _overlaps(places, sizes)


def test_names_that_are_apart_stay_on_their_medians() -> None:
    z = np.array([[0.0, 0.0], [0.2, 0.0], [0.1, 0.3], [5.0, 5.0]])
    places = name_places(z, np.array([0, 0, 0, 1]), np.full((2, 2), 0.5))
    assert places.tolist() == [[0.1, 0.0], [5.0, 5.0]]


def test_the_kl_per_dimension_is_sorted_with_its_indices_and_sums_to_the_rate() -> None:
    means = np.array([[1.0, 3.0, 0.0], [-1.0, -3.0, 0.0]])
    numbers = kl_per_dimension(subject(means))
    assert numbers.dimensions.tolist() == [1, 0, 2]
    assert np.allclose(numbers.kl, [4.5, 0.5, 0.0], atol=1e-4)
    assert numbers.active.tolist() == [True, True, False]
