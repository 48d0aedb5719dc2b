"""EpochMetrics: what one epoch of one trial gave, plain numbers."""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class EpochMetrics:
    """Nats per image: summed over pixels, averaged over the split's images. ELBO is at beta = 1.

    The train numbers are means over the epoch's batches, while the weights moved; the validation
    numbers are of the weights at the epoch's end, with the noise that every evaluation shares.
    """

    epoch: int
    train_loss: float
    train_elbo: float
    train_rate: float
    train_distortion: float
    val_loss: float
    val_elbo: float
    val_rate: float
    val_distortion: float
    epoch_seconds: float

    @classmethod
    def of(
        cls, epoch: int, beta: float, train: tuple[float, float], validation: tuple[float, float], epoch_seconds: float
    ) -> "EpochMetrics":
        """From the mean (distortion, rate) of the two splits."""
        (train_distortion, train_rate), (val_distortion, val_rate) = train, validation
        return cls(
            epoch=epoch,
            train_loss=train_distortion + beta * train_rate,
            train_elbo=-(train_distortion + train_rate),
            train_rate=train_rate,
            train_distortion=train_distortion,
            val_loss=val_distortion + beta * val_rate,
            val_elbo=-(val_distortion + val_rate),
            val_rate=val_rate,
            val_distortion=val_distortion,
            epoch_seconds=epoch_seconds,
        )

    @property
    def is_finite(self) -> bool:
        """False once the trial has diverged."""
        return all(math.isfinite(value) for value in asdict(self).values())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def best(history: list[EpochMetrics]) -> EpochMetrics | None:
    """The epoch of the highest finite validation ELBO, the earliest of equals; None before the first."""
    finite = [metrics for metrics in history if metrics.is_finite]
    return max(finite, key=lambda metrics: metrics.val_elbo, default=None)
