"""vae/metrics.py."""

import json
import math

import pytest

from vae.metrics import EpochMetrics, best


def metrics(epoch: int, val_elbo: float) -> EpochMetrics:
    return EpochMetrics.of(epoch, 1.0, (80.0, 20.0), (-val_elbo - 20, 20.0), 0.1)


def test_elbo_is_free_of_beta_and_the_loss_is_weighted_by_it() -> None:
    epoch = EpochMetrics.of(3, 4.0, (80.0, 20.0), (90.0, 10.0), 1.5)
    assert (epoch.train_elbo, epoch.train_loss) == (-100.0, 160.0)  # -(80 + 20), 80 + 4 * 20
    assert (epoch.val_elbo, epoch.val_loss) == (-100.0, 130.0)  # -(90 + 10), 90 + 4 * 10
    assert (epoch.train_rate, epoch.train_distortion, epoch.val_rate, epoch.val_distortion) == (20, 80, 10, 90)
    assert (epoch.epoch, epoch.epoch_seconds) == (3, 1.5)


def test_the_best_epoch_is_not_the_last_but_the_one_of_the_highest_elbo() -> None:
    history = [metrics(1, -120), metrics(2, -100), metrics(3, -110)]
    assert best(history) is history[1]


def test_of_equal_epochs_the_earliest_is_best() -> None:
    history = [metrics(1, -120), metrics(2, -100), metrics(3, -100)]
    assert best(history) is history[1]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_epoch_that_is_not_finite_is_never_best(bad: float) -> None:
    history = [metrics(1, -120), metrics(2, bad), metrics(3, -130)]
    assert not history[1].is_finite
    assert best(history) is history[0]


def test_there_is_no_best_before_the_first_finite_epoch() -> None:
    assert best([]) is None
    assert best([metrics(1, math.nan)]) is None


def test_a_diverged_training_loss_counts_even_where_validation_is_finite() -> None:
    assert not EpochMetrics.of(1, 1.0, (math.nan, 1.0), (80.0, 20.0), 0.1).is_finite


def test_metrics_survive_the_way_through_json() -> None:
    epoch = EpochMetrics.of(7, 0.1, (1 / 3, 0.1 + 0.2), (2 / 3, 1e-17), 0.123)
    assert EpochMetrics(**json.loads(json.dumps(epoch.as_dict()))) == epoch
