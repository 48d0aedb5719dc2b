from pathlib import Path

from report.numbers.sweep.input_noise import input_noise
from tests.material.studies import choices, sweep, trial

SEARCH = {"noise": choices("none", "gaussian", "salt_pepper"), "noise_factor": choices(0.25, 0.5)}
HERE = Path()


def _gaussian(trial_id: str, factor: float, distortion: float, noisy: float, **more: object):  # type: ignore[no-untyped-def]
    return trial(trial_id, {"noise": "gaussian", "noise_factor": factor}, distortion, 20.0, noisy=noisy, **more)


def test_a_curve_has_the_best_trial_of_each_strength_weakest_first() -> None:
    trials = [
        _gaussian("strong", 0.5, 85.0, 95.0),
        _gaussian("weak", 0.25, 80.0, 82.0),
        _gaussian("weak again", 0.25, 83.0, 81.0),
        trial("salt", {"noise": "salt_pepper", "noise_factor": 0.5}, 88.0, 20.0, noisy=99.0),
        trial("none", {"noise": "none"}, 78.0, 20.0),
    ]
    numbers = input_noise(sweep(trials, SEARCH))
    gaussian, salt_pepper = numbers.curves
    assert numbers.is_elbo
    assert (gaussian.noise, gaussian.factors.tolist()) == ("gaussian", [0.25, 0.5])
    assert gaussian.clean.tolist() == [-100.0, -105.0]
    assert gaussian.corrupted.tolist() == [-102.0, -115.0]
    assert numbers.without == -98.0
    assert (salt_pepper.noise, salt_pepper.corrupted.tolist()) == ("salt_pepper", [-119.0])


def test_of_autoencoders_the_curves_are_of_the_distortion() -> None:
    trials = [_gaussian("a", 0.25, 80.0, 82.0, mode="autoencoder", metric="val_distortion")]
    numbers = input_noise(sweep(trials, SEARCH))
    assert not numbers.is_elbo
    assert numbers.without is None
    assert (numbers.curves[0].clean.tolist(), numbers.curves[0].corrupted.tolist()) == ([80.0], [82.0])


def test_failed_trials_and_sweeps_without_noise_have_no_curve() -> None:
    failed = _gaussian("a", 0.25, 80.0, 82.0, state="failed")
    assert input_noise(sweep([failed, trial("b", {"noise": "none"})], SEARCH)).curves == []
