"""Study: Optuna proposes the configurations of a search space and is told how they ended."""

import json
import math
import statistics
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

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

from tuning.layout import STUDY_FILE
from tuning.records import Configuration, TrialRecord, grouped
from tuning.search.bounded_tpe import BoundedTpe, History
from tuning.space.dimensions import Categorical, FloatRange, IntRange
from tuning.space.model import SearchSpace
from tuning.space.samplers import Grid, Random
from vae.model.metrics import EpochMetrics

STUDY_NAME = "sweep"
Direction = Literal["maximize", "minimize"]
# By the metric of a sweep, what Optuna optimises: fields of EpochMetrics, and which way is better.
OBJECTIVES: dict[str, dict[str, Direction]] = {
    "val_elbo": {"val_elbo": "maximize"},
    "val_distortion": {"val_distortion": "minimize"},
    "rate_distortion": {"val_rate": "minimize", "val_distortion": "minimize"},
}

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # constant_liar, GP


def distribution(dimension: IntRange | FloatRange | Categorical) -> BaseDistribution:
    """Optuna's form of a searched dimension."""
    if isinstance(dimension, Categorical):
        return CategoricalDistribution(dimension.choices)
    if isinstance(dimension, IntRange):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    step = None if dimension.log else dimension.step
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=step)


def make_sampler(
    space: SearchSpace, seed: int, number: int, history: History | None = None
) -> optuna.samplers.BaseSampler:
    """The sampler of proposal `number`. It draws from (seed, number) alone, so a resumed sweep proposes what an
    uninterrupted one with the same results would have proposed. history: what TPE looks at; None: every trial."""
    own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    settings = space.sampler
    if settings.type == "tpe":
        tpe = optuna.samplers.TPESampler if history is None else partial(BoundedTpe, history)
        return tpe(
            seed=own_seed,
            n_startup_trials=settings.startup_trials,
            n_ei_candidates=settings.candidates,
            constant_liar=True,  # trials run side by side: keep away from those that have no result yet
        )
    if settings.type == "gp":
        return optuna.samplers.GPSampler(
            seed=own_seed, n_startup_trials=settings.startup_trials, warn_independent_sampling=False
        )
    if settings.type == "cmaes":
        return optuna.samplers.CmaEsSampler(
            seed=own_seed,
            n_startup_trials=settings.startup_trials,
            warn_independent_sampling=False,
            consider_pruned_trials=True,  # with early stopping most are; it would see nothing of them
        )
    return optuna.samplers.RandomSampler(seed=own_seed)  # for a grid too: its points come before any proposal


def most_at_once(space: SearchSpace) -> int | None:
    """Trials that may run at a time for a sampler to learn from some before it proposes the others: a quarter of them,
    but all that are drawn at random in the beginning. None: its proposals do not depend on results."""
    if isinstance(space.sampler, Random | Grid):
        return None
    return max(space.sampler.startup_trials, math.ceil(space.trials / 4)) * space.repeats


def learning_note(space: SearchSpace, slots: int, is_chosen: bool) -> str:
    """A line where there is room for more trials than a sampler learns with; '' where not. is_chosen: by the user."""
    most, at_once = most_at_once(space), min(slots, space.n_runs)
    if most is None or at_once <= most:
        return ""
    sampler = space.sampler.type
    if is_chosen:
        proposed = f"{sampler} proposes {at_once} of {space.n_runs} trials before it has seen a result"
        return f"{proposed}; with {most} at a time it learns from some"
    return f"{most} trials at a time, for {sampler} to learn from results; --max-concurrent N runs more"


class Study:
    """The Optuna study on disk. Its trial n is the sweep's n-th configuration, with the means over its seeds.

    The ledger is the truth: the study of a resumed sweep is written anew from the ledger's records.
    """

    def __init__(self, folder: Path, space: SearchSpace, seed: int, past: Sequence[TrialRecord] = ()) -> None:
        self._space = space
        self._seed = seed
        self._first = space.first_trials
        self._objectives = OBJECTIVES[space.metric]
        # Optuna has no intermediate values for two objectives; and with several seeds, whose would they be?
        self._has_intermediate = len(self._objectives) == 1 and space.repeats == 1
        self._distributions = {name: distribution(value) for name, value in space.dimensions.items()}
        path = folder / STUDY_FILE
        beside = path.with_name(f"{STUDY_FILE}.new")
        # A driver that was killed leaves Optuna's locks behind, which would be waited for. No other driver runs now.
        for left in (beside, *folder.glob(f"{STUDY_FILE}*.lock*")):
            left.unlink(missing_ok=True)
        # Keep what the samplers noted in the old study, write the new one beside it, then put it in its place: a
        # driver that is killed meanwhile leaves the old study whole.
        notes = _sampler_notes(path)
        study = _create(beside, self._objectives)
        for configuration in grouped(past):
            study.add_trial(self._past(configuration, notes.get(configuration.number)))
        beside.replace(path)
        self._study = _open(path)
        # The trials that go on are reported and told as those that were asked for here.
        self._live: dict[int, optuna.trial.Trial] = {}
        self._history = History(self._study.direction) if len(self._objectives) == 1 else None
        known = self._study.get_trials(deepcopy=False)
        for trial in known:
            if trial.state == TrialState.RUNNING:
                self._live[trial.number] = optuna.trial.Trial(self._study, trial._trial_id)
            elif self._history:
                self._history.add(trial)
        self._n_proposed = len(known)

    def _past(self, configuration: Configuration, notes: dict[str, Any] | None) -> optuna.trial.FrozenTrial:
        """A configuration as the study would have it, had it been asked and told."""
        state, values = self._outcome(configuration)
        reached = self._intermediate(configuration.records[0])
        if state == TrialState.PRUNED and reached:
            values = [next(reversed(reached.values()))]  # as Optuna does itself
        return optuna.trial.create_trial(
            state=state,
            values=values,
            params=configuration.params,
            distributions={name: self._distributions[name] for name in configuration.params},
            intermediate_values=reached,
            system_attrs=notes,
        )

    def _outcome(self, configuration: Configuration) -> tuple[TrialState, list[float] | None]:
        """The state of a configuration, and its values if it is complete."""
        if len(configuration.records) < self._space.repeats or not configuration.has_ended:
            return TrialState.RUNNING, None
        if configuration.is_failed:
            return TrialState.FAIL, None
        if any(record.state == "pruned" for record in configuration.records):
            return TrialState.PRUNED, None
        return TrialState.COMPLETE, [statistics.fmean(configuration.values(name)) for name in self._objectives]

    def _intermediate(self, record: TrialRecord) -> dict[int, float]:
        values = {metrics.epoch: self._value(metrics) for metrics in record.history}
        return {epoch: value for epoch, value in values.items() if value is not None}

    def _value(self, metrics: EpochMetrics) -> float | None:
        """The intermediate value of an epoch. NaN and infinity stay out: they spoil samplers and plots."""
        (name, *_) = self._objectives
        value: float | None = getattr(metrics, name)
        return value if self._has_intermediate and value is not None and math.isfinite(value) else None

    @property
    def is_free(self) -> bool:
        """Whether the next configuration is none of those that the space begins with."""
        return self._n_proposed >= len(self._first)

    def propose(self, wanted: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """The next configuration: its number, and its values, with those of conditional dimensions where they apply.

        wanted: values that it has; what they leave out is proposed."""
        number = self._n_proposed
        self._study.sampler = make_sampler(self._space, self._seed, number, self._history)
        if wanted is None and number < len(self._first):
            wanted = self._first[number]
        if wanted is not None:
            self._study.enqueue_trial(wanted)
        dimensions = self._space.dimensions
        trial = self._study.ask({name: self._distributions[name] for name in dimensions if not dimensions[name].when})
        for name in dimensions:
            if dimensions[name].when and self._space.applies(name, trial.params):
                _suggest(trial, name, self._distributions[name])
        self._live[trial.number] = trial
        self._n_proposed += 1
        return trial.number, {name: trial.params[name] for name in dimensions if name in trial.params}

    def report(self, number: int, metrics: EpochMetrics) -> None:
        """Report an epoch, where the study has intermediate values."""
        if (value := self._value(metrics)) is not None:
            self._live[number].report(value, metrics.epoch)

    def tell(self, configuration: Configuration) -> None:
        """One of its trials has ended; tell Optuna if it was the last. Optuna gives a pruned one its last value."""
        state, values = self._outcome(configuration)
        if state != TrialState.RUNNING:
            del self._live[configuration.number]
            ended = self._study.tell(configuration.number, values, state=state)
            if self._history:
                self._history.add(ended)


def _suggest(trial: optuna.trial.Trial, name: str, values: BaseDistribution) -> None:
    if isinstance(values, CategoricalDistribution):
        trial.suggest_categorical(name, values.choices)
    elif isinstance(values, IntDistribution):
        trial.suggest_int(name, values.low, values.high, step=values.step, log=values.log)
    elif isinstance(values, FloatDistribution):
        trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log)


def _create(path: Path, objectives: dict[str, Direction]) -> optuna.Study:
    study = optuna.create_study(storage=_storage(path), study_name=STUDY_NAME, directions=list(objectives.values()))
    study.set_metric_names(list(objectives))
    return study


def _open(path: Path) -> optuna.Study:
    return optuna.load_study(storage=_storage(path), study_name=STUDY_NAME)


def _storage(path: Path) -> JournalStorage:
    return JournalStorage(_Journal(str(path)))


class _Journal(JournalFileBackend):
    """Optuna's journal without its lock and its fsync for every epoch of every trial: one driver writes the study, and
    a study that a power cut has damaged is made again from the ledger."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs)
        with open(self._path, "ab") as file:
            file.write(lines.encode())


def load_study(folder: Path) -> optuna.Study:
    """The study of a sweep's folder, to read."""
    return _open(folder / STUDY_FILE)


def _sampler_notes(path: Path) -> dict[int, dict[str, Any]]:
    """By trial, what a sampler wrote beside it to go on from (CMA-ES: its state); {} where no study can be read."""
    if not path.exists():
        return {}
    try:
        return {trial.number: trial.system_attrs for trial in _open(path).get_trials(deepcopy=False)}
    except (OSError, ValueError, KeyError):  # cut off or damaged: the sampler starts again; the results are kept
        return {}
