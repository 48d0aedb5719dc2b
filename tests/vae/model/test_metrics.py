"""vae/model/metrics.py."""

import json
import math
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.material.epochs import of_elbo
from vae.config import Mode
from vae.model.metrics import EpochMetrics, Terms, best, has_rate


def test_elbo_is_free_of_beta_and_the_loss_is_weighted_by_it() -> None:
    epoch = EpochMetrics.of(3, 4.0, Terms(80.0, 20.0), Terms(90.0, 10.0), None, 1.5)
    assert (epoch.train_elbo, epoch.train_loss) == (-100.0, 160.0)  # -(80 + 20), 80 + 4 * 20
    assert (epoch.val_elbo, epoch.val_loss) == (-100.0, 130.0)  # -(90 + 10), 90 + 4 * 10
    assert (epoch.train_rate, epoch.train_distortion, epoch.val_rate, epoch.val_distortion) == (20, 80, 10, 90)
    assert (epoch.epoch, epoch.epoch_seconds) == (3, 1.5)


def test_the_best_epoch_is_not_the_last_but_the_one_of_the_highest_elbo() -> None:
    history = [of_elbo(1, -120), of_elbo(2, -100), of_elbo(3, -110)]
    assert best(history) is history[1]


def test_of_equal_epochs_the_earliest_is_best() -> None:
    history = [of_elbo(1, -120), of_elbo(2, -100), of_elbo(3, -100)]
    assert best(history) is history[1]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_epoch_that_is_not_finite_is_never_best(bad: float) -> None:
    history = [of_elbo(1, -120), of_elbo(2, bad), of_elbo(3, -130)]
    assert not history[1].is_finite
    assert best(history) is history[0]


def test_there_is_no_best_before_the_first_finite_epoch() -> None:
    assert best([]) is None
    assert best([of_elbo(1, math.nan)]) is None


def test_a_diverged_training_loss_counts_even_where_validation_is_finite() -> None:
    assert not EpochMetrics.of(1, 1.0, Terms(math.nan, 1.0), Terms(80.0, 20.0), None, 0.1).is_finite


def test_metrics_survive_the_way_through_json() -> None:
    epoch = EpochMetrics.of(7, 0.1, Terms(1 / 3, 0.1 + 0.2), Terms(2 / 3, 1e-17), None, 0.123)
    assert EpochMetrics(**json.loads(json.dumps(epoch.as_dict()))) == epoch


# ---- what a mode does not have


ELBO_AND_RATE = {"train_elbo", "train_rate", "val_elbo", "val_rate"}
NOISY = {"val_noisy_elbo", "val_noisy_rate", "val_noisy_distortion"}
ALWAYS = {"epoch", "train_loss", "train_distortion", "val_loss", "val_distortion", "epoch_seconds"}


def without_rate(epoch: int, val_distortion: float, noisy: float | None = None) -> EpochMetrics:
    """Of an autoencoder."""
    corrupted = None if noisy is None else Terms(noisy, None)
    return EpochMetrics.of(epoch, 4.0, Terms(80.0, None), Terms(val_distortion, None), corrupted, 0.1)


def test_only_a_vae_has_a_rate() -> None:
    assert {mode: has_rate(mode) for mode in get_args(Mode)} == {
        "vae": True,
        "autoencoder": False,
        "decoder_only": False,
    }


def test_numbers_that_make_no_sense_are_absent_and_not_zero() -> None:
    vae, noisy_vae = of_elbo(1, -100), EpochMetrics.of(1, 4.0, Terms(1, 2), Terms(3, 4), Terms(5, 6), 0.1)
    assert set(vae.as_dict()) == ALWAYS | ELBO_AND_RATE
    assert set(noisy_vae.as_dict()) == ALWAYS | ELBO_AND_RATE | NOISY
    assert set(without_rate(1, 90.0).as_dict()) == ALWAYS
    assert set(without_rate(1, 90.0, 95.0).as_dict()) == ALWAYS | {"val_noisy_distortion"}


def test_a_rate_of_zero_is_a_number_and_stays() -> None:
    collapsed = EpochMetrics.of(1, 1.0, Terms(80.0, 0.0), Terms(90.0, 0.0), None, 0.1)
    assert (collapsed.as_dict()["val_rate"], collapsed.as_dict()["val_elbo"]) == (0.0, -90.0)


def test_without_a_rate_the_loss_is_the_distortion_whatever_beta_is() -> None:
    epoch = without_rate(1, 90.0)
    assert (epoch.train_loss, epoch.val_loss) == (80.0, 90.0)


def test_the_noisy_numbers_are_of_the_corrupted_input_and_free_of_beta() -> None:
    epoch = EpochMetrics.of(1, 4.0, Terms(80.0, 20.0), Terms(90.0, 10.0), Terms(95.0, 11.0), 0.1)
    assert (epoch.val_noisy_distortion, epoch.val_noisy_rate, epoch.val_noisy_elbo) == (95.0, 11.0, -106.0)
    assert (epoch.val_distortion, epoch.val_elbo, epoch.val_loss) == (90.0, -100.0, 130.0)


def test_without_an_elbo_the_best_epoch_is_the_one_of_the_lowest_distortion() -> None:
    history = [without_rate(1, 90.0), without_rate(2, 70.0), without_rate(3, 80.0), without_rate(4, 70.0)]
    assert best(history) is history[1]
    assert history[1].goodness > history[2].goodness


def test_with_an_elbo_a_low_distortion_alone_does_not_make_an_epoch_the_best() -> None:
    cheap = EpochMetrics.of(1, 1.0, Terms(1, 1), Terms(50.0, 90.0), None, 0.1)
    balanced = EpochMetrics.of(2, 1.0, Terms(1, 1), Terms(80.0, 20.0), None, 0.1)
    assert best([cheap, balanced]) is balanced


def test_the_noisy_numbers_do_not_choose_the_epoch() -> None:
    history = [without_rate(1, 70.0, 99.0), without_rate(2, 80.0, 10.0)]
    assert best(history) is history[0]


def test_with_keep_last_the_last_finite_epoch_stands_for_the_trial() -> None:
    history = [of_elbo(1, -100), of_elbo(2, -120), of_elbo(3, -110), of_elbo(4, math.nan)]
    assert best(history, "last") is history[2]
    assert best(history[:2], "last") is history[1]
    assert best(history, "best") is history[0]
    assert best([], "last") is None
    assert best([of_elbo(1, math.inf)], "last") is None


@pytest.mark.parametrize("name", ["val_noisy_distortion", "val_distortion", "train_loss"])
def test_a_number_that_is_there_and_not_finite_tells_a_divergence_and_an_absent_one_does_not(name: str) -> None:
    assert without_rate(1, 90.0, 95.0).is_finite
    assert not replace(without_rate(1, 90.0, 95.0), **{name: math.nan}).is_finite


NATS = st.floats(-1e6, 1e6)
TERMS = st.builds(Terms, NATS, st.none() | NATS)


@given(train=TERMS, validation=TERMS, noisy=st.none() | TERMS, beta=st.floats(0, 1000))
def test_metrics_of_every_mode_survive_the_way_through_json(
    train: Terms, validation: Terms, noisy: Terms | None, beta: float
) -> None:
    epoch = EpochMetrics.of(7, beta, train, validation, noisy, 0.123)
    text = json.dumps(epoch.as_dict())
    assert "null" not in text
    assert EpochMetrics(**json.loads(text)) == epoch
