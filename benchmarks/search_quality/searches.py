"""The searches that are compared: ours, what a user of plain Ray Tune writes, and what one of plain Optuna writes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.trial import TrialState
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.search_quality.simulate import Search
from tuning.records import TrialRecord, grouped, trial_id
from tuning.search.early_stopping import RESULT, make_scheduler
from tuning.search.study import Study, distribution
from tuning.space.model import SearchSpace
from vae.model.metrics import EpochMetrics, Terms


class Ours:
    """The product's study and its early stopping, told what its driver tells them, in the same order."""

    def __init__(self, space: SearchSpace, seed: int, folder: Path) -> None:
        self._space = space
        self._study = Study(folder, space, seed)
        self._scheduler = make_scheduler(space, seed)
        self._trials: dict[int, tuple[Any, TrialRecord]] = {}

    def propose(self) -> tuple[int, dict[str, Any]]:
        number, params = self._study.propose()
        name = trial_id(number, 1, 1)
        trial = SimpleNamespace(trial_id=name, config={"trial_id": name})
        self._trials[number] = trial, TrialRecord(name, params, self._space.config(params, 0))
        self._scheduler.on_trial_add(None, trial)
        return number, params

    def epoch(self, number: int, epoch: int, elbo: float) -> bool:
        trial, record = self._trials[number]
        metrics = EpochMetrics.of(epoch, 1.0, Terms(-elbo, 0.0), Terms(-elbo, 0.0), None, 1.0)
        result = {"epoch": epoch, RESULT: elbo, "training_iteration": epoch}
        record.history.append(metrics)
        if epoch == self._space.epochs:
            self._scheduler.on_trial_complete(None, trial, result)
            record.state = "complete"
        elif self._scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP:
            record.state = "pruned"
        self._study.report(number, metrics)
        if record.state != "running":
            self._study.tell(*grouped([record]))
            del self._trials[number]
        return record.state != "running"


class PlainRay:
    """OptunaSearch and ASHAScheduler with Ray's defaults; Tune's controller calls them in this order."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._epochs = space.epochs
        distributions: Any = {name: distribution(dimension) for name, dimension in space.dimensions.items()}
        self._search = OptunaSearch(space=distributions, metric="elbo", mode="max", seed=seed)
        self._scheduler = ASHAScheduler(metric="elbo", mode="max")
        self._trials: dict[int, Any] = {}
        self._n_proposed = 0

    def propose(self) -> tuple[int, dict[str, Any]]:
        number = self._n_proposed
        self._n_proposed += 1
        params = self._search.suggest(str(number))
        assert params is not None, "OptunaSearch proposes without end"
        self._trials[number] = SimpleNamespace(trial_id=str(number))
        self._scheduler.on_trial_add(None, self._trials[number])
        return number, params

    def epoch(self, number: int, epoch: int, elbo: float) -> bool:
        result = {"training_iteration": epoch, "elbo": elbo}
        is_last = epoch == self._epochs  # the user's function returns
        if is_last:
            self._scheduler.on_trial_complete(None, self._trials[number], result)
        elif self._scheduler.on_trial_result(None, self._trials[number], result) != TrialScheduler.STOP:
            self._search.on_trial_result(str(number), result)
            return False
        self._search.on_trial_complete(str(number), result)
        return True


class PlainOptuna:
    """A study with Optuna's default sampler and a pruner, as `study.optimize(objective, n_jobs=slots)` drives it."""

    def __init__(self, space: SearchSpace, seed: int, pruner: BasePruner) -> None:
        self._epochs = space.epochs
        self._distributions = {name: distribution(dimension) for name, dimension in space.dimensions.items()}
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        self._trials: dict[int, optuna.trial.Trial] = {}

    def propose(self) -> tuple[int, dict[str, Any]]:
        trial = self._study.ask(self._distributions)
        self._trials[trial.number] = trial
        return trial.number, trial.params

    def epoch(self, number: int, epoch: int, elbo: float) -> bool:
        trial = self._trials[number]
        trial.report(elbo, epoch)
        if epoch == self._epochs:
            self._study.tell(trial, elbo)
        elif trial.should_prune():
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            return False
        return True


def ours(space: SearchSpace, **changes: Any) -> SearchSpace:
    """beta_study without its baseline, with other settings, and with no limit to its trials."""
    content = space.model_dump(exclude_none=True) | {"baselines": [], "trials": 100_000} | changes
    return SearchSpace.model_validate(content)


ASHA = {"type": "asha", "grace_epochs": 3, "reduction_factor": 3}
TPE = {"type": "tpe", "startup_trials": 10}
GP = {"type": "gp", "startup_trials": 10}
NONE = {"type": "none"}
# By name, what changes in beta_study.
OURS: dict[str, dict[str, Any]] = {
    "random": {"sampler": {"type": "random"}, "scheduler": NONE},
    "random + ASHA 3/3": {"sampler": {"type": "random"}, "scheduler": ASHA},
    "TPE": {"sampler": TPE, "scheduler": NONE},
    "TPE + ASHA 3/3": {"sampler": TPE, "scheduler": ASHA},
    "TPE + ASHA 1/3": {"sampler": TPE, "scheduler": ASHA | {"grace_epochs": 1}},
    "TPE + ASHA 2/3": {"sampler": TPE, "scheduler": ASHA | {"grace_epochs": 2}},
    "TPE + ASHA 5/3": {"sampler": TPE, "scheduler": ASHA | {"grace_epochs": 5}},
    "TPE + ASHA 3/2": {"sampler": TPE, "scheduler": ASHA | {"reduction_factor": 2}},
    "TPE + ASHA 3/4": {"sampler": TPE, "scheduler": ASHA | {"reduction_factor": 4}},
    "TPE + hyperband 1/3": {
        "sampler": TPE,
        "scheduler": {"type": "hyperband", "grace_epochs": 1, "reduction_factor": 3, "brackets": 3},
    },
    "TPE + median": {"sampler": TPE, "scheduler": {"type": "median", "grace_epochs": 3, "min_trials": 5}},
    "GP": {"sampler": GP, "scheduler": NONE},
    "GP + ASHA 3/3": {"sampler": GP, "scheduler": ASHA},
    "CMA-ES + ASHA 3/3": {"sampler": {"type": "cmaes", "startup_trials": 10}, "scheduler": ASHA},
}
PLAIN = ("Ray: OptunaSearch + ASHA", "Optuna: TPE + median", "Optuna: TPE + hyperband")


def make_search(name: str, space: SearchSpace, seed: int, folder: Path) -> Search:
    """A search of OURS or PLAIN. folder: for its study."""
    if name in OURS:
        return Ours(ours(space, **OURS[name]), seed, folder)
    if name == "Ray: OptunaSearch + ASHA":
        return PlainRay(space, seed)
    if name == "Optuna: TPE + median":
        return PlainOptuna(space, seed, optuna.pruners.MedianPruner())
    if name == "Optuna: TPE + hyperband":
        return PlainOptuna(space, seed, optuna.pruners.HyperbandPruner(max_resource=space.epochs))
    raise KeyError(name)
