"""Sweeps with numbers made up, for the tests of what a report compares."""

from pathlib import Path
from typing import Any

from tests.material.reports import sweep as sweep_of
from tuning.records import State, SweepRecord, TrialRecord
from vae.config import TrialConfig
from vae.model.metrics import EpochMetrics, Terms, has_rate


def choices(*values: Any, **more: Any) -> dict[str, Any]:
    """A dimension of a search."""
    return {"type": "categorical", "choices": list(values), **more}


def trial(
    trial_id: str,
    params: dict[str, Any],
    distortion: float = 80.0,
    rate: float = 20.0,
    state: State = "complete",
    metric: str = "val_elbo",
    noisy: float | None = None,
    **config: Any,
) -> TrialRecord:
    """One epoch of a trial; its train numbers are a nat worse. A mode without a KL has no rate."""
    chosen = TrialConfig(**{"hidden_units": 16, **config, **params})
    kl = rate if has_rate(chosen.mode) else None
    corrupted = None if noisy is None else Terms(noisy, kl)
    epoch = EpochMetrics.of(1, chosen.beta, Terms(distortion + 1, kl), Terms(distortion, kl), corrupted, 0.5)
    return TrialRecord(trial_id, params, chosen, state, [epoch], "", metric)


def sweep(trials: list[TrialRecord], search: dict[str, dict[str, Any]], folder: Path | None = None) -> SweepRecord:
    return sweep_of(folder or Path(), trials, search)


def seeds(number: int, params: dict[str, Any], distortions: list[float], **more: Any) -> list[TrialRecord]:
    """The trials of one configuration, one for each distortion, with seeds 1, 2, ..."""
    every = enumerate(distortions, start=1)
    return [trial(f"{number:04d}-{repeat}", params, d, seed=repeat, **more) for repeat, d in every]
