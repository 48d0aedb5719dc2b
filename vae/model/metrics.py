"""EpochMetrics: the numbers of one epoch of one trial."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vae.config import Keep, Mode


class Terms(NamedTuple):
    """Means over a split's images, in nats. rate is None where the mode has no KL."""

    distortion: float
    rate: float | None

    @property
    def elbo(self) -> float | None:
        """At beta = 1."""
        return None if self.rate is None else -(self.distortion + self.rate)

    def loss(self, beta: float) -> float:
        """D + beta * R, or D alone."""
        return self.distortion + (0.0 if self.rate is None else beta * self.rate)


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """Nats per image: summed over pixels, averaged over the split's images. ELBO is at beta = 1.

    The train numbers are means over the epoch's batches, while the weights move, with the trial's input noise and
    dropout. The validation numbers are of the weights at the epoch's end, from the clean input, with the noise that
    every evaluation uses. The noisy numbers are from the corrupted input, against the clean image. A number that makes
    no sense for the trial is None: only a vae has rate and ELBO, only a trial with input noise has the noisy numbers.
    """

    epoch: int
    train_loss: float
    train_elbo: float | None = None
    train_rate: float | None = None
    train_distortion: float
    val_loss: float
    val_elbo: float | None = None
    val_rate: float | None = None
    val_distortion: float
    val_noisy_elbo: float | None = None
    val_noisy_rate: float | None = None
    val_noisy_distortion: float | None = None
    epoch_seconds: float

    @classmethod
    def of(
        cls, epoch: int, beta: float, train: Terms, validation: Terms, noisy: Terms | None, epoch_seconds: float
    ) -> "EpochMetrics":
        """From the means of training, of validation, and of corrupted validation if the trial has noise."""
        return cls(
            epoch=epoch,
            train_loss=train.loss(beta),
            train_elbo=train.elbo,
            train_rate=train.rate,
            train_distortion=train.distortion,
            val_loss=validation.loss(beta),
            val_elbo=validation.elbo,
            val_rate=validation.rate,
            val_distortion=validation.distortion,
            val_noisy_elbo=noisy.elbo if noisy else None,
            val_noisy_rate=noisy.rate if noisy else None,
            val_noisy_distortion=noisy.distortion if noisy else None,
            epoch_seconds=epoch_seconds,
        )

    @property
    def is_finite(self) -> bool:
        """False once the trial has diverged."""
        return all(math.isfinite(value) for value in self.as_dict().values())

    @property
    def goodness(self) -> float:
        """Ranks the epochs of one trial, higher is better: the validation ELBO, or -D where there is none."""
        return -self.val_distortion if self.val_elbo is None else self.val_elbo

    def as_dict(self) -> dict[str, Any]:
        """The numbers that the trial has, by name; the others are left out."""
        return {name: value for name, value in vars(self).items() if value is not None}


def best(history: Sequence[EpochMetrics], keep: Keep = "best") -> EpochMetrics | None:
    """The epoch that stands for a trial: the best finite one (the earliest of equals), or the last finite one.

    None where no epoch is finite.
    """
    finite = [metrics for metrics in history if metrics.is_finite]
    if keep == "last":
        return finite[-1] if finite else None
    return max(finite, key=lambda metrics: metrics.goodness, default=None)


def has_rate(mode: Mode) -> bool:
    """Whether a trial has rate, ELBO and KL: only if it trains a posterior against the prior."""
    return mode == "vae"
