import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from report_material import metrics, nan_metrics

from report import views
from vae.checkpoint import Description
from vae.config import TrialConfig
from vae.data import Images
from vae.model import Vae

SHAPE = (2, 2)


def _subject(means: np.ndarray, labels: list[int] | None = None, log_variance: float = 0.0) -> views.Subject:
    """A model whose posterior means are the given ones and whose decoder writes z0, z1, ... into the pixels.

    Image i has the grey value i; the encoder is a table, because relu(i + 1 - j) makes a piecewise linear one.
    """
    n_images, latent_size = means.shape
    config = TrialConfig(latent_size=latent_size, hidden_units=max(n_images, 2 * latent_size))
    model = Vae(4, config)
    width = config.hidden_units
    with torch.no_grad():
        model.encoder[0].weight[:, 0] = 255.0
        model.encoder[0].bias[:] = 1.0 - torch.arange(width)
        slopes = np.diff(means, axis=0, prepend=np.zeros((1, latent_size)))
        corners = np.diff(slopes, axis=0, prepend=np.zeros((1, latent_size)))
        model.mean.weight[:, :n_images] = torch.from_numpy(corners.T).float()
        model.log_variance.bias[:] = log_variance
        for latent in range(latent_size):
            model.decoder[0].weight[2 * latent : 2 * latent + 2, latent] = torch.tensor([1.0, -1.0])
        for latent in range(min(latent_size, 4)):
            model.logits.weight[latent, 2 * latent : 2 * latent + 2] = torch.tensor([1.0, -1.0])
    pixels = np.tile(np.arange(n_images, dtype=np.uint8)[:, None], (1, 4))
    images = Images(pixels, np.array(labels if labels is not None else [0] * n_images))
    return views.Subject.of(model.eval(), Description(config, "digits", SHAPE, 1), "validation", images, [])


def _grey(z: float) -> int:
    """What the decoder of _subject makes of a latent: sigmoid(z), as a grey value."""
    return round(255 / (1 + math.exp(-z)))


def test_the_posterior_of_the_split_is_the_encoders() -> None:
    means = np.array([[1.0, 0.0], [-1.0, 0.25], [3.0, 0.5]])
    subject = _subject(means)
    assert np.allclose(subject.means, means, atol=1e-4)
    assert np.allclose(subject.kl, (means**2).mean(0) / 2, atol=1e-4)  # variance 1: KL = mean^2 / 2


def test_the_kl_counts_the_posteriors_variance() -> None:
    subject = _subject(np.zeros((3, 1)), log_variance=math.log(4.0))
    assert subject.kl[0] == pytest.approx((4 - 1 - math.log(4)) / 2, abs=1e-5)


def test_a_latent_is_active_from_a_variance_of_its_mean_above_a_hundredth() -> None:
    spread = np.array([-1.0, 1.0, -1.0, 1.0])[:, None]  # its variance is 4/3
    means = spread * np.sqrt(3 / 4 * np.array([[0.0101, 0.0099, 4.0]]))
    assert _subject(means).active.tolist() == [True, False, True]


def test_reconstructions_take_the_first_images_of_each_class_a_class_per_column() -> None:
    labels = [1, 0, 1, 0, 1, 0, 1, 0]
    numbers = views.reconstructions(_subject(np.zeros((8, 1)), labels))
    assert numbers.n_columns == 2
    assert numbers.inputs[:, 0, 0].tolist() == [1, 0, 3, 2, 5, 4]


def test_reconstructions_without_classes_are_of_the_first_images() -> None:
    numbers = views.reconstructions(_subject(np.zeros((40, 1))))
    assert numbers.inputs[:, 0, 0].tolist() == list(range(30))


def test_reconstructions_are_decoded_from_the_posterior_means() -> None:
    means = np.array([[-2.0], [0.0], [2.0]])
    numbers = views.reconstructions(_subject(means))
    assert numbers.outputs[:, 0, 0].tolist() == [_grey(-2), _grey(0), _grey(2)]


def test_samples_are_the_same_each_time_and_spread_like_the_prior() -> None:
    subject = _subject(np.zeros((3, 2)))
    images = views.samples(subject)
    assert images.shape == (100, 2, 2)
    assert np.array_equal(images, views.samples(subject))
    within = (images[:, 0, 0] > _grey(-1)) & (images[:, 0, 0] < _grey(1))
    assert 0.52 < within.mean() < 0.84  # 0.683 +- 3 standard errors of 100 draws


def test_the_priors_quantiles_split_it_evenly() -> None:
    places = views.prior_quantiles(20)
    probability = [0.5 * (1 + math.erf(z / math.sqrt(2))) for z in places]
    assert probability == pytest.approx([(i + 0.5) / 20 for i in range(20)])


def test_the_manifold_of_two_latents_grows_to_the_right_and_upwards() -> None:
    numbers = views.manifold(_subject(np.zeros((3, 2))))
    assert numbers.plane.dimensions == (0, 1)
    assert numbers.images.shape == (20, 20, 2, 2)
    expected = [_grey(z) for z in numbers.places]
    assert numbers.images[7, :, 0, 0].tolist() == expected  # z0 is written into the first pixel
    assert numbers.images[:, 7, 0, 1].tolist() == expected[::-1]  # z1 into the second, highest on top


def test_the_manifold_of_more_latents_is_the_plane_of_the_highest_kl_with_the_others_at_zero() -> None:
    means = np.array([[0.1, 3.0, 0.0, -2.0], [-0.1, -3.0, 0.0, 2.0]])
    numbers = views.manifold(_subject(means))
    assert numbers.plane.dimensions == (1, 3)
    assert numbers.plane.kl == pytest.approx((4.5, 2.0), abs=1e-3)
    assert numbers.images[0, :, 0, 1].tolist() == [_grey(z) for z in numbers.places]
    assert numbers.images[:, 0, 1, 1].tolist() == [_grey(z) for z in numbers.places[::-1]]
    assert np.unique(numbers.images[:, :, 0, 0]).tolist() == [_grey(0)]
    assert np.unique(numbers.images[:, :, 1, 0]).tolist() == [_grey(0)]


def test_the_manifold_of_one_latent_is_a_row() -> None:
    numbers = views.manifold(_subject(np.zeros((3, 1))))
    assert numbers.images.shape == (1, 20, 2, 2)
    assert numbers.images[0, :, 0, 0].tolist() == [_grey(z) for z in numbers.places]


@pytest.mark.parametrize(
    ("latent_size", "expected"), [(1, [[1.0], [5.0]]), (2, [[1, 0], [5, 0]]), (3, [[2, 1], [6, 5]])]
)
def test_the_latents_shown_are_those_of_the_plane(latent_size: int, expected: list[list[float]]) -> None:
    means = np.array([[1.0, 0.0, 2.0], [5.0, 0.0, 6.0]])[:, :latent_size]
    numbers = views.latents(_subject(means, [4, 7]))
    assert np.allclose(numbers.z, expected, atol=1e-3)
    assert numbers.labels.tolist() == [4, 7]


def test_the_kl_per_dimension_is_sorted_with_its_indices_and_sums_to_the_rate() -> None:
    means = np.array([[1.0, 3.0, 0.0], [-1.0, -3.0, 0.0]])
    numbers = views.kl_per_dimension(_subject(means))
    assert numbers.dimensions.tolist() == [1, 0, 2]
    assert np.allclose(numbers.kl, [4.5, 0.5, 0.0], atol=1e-4)
    assert numbers.active.tolist() == [True, True, False]


def test_learning_curves_hold_every_epoch_and_the_best() -> None:
    history = [metrics(1, 100.0), metrics(2, 80.0), metrics(3, 85.0)]
    numbers = views.learning_curves(history)
    train, validation = numbers.curves["distortion"]
    assert numbers.epochs.tolist() == [1, 2, 3]
    assert train.tolist() == [101.0, 81.0, 86.0]
    assert validation.tolist() == [100.0, 80.0, 85.0]
    assert numbers.best == history[1]


def test_a_diverged_epoch_is_a_gap_in_the_curves() -> None:
    numbers = views.learning_curves([metrics(1), nan_metrics(2)])
    assert np.isnan(numbers.curves["elbo"][1]).tolist() == [False, True]
    assert views.learning_curves([nan_metrics(1)]).best is None


def test_the_steep_start_leaves_the_axes_and_nothing_else_does() -> None:
    curve = np.array([-500.0, -110.0, -108.0, -107.0, -106.0])
    low, high = views.worth_showing((curve, curve + 1))
    assert -115 < low < -110
    assert -105 < high < -100


def test_a_short_training_is_shown_whole() -> None:
    low, high = views.worth_showing((np.array([-500.0, -100.0]), np.array([-300.0, -90.0])))
    assert low < -500
    assert high > -90


@pytest.mark.parametrize("values", [[np.nan, np.nan], [-3.0, -3.0]])
def test_limits_are_apart_even_where_there_is_nothing_to_show(values: list[float]) -> None:
    low, high = views.worth_showing((np.array(values), np.array(values)))
    assert low < high


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=2, max_size=10, unique=True))
def test_names_of_classes_do_not_cover_each_other(medians: list[tuple[float, float]]) -> None:
    corners = [(-5.0, -5.0), (5.0, 5.0)]
    z = np.array([*medians, *corners])
    places = views.label_places(z, np.arange(len(z)))
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)[np.triu_indices(len(places), 1)]
    apart = np.linalg.norm(np.array(medians)[:, None] - np.array(medians)[None], axis=-1)
    if apart[np.triu_indices(len(medians), 1)].min() > 1e-3:  # two on one spot have no direction to leave it by
        assert distances.min() > 0.8 * views.LABEL_DISTANCE * 10


def test_names_that_are_apart_stay_on_their_medians() -> None:
    z = np.array([[0.0, 0.0], [0.2, 0.0], [0.1, 0.3], [5.0, 5.0]])
    assert views.label_places(z, np.array([0, 0, 0, 1])).tolist() == [[0.1, 0.0], [5.0, 5.0]]
