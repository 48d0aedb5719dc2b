import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tuning.records import TrialRecord
from tuning.search import (
    STUDY_FILE,
    STUDY_NAME,
    Proposals,
    Study,
    distribution,
    load_study,
    make_sampler,
    make_scheduler,
)
from tuning.space import SearchSpace
from vae.metrics import EpochMetrics

SEARCH = {
    "latent_size": {"type": "int", "low": 2, "high": 64, "log": True},
    "hidden_units": {"type": "int", "low": 64, "high": 512, "step": 64},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "beta": {"type": "float", "low": 0.25, "high": 4.0},
}
WORDS = {"activation": {"type": "categorical", "choices": ["relu", "tanh", "elu"]}}
STOP, CONTINUE = TrialScheduler.STOP, TrialScheduler.CONTINUE


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna's journal syncs every line; what these tests look at is there without."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def space(**changes: Any) -> SearchSpace:
    content = {"description": "A space.", "trials": 50, "epochs": 9, "search": {**SEARCH, **WORDS}, **changes}
    return SearchSpace.model_validate(content)


def metrics(epoch: int, val_elbo: float) -> EpochMetrics:
    of_epoch = EpochMetrics.of(epoch, 1.0, (100.0, 10.0), (-val_elbo - 10.0, 10.0), 0.5)
    return replace(of_epoch, val_elbo=val_elbo)  # exactly, not up to rounding


def record(
    space: SearchSpace, number: int, params: dict[str, Any], elbos: Sequence[float] = (), state: Any = "running"
) -> TrialRecord:
    history = [metrics(epoch, elbo) for epoch, elbo in enumerate(elbos, start=1)]
    return TrialRecord(f"{number:04d}", params, space.config(params, 0), state, history)


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
        trial.history.append(metrics(epoch, value))
        study.report(number, trial.history[-1])
    trial.state = "failed" if number % 7 == 6 else "pruned" if number % 3 == 2 else "complete"
    study.tell(number, trial)
    return trial


# ---------------------------------------------------------------- distributions and samplers


def test_distributions_are_the_spaces_own() -> None:
    found = {name: distribution(dimension) for name, dimension in space().dimensions.items()}
    assert found == {
        "latent_size": IntDistribution(2, 64, log=True),
        "hidden_units": IntDistribution(64, 512, step=64),
        "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "beta": FloatDistribution(0.25, 4.0),
        "activation": CategoricalDistribution(("relu", "tanh", "elu")),
    }


def test_a_float_step_reaches_its_high_end_exactly() -> None:
    stepped = space(search={"beta": {"type": "float", "low": 0.1, "high": 0.3, "step": 0.1}})
    found = distribution(stepped.dimensions["beta"])
    assert isinstance(found, FloatDistribution)
    assert (found.low, found.high, found.step) == (0.1, 0.3, 0.1)


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        ({"type": "tpe", "startup_trials": 7, "candidates": 8}, optuna.samplers.TPESampler),
        ({"type": "random"}, optuna.samplers.RandomSampler),
        ({"type": "gp", "startup_trials": 7}, optuna.samplers.GPSampler),
        ({"type": "cmaes", "startup_trials": 7}, optuna.samplers.CmaEsSampler),
        ({"type": "grid"}, optuna.samplers.RandomSampler),
    ],
)
def test_each_sampler_is_the_one_of_its_name(sampler: dict[str, Any], expected: type) -> None:
    assert type(make_sampler(space(sampler=sampler), 0, 0)) is expected


SAMPLERS = {
    "tpe": {"type": "tpe", "startup_trials": 4},
    "random": {"type": "random"},
    "gp": {"type": "gp", "startup_trials": 4},
    "cmaes": {"type": "cmaes", "startup_trials": 2},
}


def space_for(sampler: str) -> SearchSpace:
    return space(sampler=SAMPLERS[sampler], search=SEARCH if sampler == "cmaes" else {**SEARCH, **WORDS})


@pytest.mark.parametrize(("sampler", "n_trials"), [("tpe", 30), ("random", 30), ("gp", 8), ("cmaes", 40)])
def test_a_study_rebuilt_from_its_records_proposes_what_an_uninterrupted_one_does(
    tmp_path: Path, sampler: str, n_trials: int
) -> None:
    chosen = space_for(sampler)
    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    whole = Study(tmp_path / "whole", chosen, 5)
    expected = [run_trial(chosen, whole) for _ in range(n_trials)]
    broken, found = Study(tmp_path / "broken", chosen, 5), []
    for number in range(n_trials):
        if number % (n_trials // 4) == 1:  # the driver is killed, and started again from what it had written down
            broken = Study(tmp_path / "broken", chosen, 5, found)
        found.append(run_trial(chosen, broken))
    assert [trial.params for trial in found] == [trial.params for trial in expected]
    for trial in found:
        for name, value in trial.params.items():
            assert distribution(chosen.dimensions[name])._contains(
                distribution(chosen.dimensions[name]).to_internal_repr(value)
            )


def test_a_rebuilt_study_with_trials_still_running_proposes_the_same(tmp_path: Path) -> None:
    chosen = space_for("tpe")
    (tmp_path / "again").mkdir()
    study = Study(tmp_path, chosen, 0)
    past = [run_trial(chosen, study) for _ in range(12)]
    for _ in range(3):
        number, params = study.propose()
        running = record(chosen, number, params, [objective(params, 1), objective(params, 2)])
        for reached in running.history:
            study.report(number, reached)
        past.append(running)
    assert Study(tmp_path / "again", chosen, 0, past).propose() == study.propose()


def test_a_running_trial_goes_on_in_the_rebuilt_study(tmp_path: Path) -> None:
    chosen = space_for("random")
    first = Study(tmp_path, chosen, 0)
    number, params = first.propose()
    running = record(chosen, number, params, [-120.0, -110.0])
    study = Study(tmp_path, chosen, 0, [running])
    running.history.append(metrics(3, -105.0))
    study.report(0, running.history[-1])
    running.state = "complete"
    study.tell(0, running)
    trial = load_study(tmp_path).trials[0]
    assert trial.state == TrialState.COMPLETE
    assert trial.intermediate_values == {1: -120.0, 2: -110.0, 3: -105.0}
    assert trial.value == -105.0


def test_seeds_give_different_proposals_and_so_do_numbers(tmp_path: Path) -> None:
    chosen = space_for("random")
    proposals = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        study = Study(tmp_path / str(seed), chosen, seed)
        proposals += [study.propose()[1]["learning_rate"] for _ in range(10)]
    assert len(set(proposals)) == 20


def test_random_proposals_cover_a_logarithmic_range_evenly(tmp_path: Path) -> None:
    study = Study(tmp_path, space_for("random"), 0)
    rates = [study.propose()[1]["learning_rate"] for _ in range(120)]
    below = sum(rate < 1e-3 for rate in rates)
    assert 40 <= below <= 80  # binomial(120, 1/2): four standard deviations are 22


# ---------------------------------------------------------------- baselines, grids, states


def test_baselines_come_first_in_order_each_once_and_what_they_leave_out_is_proposed(tmp_path: Path) -> None:
    baselines = [{"latent_size": 20, "beta": 1.0}, {"latent_size": 4, "activation": "elu"}, {"hidden_units": 512}]
    chosen = space(baselines=baselines)
    study = Study(tmp_path, chosen, 0)
    proposals = [study.propose()[1] for _ in range(6)]
    for baseline, params in zip(baselines, proposals[:3], strict=True):
        assert baseline.items() <= params.items()
        assert set(params) == {*SEARCH, *WORDS}
    assert not any(baseline.items() <= params.items() for baseline in baselines[:2] for params in proposals[3:])


def test_baselines_that_were_tried_before_a_crash_are_not_tried_again(tmp_path: Path) -> None:
    chosen = space(baselines=[{"latent_size": size} for size in (3, 5, 7)])
    study = Study(tmp_path, chosen, 0)
    past = [run_trial(chosen, study) for _ in range(2)]
    study = Study(tmp_path, chosen, 0, past)
    assert study.propose()[1]["latent_size"] == 7
    assert study.propose()[0] == 3


def test_a_grid_is_tried_point_by_point_over_any_number_of_crashes(tmp_path: Path) -> None:
    search = {
        "latent_size": {"type": "int", "low": 2, "high": 6, "step": 2},
        "beta": {"type": "float", "low": 0.1, "high": 0.3, "step": 0.1},
        **WORDS,
    }
    grid = space(search=search, sampler={"type": "grid"}, trials=27)
    past: list[TrialRecord] = []
    for number in range(27):
        if number % 5 == 0:
            study = Study(tmp_path, grid, 0, past)
        proposed, params = study.propose()
        past.append(record(grid, proposed, params, [-110.0], "complete"))
        study.tell(proposed, past[-1])
    found = [(trial.params["latent_size"], trial.params["activation"], trial.params["beta"]) for trial in past]
    words = WORDS["activation"]["choices"]
    assert found == [(size, word, beta) for size in (2, 4, 6) for word in words for beta in (0.1, 0.2, 0.3)]


def test_optuna_is_told_how_each_trial_ended(tmp_path: Path) -> None:
    chosen = space()
    study = Study(tmp_path, chosen, 0)
    ended: dict[str, list[float]] = {
        "complete": [-130.0, -104.0, -106.0],
        "pruned": [-150.0, -140.0, -145.0],
        "failed": [-130.0, math.nan],
    }
    for state, elbos in ended.items():
        number, params = study.propose()
        trial = record(chosen, number, params, elbos, state)
        for reached in trial.history:
            study.report(number, reached)
        study.tell(number, trial)
    study.propose()
    complete, pruned, failed, running = load_study(tmp_path).trials
    assert (complete.state, complete.value) == (TrialState.COMPLETE, -104.0)
    assert (pruned.state, pruned.intermediate_values) == (TrialState.PRUNED, {1: -150.0, 2: -140.0, 3: -145.0})
    assert (failed.state, failed.value, failed.intermediate_values) == (TrialState.FAIL, None, {1: -130.0})
    assert running.state == TrialState.RUNNING
    assert load_study(tmp_path).best_trial.number == 0


def test_a_rebuilt_study_says_of_every_trial_what_the_first_one_said(tmp_path: Path) -> None:
    chosen = space()
    study = Study(tmp_path, chosen, 0)
    past = [run_trial(chosen, study) for _ in range(15)]
    before = load_study(tmp_path).trials
    Study(tmp_path, chosen, 0, past)
    after = load_study(tmp_path).trials
    assert {trial.state for trial in before} == {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    for one, other in zip(before, after, strict=True):
        assert (one.number, one.state, one.value, one.params) == (other.number, other.state, other.value, other.params)
        assert (one.intermediate_values, one.distributions) == (other.intermediate_values, other.distributions)


def test_a_trial_that_failed_before_its_first_epoch_has_no_values(tmp_path: Path) -> None:
    chosen = space()
    study = Study(tmp_path, chosen, 0)
    number, params = study.propose()
    study.tell(number, record(chosen, number, params, [], "failed"))
    past = [record(chosen, 0, params, [], "failed"), record(chosen, 1, params, [math.nan], "failed")]
    Study(tmp_path, chosen, 0, past)
    assert [trial.intermediate_values for trial in load_study(tmp_path).trials] == [{}, {}]


def test_the_study_opens_with_plain_optuna(tmp_path: Path) -> None:
    chosen = space()
    study = Study(tmp_path, chosen, 0)
    for _ in range(4):
        run_trial(chosen, study)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / STUDY_FILE)))
    assert optuna.get_all_study_names(storage) == [STUDY_NAME]
    plain = optuna.load_study(storage=storage, study_name=STUDY_NAME)
    assert plain.direction == optuna.study.StudyDirection.MAXIMIZE
    assert [trial.number for trial in plain.trials] == [0, 1, 2, 3]


@pytest.mark.timeout(20)
def test_locks_and_half_written_files_of_a_killed_driver_are_swept_away(tmp_path: Path) -> None:
    chosen = space()
    study = Study(tmp_path, chosen, 0)
    past = [run_trial(chosen, study) for _ in range(3)]
    for name in (STUDY_FILE, f"{STUDY_FILE}.new"):
        os.symlink(str(tmp_path / name), tmp_path / f"{name}.lock")
    os.symlink("/moved/elsewhere", tmp_path / f"{STUDY_FILE}.lock0a1b.rename")
    (tmp_path / f"{STUDY_FILE}.new").write_bytes(b'{"op_code":0,"worker')
    study = Study(tmp_path, chosen, 0, past)
    run_trial(chosen, study)
    assert len(load_study(tmp_path).trials) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == [STUDY_FILE]


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 64, b'{"op_code": 0}\n', b"not json\nnot json\n"])
def test_a_damaged_study_is_written_anew_from_the_records(tmp_path: Path, content: bytes) -> None:
    chosen = space_for("cmaes")
    study = Study(tmp_path, chosen, 0)
    past = [run_trial(chosen, study) for _ in range(5)]
    (tmp_path / STUDY_FILE).write_bytes(content)
    study = Study(tmp_path, chosen, 0, past)
    assert study.propose()[0] == 5
    assert len(load_study(tmp_path).trials) == 6


def test_tpe_finds_better_trials_than_chance(tmp_path: Path) -> None:
    best = {}
    for sampler in ("tpe", "random"):
        (tmp_path / sampler).mkdir()
        chosen = space_for(sampler)
        study = Study(tmp_path / sampler, chosen, 1)
        for _ in range(40):
            run_trial(chosen, study)
        values = [trial.value for trial in load_study(tmp_path / sampler).get_trials(states=(TrialState.COMPLETE,))]
        best[sampler] = float(np.mean([value for value in values[-12:] if value is not None]))
    assert best["tpe"] > best["random"]


def test_tune_is_given_each_proposal_and_its_results_go_elsewhere(tmp_path: Path) -> None:
    given = iter([{"trial_id": "0000"}, {"trial_id": "0001"}])
    proposals = Proposals(lambda: next(given))
    assert proposals.suggest("a") == {"trial_id": "0000"}
    proposals.on_trial_complete("a", {"val_elbo": -100.0})
    assert proposals.suggest("b") == {"trial_id": "0001"}
    assert (proposals.metric, proposals.mode) == ("val_elbo", "max")
    proposals.save(str(tmp_path / "state"))
    assert not (tmp_path / "state").exists()


# ---------------------------------------------------------------- schedulers, driven as Tune drives them


class LiveTrial:
    """What a scheduler sees of one of Tune's trials."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = f"tune-{trial_id}"
        self.config = {"trial_id": trial_id}
        self.status = "PENDING"


class Controller:
    """What the median rule asks of Tune: trials wait for their turn."""

    def get_live_trials(self) -> list[LiveTrial]:
        return [LiveTrial("9998"), LiveTrial("9999")]


def result(epoch: int, val_elbo: float) -> dict[str, Any]:
    return {"epoch": epoch, "val_elbo": val_elbo, "training_iteration": epoch}


class Driven:
    """Runs trials through a scheduler as Tune does, in any order of their epochs, and notes what it decides."""

    def __init__(self, space: SearchSpace, past: Sequence[TrialRecord] = (), seed: int = 0) -> None:
        self.scheduler = make_scheduler(space, seed, past)
        self._n_epochs = space.epochs
        self._trials: dict[int, LiveTrial] = {}
        self.records = {int(trial.trial_id): trial for trial in past}
        self._space = space

    def add(self, number: int) -> None:
        self._trials[number] = LiveTrial(f"{number:04d}")
        self.records.setdefault(number, record(self._space, number, {}))
        self.scheduler.on_trial_add(Controller(), self._trials[number])

    def step(self, number: int, value: float) -> str:
        """One epoch more; a trial that is at its end, or not finite, is `done` and so not asked about."""
        trial = self.records[number]
        epoch = len(trial.history) + 1
        trial.history.append(metrics(epoch, value))
        if epoch == self._n_epochs or not math.isfinite(value):
            self.scheduler.on_trial_complete(Controller(), self._trials[number], result(epoch, value))
            trial.state = "complete" if math.isfinite(value) else "failed"
            return STOP
        decision: str = self.scheduler.on_trial_result(Controller(), self._trials[number], result(epoch, value))
        if decision == STOP:
            trial.state = "pruned"
        return decision


def curve(number: int, epoch: int) -> float:
    """Learning curves that cross: who leads early is not always best."""
    draw = np.random.default_rng(number)
    return float(-100 - 30 * draw.random() - 40 * draw.random() / epoch + 3 * np.sin(number + epoch))


Values = Callable[[int, int], float]


def play(driven: Driven, order: Sequence[int], values: Values = curve) -> dict[int, int]:
    """Give each trial its next epoch in this order; the epochs after which trials were stopped."""
    ended: dict[int, int] = {n: len(t.history) for n, t in driven.records.items() if t.state != "running"}
    for number in order:
        if number in ended:
            continue
        if number not in driven._trials:
            driven.add(number)
        epoch = len(driven.records[number].history) + 1
        decision = driven.step(number, values(number, epoch))
        assert decision in (STOP, CONTINUE)
        if decision == STOP:
            ended[number] = epoch
    return ended


def orders(n_trials: int, n_epochs: int) -> st.SearchStrategy[list[int]]:
    return st.permutations([number for number in range(n_trials) for _ in range(n_epochs)])


def quantile(values: Sequence[float], fraction: float) -> float:
    """Linear between order statistics: Hyndman and Fan's type 7."""
    ordered = sorted(values)
    position = fraction * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def successive_halving(
    order: Sequence[int], rungs: Sequence[int], factor: int, n_epochs: int, values: Values = curve
) -> dict[int, int]:
    """Li et al. 2020, asynchronously: at a rung a trial goes on if it is not below the best 1/factor of those that
    came to the rung before it."""
    at_rung: dict[int, list[float]] = {rung: [] for rung in rungs}
    reached: dict[int, int] = {}
    ended: dict[int, int] = {}
    for number in order:
        if number in ended:
            continue
        epoch = reached[number] = reached.get(number, 0) + 1
        if epoch == n_epochs:
            ended[number] = epoch
        elif epoch in at_rung:
            value = values(number, epoch)
            if at_rung[epoch] and value < quantile(at_rung[epoch], 1 - 1 / factor):
                ended[number] = epoch
            at_rung[epoch].append(value)
    return ended


def asha(grace: int = 1, factor: int = 3, epochs: int = 9) -> SearchSpace:
    return space(epochs=epochs, scheduler={"type": "asha", "grace_epochs": grace, "reduction_factor": factor})


@settings(max_examples=40, deadline=None)
@given(
    orders(8, 9), st.sampled_from([(1, 3, (1, 3)), (1, 2, (1, 2, 4, 8)), (2, 3, (2, 6)), (3, 3, (3,)), (4, 2, (4, 8))])
)
def test_asha_decides_as_successive_halving_says(order: list[int], setting: tuple[int, int, tuple[int, ...]]) -> None:
    grace, factor, rungs = setting
    assert play(Driven(asha(grace, factor)), order) == successive_halving(order, rungs, factor, 9)


def test_asha_stops_what_is_below_the_best_third_at_a_rung() -> None:
    driven = Driven(asha(grace=1, factor=3))
    decisions = []
    for number, value in enumerate([-110.0, -120.0, -105.0, -106.0]):
        driven.add(number)
        decisions.append(driven.step(number, value))
    # before each: nothing; -110; (-120, -110) with 2/3 at -113.33; (-120, -110, -105) with 2/3 at -108.33
    assert decisions == [CONTINUE, STOP, CONTINUE, CONTINUE]
    driven.add(4)
    assert driven.step(4, -107.0) == STOP  # (-120, -110, -106, -105) with 2/3 at -106


def test_asha_stops_nothing_between_rungs() -> None:
    driven = Driven(asha(grace=3, factor=3, epochs=20))
    for number in (0, 1):
        driven.add(number)
        driven.step(number, -100.0 - number)
        driven.step(number, -100.0 - number)
    assert [driven.step(0, -90.0), driven.step(1, -89.0)] == [CONTINUE, CONTINUE]
    assert [driven.step(1, -500.0) for _ in range(5)] == [CONTINUE] * 5


@settings(max_examples=40, deadline=None)
@given(orders(8, 9), st.integers(1, 60), st.sampled_from(["asha", "hyperband", "median"]))
def test_a_resumed_scheduler_decides_as_an_uninterrupted_one(order: list[int], killed_after: int, kind: str) -> None:
    settings = {
        "asha": {"type": "asha", "grace_epochs": 1, "reduction_factor": 2},
        "hyperband": {"type": "hyperband", "grace_epochs": 1, "reduction_factor": 2, "brackets": 3},
        "median": {"type": "median", "grace_epochs": 2, "min_trials": 2},
    }[kind]
    chosen = space(scheduler=settings)
    # Tune adds trials in the order of their numbers
    order = [*range(8), *order]
    expected = play(Driven(chosen), order)
    first = Driven(chosen)
    play(first, order[:killed_after])
    past = [first.records[number] for number in sorted(first.records)]
    second = Driven(chosen, past)
    for number, trial in second.records.items():
        if trial.state == "running":
            second.add(number)
    assert play(second, order[killed_after:]) == expected


def test_epochs_that_are_trained_again_after_a_crash_do_not_count_twice() -> None:
    chosen = space(scheduler={"type": "median", "grace_epochs": 1, "min_trials": 1})
    past = [record(chosen, 0, {}, [-100.0, -110.0, -120.0])]
    scheduler = make_scheduler(chosen, 0, past)
    first, second = LiveTrial("0000"), LiveTrial("0001")
    scheduler.on_trial_add(Controller(), first)
    for epoch in (2, 3):  # its checkpoint was of epoch 1
        assert scheduler.on_trial_result(Controller(), first, result(epoch, -100.0 - 10 * (epoch - 1))) == CONTINUE
    scheduler.on_trial_add(Controller(), second)
    # the other's running mean to epoch 3 is -110; counted twice it would be -112
    assert scheduler.on_trial_result(Controller(), second, result(3, -111.0)) == STOP


@settings(max_examples=40, deadline=None)
@given(orders(7, 6), st.data())
def test_a_diverged_trial_does_no_harm_to_the_others(order: list[int], data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, 6)), data.draw(st.integers(1, 6))
    value = data.draw(st.sampled_from([math.nan, math.inf, -math.inf]))

    def values(number: int, epoch: int) -> float:
        return value if (number, epoch) == lost else curve(number, epoch)

    ended = play(Driven(asha(epochs=6)), order, values)
    before = [number for position, number in enumerate(order) if not _is_from(order, position, *lost)]
    assert ended == {**successive_halving(before, (1, 3), 3, 6), **{n: e for n, e in ended.items() if n == lost[0]}}


def _is_from(order: Sequence[int], position: int, number: int, epoch: int) -> bool:
    """Whether this step is the trial's epoch or a later one."""
    return order[position] == number and order[: position + 1].count(number) >= epoch


def test_nan_alone_at_a_rung_stops_nobody() -> None:
    driven = Driven(asha())
    for number, value in enumerate([math.nan, math.nan, -300.0]):
        driven.add(number)
        decision = driven.step(number, value)
    assert decision == CONTINUE


def test_infinity_at_a_rung_counts_for_nothing_before_and_after_a_resume() -> None:
    chosen = asha(grace=1, factor=2)
    driven = Driven(chosen)
    for number, value in enumerate([-100.0, -math.inf, -102.0]):
        driven.add(number)
        last = driven.step(number, value)
    assert last == STOP  # below the only finite one, -100
    resumed = Driven(chosen, [driven.records[0], driven.records[1]])
    resumed.add(0)
    resumed.add(2)
    assert resumed.step(2, -102.0) == STOP


def median_rule(order: Sequence[int], grace: int, min_trials: int, n_epochs: int) -> dict[int, int]:
    """Golovin et al. 2017: stop a trial whose best value so far is below the median of the running means, from the
    grace on and up to this epoch, of the other trials that have come as far."""
    seen: dict[int, list[float]] = {}
    ended: dict[int, int] = {}
    for number in order:
        if number in ended:
            continue
        epoch = len(seen.setdefault(number, [])) + 1
        seen[number].append(curve(number, epoch))
        if epoch == n_epochs:
            ended[number] = epoch
        elif epoch >= grace:
            others = [values for other, values in seen.items() if other != number and len(values) >= epoch]
            means = [sum(values[grace - 1 : epoch]) / (epoch - grace + 1) for values in others]
            if len(means) >= min_trials and max(seen[number]) < quantile(means, 0.5):
                ended[number] = epoch
    return ended


@settings(max_examples=40, deadline=None)
@given(orders(8, 6), st.integers(1, 4), st.integers(1, 5))
def test_the_median_rule_stops_below_the_median_and_never_pauses(order: list[int], grace: int, least: int) -> None:
    chosen = space(epochs=6, scheduler={"type": "median", "grace_epochs": grace, "min_trials": least})
    assert play(Driven(chosen), order) == median_rule(order, grace, least, 6)


def test_without_a_scheduler_every_trial_runs_to_its_end() -> None:
    scheduler = make_scheduler(space(scheduler={"type": "none"}), 0)
    assert type(scheduler) is FIFOScheduler
    trial = LiveTrial("0000")
    scheduler.on_trial_add(Controller(), trial)
    assert scheduler.on_trial_result(Controller(), trial, result(1, -1e9)) == CONTINUE


@pytest.mark.parametrize(
    ("epochs", "grace", "factor", "asked", "first_rungs"),
    [
        (81, 1, 3, 5, [1, 3, 9, 27]),  # a first rung at 81 would be the end
        (80, 1, 3, 5, [1, 3, 9, 27]),
        (82, 1, 3, 5, [1, 3, 9, 27, 81]),
        (243, 1, 3, 5, [1, 3, 9, 27, 81]),  # log(243, 3) is 4.999... in floating point
        (9, 1, 3, 3, [1, 3]),
        (9, 4, 2, 3, [4, 8]),
        (9, 9, 3, 3, [9]),
        (30, 1, 3, 2, [1, 3]),
    ],
)
def test_hyperband_has_a_bracket_for_each_first_rung_before_the_end(
    epochs: int, grace: int, factor: int, asked: int, first_rungs: list[int]
) -> None:
    scheduler = {"type": "hyperband", "grace_epochs": grace, "reduction_factor": factor, "brackets": asked}
    found = make_scheduler(space(epochs=epochs, scheduler=scheduler), 0)
    assert [min([rung for rung, _ in bracket._rungs], default=epochs) for bracket in found._brackets] == first_rungs


def test_hyperband_gives_trials_to_several_brackets_the_same_ones_each_time() -> None:
    chosen = space(epochs=81, scheduler={"type": "hyperband", "grace_epochs": 1, "brackets": 3})

    def brackets(seed: int) -> list[int]:
        scheduler = make_scheduler(chosen, seed)
        for number in range(60):
            scheduler.on_trial_add(Controller(), LiveTrial(f"{number:04d}"))
            np.random.random()  # somebody else draws from numpy's global state
        return [scheduler._brackets.index(bracket) for bracket in scheduler._trial_info.values()]

    assert set(brackets(0)) == {0, 1, 2}
    assert brackets(0) == brackets(0)
    assert brackets(0) != brackets(1)


def test_a_study_survives_kill_9_of_its_driver_at_any_point(tmp_path: Path) -> None:
    script = """
import sys; from pathlib import Path
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/tests"]
from test_search import run_trial, space_for
from tuning.search import Study
study = Study(Path(sys.argv[1]), space_for("cmaes"), 0)
print("ready", flush=True)
while True:
    run_trial(space_for("cmaes"), study)
    print(".", flush=True)
"""
    root = str(Path(__file__).resolve().parent.parent)
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path), root], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(12):
            process.stdout.readline()
        process.kill()
    lines = (tmp_path / STUDY_FILE).read_bytes().splitlines()
    assert json.loads(lines[0])["op_code"] == 0
    chosen = space_for("cmaes")
    past = [
        record(chosen, trial.number, trial.params, list(trial.intermediate_values.values()))
        for trial in load_study(tmp_path).trials
    ]
    assert Study(tmp_path, chosen, 0, past).propose()[0] == len(past) >= 10
