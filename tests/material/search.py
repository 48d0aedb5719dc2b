"""Spaces, epochs and records for the tests of what proposes trials and of what stops them."""

import math
from collections.abc import Sequence
from typing import Any

from tests.material.epochs import of_elbo
from tuning.records import TrialRecord, grouped
from tuning.search.study import Study
from tuning.space.model import SearchSpace

SEARCH = {
    "latent_size": {"type": "int", "low": 2, "high": 64, "log": True},
    "hidden_units": {"type": "int", "low": 64, "high": 512, "step": 64},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "beta": {"type": "float", "low": 0.25, "high": 4.0},
}
WORDS = {"activation": {"type": "categorical", "choices": ["relu", "tanh", "elu"]}}
SAMPLERS = {
    "tpe": {"type": "tpe", "startup_trials": 4},
    "random": {"type": "random"},
    "gp": {"type": "gp", "startup_trials": 4},
    "cmaes": {"type": "cmaes", "startup_trials": 2},
}


def space(**changes: Any) -> SearchSpace:
    content = {"description": "A space.", "trials": 50, "epochs": 9, "search": {**SEARCH, **WORDS}, **changes}
    return SearchSpace.model_validate(content)


def record(
    space: SearchSpace, number: int, params: dict[str, Any], elbos: Sequence[float] = (), state: Any = "running"
) -> TrialRecord:
    history = [of_elbo(epoch, elbo) for epoch, elbo in enumerate(elbos, start=1)]
    return TrialRecord(f"{number:04d}", params, space.config(params, 0), state, history, metric=space.metric)


def space_for(sampler: str) -> SearchSpace:
    return space(sampler=SAMPLERS[sampler], search=SEARCH if sampler == "cmaes" else {**SEARCH, **WORDS})


def objective(params: dict[str, Any], epoch: int) -> float:
    """A smooth stand-in for the ELBO: best at latent size 16, rate 1e-3, beta 1."""
    away = math.log(params["latent_size"] / 16) ** 2 + math.log10(params["learning_rate"] / 1e-3) ** 2
    away += (params["beta"] - 1) ** 2 + (params["hidden_units"] - 320) ** 2 / 1e5
    return -100.0 - away - 20 / epoch - (0.5 if params.get("activation") == "elu" else 0.0)


def run_trial(space: SearchSpace, study: Study) -> TrialRecord:
    """Propose, report and tell one trial: every third pruned after 3 epochs, every seventh failed, else complete."""
    number, params = study.propose()
    trial = record(space, number, params)
    n_epochs = 3 if number % 3 == 2 else 9
    for epoch in range(1, n_epochs + 1):
        value = math.nan if number % 7 == 6 and epoch == n_epochs else objective(params, epoch)
        trial.history.append(of_elbo(epoch, value))
        study.report(number, trial.history[-1])
    trial.state = "failed" if number % 7 == 6 else "pruned" if number % 3 == 2 else "complete"
    study.tell(*grouped([trial]))
    return trial
