"""An epoch's numbers made up: from a validation ELBO, or from a distortion."""

from dataclasses import replace

from vae.model.metrics import EpochMetrics, Terms


def of_distortion(
    epoch: int,
    distortion: float = 90.0,
    rate: float | None = 10.0,
    *,
    train_distortion: float | None = None,
    beta: float = 1.0,
    seconds: float = 0.5,
) -> EpochMetrics:
    """Training is a nat worse unless told otherwise. rate None: of a trial without a KL."""
    train = distortion + 1 if train_distortion is None else train_distortion
    return EpochMetrics.of(epoch, beta, Terms(train, rate), Terms(distortion, rate), None, seconds)


def of_elbo(epoch: int, val_elbo: float = -100.0, rate: float = 10.0, *, seconds: float = 0.5) -> EpochMetrics:
    """With exactly this validation ELBO, not only up to rounding."""
    return replace(of_distortion(epoch, -val_elbo - rate, rate, seconds=seconds), val_elbo=val_elbo)
