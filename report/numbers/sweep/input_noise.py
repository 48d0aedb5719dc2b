"""What noise on the input costs: clean and corrupted inputs by kind and strength of the noise."""

from dataclasses import dataclass

import numpy as np

from tuning.records import SweepRecord, TrialRecord, ranked


@dataclass(frozen=True)
class NoiseCurve:
    """The best trial of each strength of one kind of noise, weakest first; nats per image, each [n].

    clean, corrupted: the validation inputs that the model is given; the target is clean in both.
    """

    noise: str
    factors: np.ndarray
    clean: np.ndarray
    corrupted: np.ndarray


@dataclass(frozen=True)
class InputNoise:
    """One curve per kind of noise. is_elbo: the curves show the ELBO; if a trial has none, the distortion.

    without: the best trial without noise, from its clean input; None where there is no such trial.
    """

    curves: list[NoiseCurve]
    is_elbo: bool
    without: float | None = None


def input_noise(sweep: SweepRecord) -> InputNoise:
    """A sweep without input noise has no curve."""
    shown = [record for record in ranked(sweep.trials) if record.state != "failed" and _has_noise(record)]
    is_elbo = all(record.val_elbo is not None for record in shown)
    kinds = sorted({record.config.input_noise for record in shown})
    of_kind = {kind: [record for record in shown if record.config.input_noise == kind] for kind in kinds}
    curves = [_curve(kind, records, is_elbo) for kind, records in of_kind.items()]
    return InputNoise(curves, is_elbo, _without(sweep, is_elbo))


def _without(sweep: SweepRecord, is_elbo: bool) -> float | None:
    for record in ranked(sweep.trials):
        if record.state != "failed" and record.config.input_noise == "none" and record.best:
            return record.best.val_elbo if is_elbo else record.best.val_distortion
    return None


def _has_noise(record: TrialRecord) -> bool:
    return record.best is not None and record.best.val_noisy_distortion is not None


def _curve(noise: str, records: list[TrialRecord], is_elbo: bool) -> NoiseCurve:
    best: dict[float, TrialRecord] = {}
    for record in records:  # best first
        best.setdefault(record.config.noise_factor, record)
    factors, term = sorted(best), "elbo" if is_elbo else "distortion"
    clean, corrupted = (
        np.array([getattr(best[factor].best, f"{prefix}_{term}") for factor in factors])
        for prefix in ("val", "val_noisy")
    )
    return NoiseCurve(noise, np.array(factors), clean, corrupted)
