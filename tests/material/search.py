"""Spaces, epochs and records for the tests of what proposes trials and of what stops them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tuning.records import TrialRecord
from tuning.space.model import SearchSpace
from vae.model.metrics import EpochMetrics, Terms

SEARCH = {
    "latent_size": {"type": "int", "low": 2, "high": 64, "log": True},
    "hidden_units": {"type": "int", "low": 64, "high": 512, "step": 64},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "beta": {"type": "float", "low": 0.25, "high": 4.0},
}
WORDS = {"activation": {"type": "categorical", "choices": ["relu", "tanh", "elu"]}}


def space(**changes: Any) -> SearchSpace:
    content = {"description": "A space.", "trials": 50, "epochs": 9, "search": {**SEARCH, **WORDS}, **changes}
    return SearchSpace.model_validate(content)


def metrics(epoch: int, val_elbo: float) -> EpochMetrics:
    of_epoch = EpochMetrics.of(epoch, 1.0, Terms(100.0, 10.0), Terms(-val_elbo - 10.0, 10.0), None, 0.5)
    return replace(of_epoch, val_elbo=val_elbo)  # exactly, not up to rounding


def record(
    space: SearchSpace, number: int, params: dict[str, Any], elbos: Sequence[float] = (), state: Any = "running"
) -> TrialRecord:
    history = [metrics(epoch, elbo) for epoch, elbo in enumerate(elbos, start=1)]
    return TrialRecord(f"{number:04d}", params, space.config(params, 0), state, history, metric=space.metric)
