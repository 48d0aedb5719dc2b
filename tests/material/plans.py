"""Plans of sweeps on the digits."""

from pathlib import Path
from typing import Any

from tuning.plan.plan import Plan
from tuning.space.model import SearchSpace

SEARCH = {
    "latent_size": {"type": "int", "low": 2, "high": 32, "log": True},
    "hidden_units": {"type": "int", "low": 64, "high": 256, "step": 64},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "beta": {"type": "float", "low": 0.5, "high": 2.5},
    "activation": {"type": "categorical", "choices": ["relu", "tanh", "elu"]},
}


def space(**changes: Any) -> SearchSpace:
    content = {"description": "x", "trials": 27, "epochs": 27, "dataset": "digits", "search": SEARCH, **changes}
    return SearchSpace.model_validate(content)


def plan(**changes: Any) -> Plan:
    return Plan("p", space(**changes), 3, "digits", "digits: asked for", Path("data"))
