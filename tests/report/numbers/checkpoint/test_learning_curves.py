from dataclasses import replace

import numpy as np
import pytest

from report.numbers.checkpoint.learning_curves import learning_curves, worth_showing
from tests.material.reports import metrics, nan_metrics
from vae.model.metrics import EpochMetrics, Terms


def test_learning_curves_hold_every_epoch_and_the_best() -> None:
    history = [metrics(1, 100.0), metrics(2, 80.0), metrics(3, 85.0)]
    numbers = learning_curves(history)
    assert numbers.epochs.tolist() == [1, 2, 3]
    assert list(numbers.curves) == ["elbo", "rate", "distortion"]
    assert numbers.curves["distortion"]["train"].tolist() == [101.0, 81.0, 86.0]
    assert numbers.curves["distortion"]["validation"].tolist() == [100.0, 80.0, 85.0]
    assert numbers.best == history[1]
    assert learning_curves(history, keep="last").best == history[2]


def test_without_a_rate_there_is_the_distortion_alone() -> None:
    history = [EpochMetrics.of(1, 1.0, Terms(9.0, None), Terms(8.0, None), None, 0.5)]
    assert {term: list(curves) for term, curves in learning_curves(history).curves.items()} == {
        "distortion": ["train", "validation"]
    }


def test_a_model_with_noise_has_a_curve_of_the_corrupted_input_too() -> None:
    history = [EpochMetrics.of(1, 1.0, Terms(9.0, 2.0), Terms(8.0, 2.0), Terms(8.5, 1.5), 0.5)]
    numbers = learning_curves(history)
    assert numbers.curves["elbo"]["validation, corrupted input"].tolist() == [-10.0]
    assert numbers.curves["rate"]["validation, corrupted input"].tolist() == [1.5]


def test_a_diverged_epoch_is_a_gap_in_the_curves() -> None:
    numbers = learning_curves([metrics(1), nan_metrics(2)])
    assert np.isnan(numbers.curves["elbo"]["validation"]).tolist() == [False, True]
    assert learning_curves([nan_metrics(1)]).best is None
    infinite = replace(metrics(2), val_elbo=float("-inf"))
    assert np.isnan(learning_curves([metrics(1), infinite]).curves["elbo"]["validation"]).tolist() == [
        False,
        True,
    ]


def test_the_steep_start_leaves_the_axes_and_nothing_else_does() -> None:
    curve = np.array([-500.0, -110.0, -108.0, -107.0, -106.0])
    low, high = worth_showing([curve, curve + 1])
    assert -115 < low < -110
    assert -105 < high < -100


def test_a_short_training_is_shown_whole() -> None:
    low, high = worth_showing([np.array([-500.0, -100.0]), np.array([-300.0, -90.0])])
    assert low < -500
    assert high > -90


@pytest.mark.parametrize("values", [[np.nan, np.nan], [-3.0, -3.0]])
def test_limits_are_apart_even_where_there_is_nothing_to_show(values: list[float]) -> None:
    low, high = worth_showing([np.array(values), np.array(values)])
    assert low < high
