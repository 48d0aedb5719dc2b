"""The lower bound against the number of training images seen (Kingma & Welling 2013, figure 2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from report.numbers.sweep.compared_trials import Column, Comparison
from report.numbers.sweep.scores import score_floor
from tuning.records import SweepRecord
from vae.datasets.registry import DATASETS


@dataclass(frozen=True)
class Curve:
    """One trial, nats per image. images_seen, train, validation: [E], NaN where it diverged.

    parts: what sets the trial apart from the others.
    """

    trial_id: str
    parts: tuple[str, ...]
    images_seen: np.ndarray
    train: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True)
class ImagesSeen:
    """One curve per compared trial.

    is_elbo: the curves show the ELBO; if a trial has none, the distortion. has_noise: a trial has input noise, and
    its validation is of the corrupted input, as its training is. limits: of the axis of nats, without far values.
    rule: which trials these are, '' for all.
    """

    curves: list[Curve]
    is_elbo: bool
    has_noise: bool
    limits: tuple[float, float]
    rule: str


def images_seen(sweep: SweepRecord, comparison: Comparison) -> ImagesSeen:
    records = [column.record for column in comparison.columns]
    is_elbo = all(record.val_elbo is not None for record in records)
    n_images = n_training_images(sweep)
    curves = [_curve(column, is_elbo, n_images) for column in comparison.columns]
    has_noise = any(record.config.input_noise != "none" for record in records)
    return ImagesSeen(curves, is_elbo, has_noise, _limits(curves, 1 if is_elbo else -1), comparison.rule)


def n_training_images(sweep: SweepRecord) -> int:
    """How many images the training split has. A folder's number is in the manifest only."""
    if sweep.dataset in DATASETS:
        return DATASETS[sweep.dataset].n_images["train"]
    return int(sweep.manifest["dataset"]["images"]["train"])


def _curve(shown: Column, is_elbo: bool, n_images: int) -> Curve:
    record = shown.record
    term = "elbo" if is_elbo else "distortion"
    validation = "val" if record.config.input_noise == "none" else "val_noisy"

    def column(name: str) -> np.ndarray:
        values = np.array([getattr(metrics, name) for metrics in record.history], dtype=float)
        return np.where(np.isfinite(values), values, np.nan)

    epochs = np.array([metrics.epoch for metrics in record.history])
    train, held_out = column(f"train_{term}"), column(f"{validation}_{term}")
    return Curve(record.trial_id, shown.parts, epochs * n_images, train, held_out)


def _limits(curves: Sequence[Curve], sign: int) -> tuple[float, float]:
    """sign: 1 where higher is better, else -1. The first epochs may be as much worse as the floor allows."""
    values = [sign * float(value) for curve in curves for value in (*curve.train, *curve.validation)]
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = score_floor(finite), max(finite)
    margin = 0.05 * (high - low) or 1.0
    ends = sorted((sign * (low - margin), sign * (high + margin)))
    return ends[0], ends[1]
