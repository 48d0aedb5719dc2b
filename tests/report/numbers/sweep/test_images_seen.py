from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from report.numbers.sweep.compared_trials import compared_trials
from report.numbers.sweep.images_seen import ImagesSeen, images_seen, n_training_images
from tests.material.reports import SEARCH, nan_metrics, record, sweep
from tests.material.studies import choices, trial
from tuning.records import SweepRecord
from vae.datasets.registry import DATASETS


def _seen(swept: SweepRecord) -> ImagesSeen:
    return images_seen(swept, compared_trials(swept))


def test_a_curve_goes_through_the_epochs_in_images_seen() -> None:
    swept = sweep(Path(), [record("a", [-110.0, -100.0, -105.0])])
    (curve,) = _seen(swept).curves
    n_images = DATASETS["digits"].n_images["train"]
    assert curve.images_seen.tolist() == [n_images, 2 * n_images, 3 * n_images]
    assert curve.validation.tolist() == [-110.0, -100.0, -105.0]
    assert curve.train.tolist() == [-111.0, -101.0, -106.0]  # tests.material.reports: a nat worse


def test_there_is_a_curve_for_each_compared_value() -> None:
    search = {"latent_size": choices(3, 5, 10)}
    trials = [trial(f"{size}", {"latent_size": size}) for size in (10, 3, 5)]
    numbers = _seen(sweep(Path(), trials, search))
    assert [curve.parts for curve in numbers.curves] == [("latent size 3",), ("latent size 5",), ("latent size 10",)]
    assert [curve.trial_id for curve in numbers.curves] == ["3", "5", "10"]
    assert numbers.is_elbo


def test_beside_an_autoencoder_the_curves_are_of_the_distortion() -> None:
    trials = [trial(mode, {"mode": mode}, 70.0, metric="val_distortion") for mode in ("vae", "autoencoder")]
    numbers = _seen(sweep(Path(), trials, {"mode": choices("vae", "autoencoder")}))
    assert not numbers.is_elbo
    assert [curve.validation.tolist() for curve in numbers.curves] == [[70.0], [70.0]]


def test_a_model_with_input_noise_is_validated_on_the_corrupted_input_as_it_is_trained() -> None:
    trials = [trial("a", {"noise": "none"}, 80.0), trial("b", {"noise": "gaussian"}, 80.0, noisy=85.0)]
    numbers = _seen(sweep(Path(), trials, {"noise": choices("none", "gaussian")}))
    assert [curve.validation.tolist() for curve in numbers.curves] == [[-100.0], [-105.0]]
    assert numbers.has_noise


def test_an_epoch_that_diverged_leaves_a_gap() -> None:
    one = record("a", [-100.0])
    one.history.append(nan_metrics(2))
    (curve,) = _seen(sweep(Path(), [one])).curves
    assert np.isnan(curve.validation).tolist() == [False, True]


@pytest.mark.parametrize("metric", ["val_elbo", "val_distortion"])
def test_the_axis_holds_every_curve_but_what_is_far_worse_than_all(metric: str) -> None:
    trials = [trial(f"{d}", {"beta": d / 100}, float(d), metric=metric) for d in (80, 81, 82, 83, 84, 9_000)]
    numbers = _seen(sweep(Path(), trials, {"beta": SEARCH["beta"]}))
    low, high = numbers.limits
    shown = [low < float(curve.validation[0]) < high for curve in numbers.curves]
    assert shown == [True] * 5 + [False]


def test_without_a_trial_there_is_no_curve() -> None:
    assert _seen(sweep(Path(), [])).curves == []


def test_of_a_folder_of_images_the_manifest_knows_how_many_there_are() -> None:
    swept = replace(sweep(Path(), []), dataset="/somewhere/faces", manifest={"dataset": {"images": {"train": 123}}})
    assert n_training_images(swept) == 123
