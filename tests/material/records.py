"""Trials with numbers made up, for the tests of ranking and leaderboard."""

from functools import partial
from typing import Any

from tests.material.epochs import of_distortion
from tuning.records import TrialRecord
from vae.config import TrialConfig

metrics = partial(of_distortion, beta=4.0, seconds=0.25)


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
