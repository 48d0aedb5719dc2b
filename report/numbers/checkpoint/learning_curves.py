"""ELBO, rate and distortion of every epoch."""

from dataclasses import dataclass

import numpy as np

from vae.config import Keep
from vae.model.metrics import EpochMetrics, best

TERMS = ("elbo", "rate", "distortion")
PREFIXES = {"train": "train", "validation": "val", "validation, corrupted input": "val_noisy"}


@dataclass(frozen=True)
class LearningCurves:
    """Nats per image by epoch; NaN where a trial diverged. curves: {"elbo": {"train": [E], "validation": [E]}, ...}.

    A curve that the trial does not have is absent. best: the epoch that stands for the trial.
    """

    epochs: np.ndarray
    curves: dict[str, dict[str, np.ndarray]]
    best: EpochMetrics | None


def learning_curves(history: list[EpochMetrics], keep: Keep = "best") -> LearningCurves:
    curves = {term: _of_term(history, term) for term in TERMS}
    epochs = np.array([metrics.epoch for metrics in history], dtype=int)
    return LearningCurves(epochs, {term: named for term, named in curves.items() if named}, best(history, keep))


def _of_term(history: list[EpochMetrics], term: str) -> dict[str, np.ndarray]:
    columns = {name: [getattr(metrics, f"{prefix}_{term}") for metrics in history] for name, prefix in PREFIXES.items()}
    return {name: _finite(values) for name, values in columns.items() if any(value is not None for value in values)}


def _finite(values: list[float | None]) -> np.ndarray:
    numbers = np.array(values, dtype=float)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def worth_showing(curves: list[np.ndarray]) -> tuple[float, float]:
    """Limits of the axis that leave out the steep start: a twentieth of the epochs, at least one of five or more."""
    n_epochs = len(curves[0])
    start = max(1, n_epochs // 20) if n_epochs >= 5 else 0
    late = np.concatenate([curve[start:] for curve in curves])
    if not np.isfinite(late).any():
        return 0.0, 1.0
    low, high = float(np.nanmin(late)), float(np.nanmax(late))
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin
