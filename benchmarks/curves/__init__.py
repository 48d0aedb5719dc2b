"""Learning curves of beta_study that were really trained, for benchmarks and tests that replay them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vae.model.metrics import EpochMetrics, Terms

CURVES_FILE = Path(__file__).parent / "beta_study.npz"
NAMES = (
    "latent_size",
    "hidden_units",
    "learning_rate",
    "beta",
)  # of a configuration
COLUMNS = ("train_distortion", "train_rate", "val_distortion", "val_rate", "epoch_seconds")  # of an epoch


@dataclass(frozen=True)
class Recorded:
    """configurations: float64 [n, NAMES]; curves: float32 [n, epochs, COLUMNS]."""

    configurations: np.ndarray
    curves: np.ndarray

    def nearest(self, params: Mapping[str, Any]) -> int:
        """The configuration that is nearest to these values, each dimension measured by its spread."""
        places = _place(self.configurations)
        wanted = _place(np.array([[float(params[name]) for name in NAMES]]))
        return int(np.argmin((((places - wanted) / places.std(axis=0)) ** 2).sum(axis=1)))

    def history(self, number: int, beta: float) -> list[EpochMetrics]:
        """The curve of a configuration, as the driver would hear it."""
        return [
            EpochMetrics.of(epoch, beta, Terms(train_d, train_r), Terms(val_d, val_r), None, seconds)
            for epoch, (train_d, train_r, val_d, val_r, seconds) in enumerate(self.curves[number].tolist(), start=1)
        ]


def _place(configurations: np.ndarray) -> np.ndarray:
    """On the scales of the space."""
    latent_size, hidden_units, learning_rate, beta = configurations.T
    return np.stack([np.log(latent_size), hidden_units, np.log(learning_rate), np.log(beta)], axis=1)


@cache
def recorded() -> Recorded:
    """The curves in this folder, read once in a process."""
    with np.load(CURVES_FILE) as arrays:
        return Recorded(arrays["configurations"], arrays["curves"])
