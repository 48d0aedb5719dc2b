"""Trials with numbers made up, for the tests of ranking and leaderboard."""

from typing import Any

from tuning.records import TrialRecord
from vae.config import TrialConfig
from vae.model.metrics import EpochMetrics, Terms


def metrics(epoch: int, distortion: float, rate: float | None = 10.0) -> EpochMetrics:
    """rate None: of a trial without a KL."""
    return EpochMetrics.of(epoch, 4.0, Terms(200.0, rate), Terms(distortion, rate), None, 0.25)


def trial(
    trial_id: str,
    distortions: list[float],
    state: Any = "complete",
    error: str = "",
    metric: str = "val_elbo",
    rate: float | None = 10.0,
    **config: Any,
) -> TrialRecord:
    """A trial whose validation distortion goes through `distortions`."""
    history = [metrics(epoch, distortion, rate) for epoch, distortion in enumerate(distortions, start=1)]
    return TrialRecord(trial_id, {"beta": 4.0}, TrialConfig(beta=4.0, **config), state, history, error, metric)
