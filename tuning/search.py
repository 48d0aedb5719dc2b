"""SearchSpace -> Optuna's study, sampler and proposals; Tune's searcher and scheduler."""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler
from ray.tune.search import Searcher

from tuning.records import State, TrialRecord
from tuning.space import Categorical, FloatRange, IntRange, SearchSpace
from vae.metrics import EpochMetrics

STUDY_FILE = "study.journal"
STUDY_NAME = "sweep"
STATES: dict[State, TrialState] = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # constant_liar, GP


def distribution(dimension: IntRange | FloatRange | Categorical) -> BaseDistribution:
    """A searched dimension as Optuna knows it."""
    if isinstance(dimension, Categorical):
        return CategoricalDistribution(dimension.choices)
    if isinstance(dimension, IntRange):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    step = None if dimension.log else dimension.step
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=step)


def make_sampler(space: SearchSpace, seed: int, number: int) -> optuna.samplers.BaseSampler:
    """The sampler of proposal `number`: its randomness is of (seed, number), so a resumed sweep proposes
    what an uninterrupted one with the same results would have."""
    own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    settings = space.sampler
    if settings.type == "tpe":
        return optuna.samplers.TPESampler(
            seed=own_seed,
            n_startup_trials=settings.startup_trials,
            n_ei_candidates=settings.candidates,
            constant_liar=True,  # trials run side by side: do not propose beside one that has no result yet
        )
    if settings.type == "gp":
        return optuna.samplers.GPSampler(seed=own_seed, n_startup_trials=settings.startup_trials)
    if settings.type == "cmaes":
        return optuna.samplers.CmaEsSampler(
            seed=own_seed, n_startup_trials=settings.startup_trials, warn_independent_sampling=False
        )
    return optuna.samplers.RandomSampler(seed=own_seed)  # random; a grid's points come before any proposal


class Study:
    """The Optuna study on disk. Trial `number` n is the sweep's n-th proposal; the ledger is the truth,
    and a resumed sweep's study is written anew from it."""

    def __init__(self, folder: Path, space: SearchSpace, seed: int, past: Sequence[TrialRecord] = ()) -> None:
        self._space = space
        self._seed = seed
        self._first = space.first_trials
        self._distributions = {name: distribution(value) for name, value in space.dimensions.items()}
        path = folder / STUDY_FILE
        beside = path.with_name(f"{STUDY_FILE}.new")
        for left in (beside, *folder.glob(f"{STUDY_FILE}*.lock*")):  # by a driver that was killed; this one is alone
            left.unlink(missing_ok=True)
        self._fill(_open(beside, create=True), past, _sampler_notes(path))
        beside.replace(path)
        self._study = _open(path)
        self._live = {
            trial.number: optuna.trial.Trial(self._study, trial._trial_id)
            for trial in self._study.get_trials(states=(TrialState.RUNNING,))
        }

    def _fill(self, study: optuna.Study, past: Sequence[TrialRecord], notes: dict[int, dict[str, Any]]) -> None:
        for number, record in enumerate(past):
            reached = {m.epoch: m.val_elbo for m in record.history if math.isfinite(m.val_elbo)}
            values = {"complete": record.val_elbo, "pruned": next(reversed(reached.values()), None)}
            study.add_trial(
                optuna.trial.create_trial(
                    state=STATES[record.state],
                    value=values.get(record.state),
                    params=record.params,
                    distributions=self._distributions,
                    intermediate_values=reached,
                    system_attrs=notes.get(number),
                )
            )

    def propose(self) -> tuple[int, dict[str, Any]]:
        """The next trial's number and its searched values."""
        number = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = make_sampler(self._space, self._seed, number)
        if number < len(self._first):
            self._study.enqueue_trial(self._first[number])
        trial = self._study.ask(self._distributions)
        self._live[trial.number] = trial
        return trial.number, dict(trial.params)

    def report(self, number: int, metrics: EpochMetrics) -> None:
        """An intermediate value; NaN stays out, for samplers and plots to be right."""
        if math.isfinite(metrics.val_elbo):
            self._live[number].report(metrics.val_elbo, metrics.epoch)

    def tell(self, number: int, record: TrialRecord) -> None:
        """How the trial ended. A complete one's value is its best epoch's; Optuna gives a pruned one its last."""
        del self._live[number]
        self._study.tell(number, record.val_elbo if record.state == "complete" else None, state=STATES[record.state])


def _open(path: Path, create: bool = False) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(path)))
    if create:
        return optuna.create_study(storage=storage, study_name=STUDY_NAME, direction="maximize")
    return optuna.load_study(storage=storage, study_name=STUDY_NAME)


def load_study(folder: Path) -> optuna.Study:
    """The study of a sweep's folder, to read."""
    return _open(folder / STUDY_FILE)


def _sampler_notes(path: Path) -> dict[int, dict[str, Any]]:
    """What a sampler wrote beside each trial to go on from (CMA-ES: its state); {} where no study can be read."""
    if not path.exists():
        return {}
    try:
        return {trial.number: trial.system_attrs for trial in _open(path).get_trials(deepcopy=False)}
    except (OSError, ValueError, KeyError):  # cut off or damaged: the sampler starts again, the results are kept
        return {}


class Proposals(Searcher):  # type: ignore[misc]
    """Tune asks here for each trial's config; the driver's callback has the results, so none arrive here."""

    def __init__(self, propose: Callable[[], dict[str, Any]]) -> None:
        super().__init__(metric="val_elbo", mode="max")
        self._propose = propose

    def suggest(self, trial_id: str) -> dict[str, Any]:
        return self._propose()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        pass

    def save(self, checkpoint_path: str) -> None:
        pass  # the ledger is what a sweep resumes from

    def restore(self, checkpoint_path: str) -> None:
        pass


class _Remembers:
    """Mixed into a scheduler: a trial that comes in is first shown with what it reached in an earlier run."""

    def __init__(self, past: Sequence[TrialRecord], seed: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._seed = seed
        self._past = {record.trial_id: [_result(m) for m in record.history if m.is_finite] for record in past}
        self._reached: dict[str, int] = {}
        for record in past:
            if record.state != "running":
                self.on_trial_add(None, _PastTrial(record.trial_id))

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        trial_id = trial.config["trial_id"]
        # AsyncHyperBandScheduler draws the bracket from numpy's global state: let it be the trial's own.
        np.random.seed([self._seed, int(trial_id)])
        super().on_trial_add(tune_controller, trial)  # type: ignore[misc]
        for result in self._past.pop(trial_id, []):
            self._reached[trial_id] = result["epoch"]
            self._remember(trial, result)

    def _remember(self, trial: Any, result: dict[str, Any]) -> None:
        super().on_trial_result(None, trial, result)  # type: ignore[misc]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """An epoch that is trained again after a crash was decided upon the first time."""
        if result["epoch"] <= self._reached.get(trial.config["trial_id"], 0):
            return str(TrialScheduler.CONTINUE)
        self._reached[trial.config["trial_id"]] = result["epoch"]
        return str(super().on_trial_result(tune_controller, trial, result))  # type: ignore[misc]

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A diverged trial is no mark to measure others by: an infinite value would shift the percentiles."""
        if math.isfinite(result["val_elbo"]):
            super().on_trial_complete(tune_controller, trial, result)  # type: ignore[misc]


class _PastTrial:
    """All that a scheduler looks at in a trial that has ended."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = f"past-{trial_id}"
        self.config = {"trial_id": trial_id}


def _result(metrics: EpochMetrics) -> dict[str, Any]:
    return {"epoch": metrics.epoch, "val_elbo": metrics.val_elbo}


class _AsyncHyperBand(_Remembers, AsyncHyperBandScheduler):  # type: ignore[misc]
    pass


class _MedianStopping(_Remembers, MedianStoppingRule):  # type: ignore[misc]
    def _remember(self, trial: Any, result: dict[str, Any]) -> None:
        self.on_trial_complete(None, trial, result)  # notes the result; on_trial_result might stop the trial as well


def make_scheduler(space: SearchSpace, seed: int, past: Sequence[TrialRecord] = ()) -> TrialScheduler:
    """Tune's scheduler by the validation ELBO per epoch; of a resumed sweep, one that knows the past trials."""
    settings = space.scheduler
    common: dict[str, Any] = {"past": past, "seed": seed, "time_attr": "epoch", "metric": "val_elbo", "mode": "max"}
    if settings.type in ("asha", "hyperband"):
        return _AsyncHyperBand(
            **common,
            max_t=space.epochs,
            grace_period=settings.grace_epochs,
            reduction_factor=settings.reduction_factor,
            brackets=_brackets(space),
        )
    if settings.type == "median":
        return _MedianStopping(
            **common,
            grace_period=settings.grace_epochs,
            min_samples_required=settings.min_trials,
            min_time_slice=math.inf,  # else it pauses trials for others to catch up; ours run to their end
            hard_stop=True,
        )
    return FIFOScheduler()


def _brackets(space: SearchSpace) -> int:
    """As many as asked for, of those whose first rung comes before the last epoch."""
    if space.scheduler.type != "hyperband":
        return 1
    grace, factor = space.scheduler.grace_epochs, space.scheduler.reduction_factor
    return max(1, sum(1 for bracket in range(space.scheduler.brackets) if grace * factor**bracket < space.epochs))
