"""Which trials the schedulers stop, driven as Tune drives them; and that a resumed one decides the same."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tests.material.epochs import of_elbo
from tests.material.search import record, space
from tuning.plan.plan import Plan
from tuning.records import TrialRecord
from tuning.search.early_stopping import make_scheduler
from tuning.space.model import SearchSpace
from vae.model.metrics import EpochMetrics, Terms

STOP, CONTINUE = TrialScheduler.STOP, TrialScheduler.CONTINUE


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


def result(epoch: int, score: float) -> dict[str, Any]:
    return {"epoch": epoch, "score": score, "training_iteration": epoch}


class Driven:
    """Runs trials through a scheduler as Tune does, in any order of their epochs, and notes what it decides."""

    def __init__(
        self,
        space: SearchSpace,
        past: Sequence[TrialRecord] = (),
        seed: int = 0,
        tells: Callable[[int, int], bool] = lambda number, epoch: True,
    ) -> None:
        """tells: whether a result ends with this epoch of this trial; its last one always does."""
        self._tells = tells
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
        trial.history.append(of_elbo(epoch, value))
        if epoch == self._n_epochs or not math.isfinite(value):
            self.scheduler.on_trial_complete(Controller(), self._trials[number], result(epoch, value))
            trial.state = "complete" if math.isfinite(value) else "failed"
            return STOP
        if not self._tells(number, epoch):
            return CONTINUE
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


@settings(max_examples=40, deadline=None)
@given(orders(8, 9), st.sampled_from(["asha", "hyperband"]), st.data())
def test_a_trial_that_tells_of_several_epochs_at_once_is_stopped_where_one_that_tells_of_each_is(
    order: list[int], kind: str, data: st.DataObject
) -> None:
    """Results end at the epochs at which the scheduler can decide, and at others as it happens."""
    settings = {
        "asha": {"type": "asha", "grace_epochs": 1, "reduction_factor": 3},
        "hyperband": {"type": "hyperband", "grace_epochs": 1, "reduction_factor": 2, "brackets": 3},
    }[kind]
    chosen = space(scheduler=settings)
    deciding = Plan("p", chosen, 0, "digits", "", Path()).deciding_epochs()
    assert deciding is not None
    also = data.draw(st.frozensets(st.tuples(st.integers(0, 7), st.integers(1, 9))))
    rarely = Driven(chosen, tells=lambda number, epoch: epoch in deciding or (number, epoch) in also)
    assert play(rarely, order) == play(Driven(chosen), order)


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


def test_ranked_by_distortion_a_resumed_scheduler_measures_by_it_whatever_the_modes() -> None:
    """An autoencoder and a vae came before; the rate of the vae counts for nothing."""
    chosen = space(
        metric="val_distortion",
        search={"mode": {"type": "categorical", "choices": ["vae", "autoencoder"]}},
        scheduler={"type": "asha", "grace_epochs": 1, "reduction_factor": 2},
    )
    past = [record(chosen, number, {"mode": mode}) for number, mode in enumerate(("autoencoder", "vae"))]
    for trial, terms in zip(past, (Terms(80.0, None), Terms(60.0, 50.0)), strict=True):
        trial.history.append(EpochMetrics.of(1, 1.0, terms, terms, None, 0.5))
    for distortion, expected in ((69.0, CONTINUE), (71.0, STOP)):  # the median of -80 and -60 is -70
        scheduler = make_scheduler(chosen, 0, past)
        for trial in past:
            scheduler.on_trial_add(Controller(), LiveTrial(trial.trial_id))
        new = LiveTrial("0002")
        scheduler.on_trial_add(Controller(), new)
        assert scheduler.on_trial_result(Controller(), new, result(1, -distortion)) == expected


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


def test_a_bracket_is_drawn_without_touching_numpys_global_state() -> None:
    scheduler = make_scheduler(asha(), 0, [record(asha(), 0, {}, [-100.0], "complete")])
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    scheduler.on_trial_add(Controller(), LiveTrial("0001"))
    assert np.random.random(3).tolist() == expected.tolist()


def test_hyperbands_brackets_are_those_of_numpys_generator_seeded_with_sweep_and_trial() -> None:
    chosen = space(epochs=81, scheduler={"type": "hyperband", "grace_epochs": 1, "brackets": 3})
    scheduler = make_scheduler(chosen, 4)
    sizes = np.array([len(bracket._rungs) for bracket in scheduler._brackets])
    weights = np.exp(sizes - sizes.max())  # Ray's: a bracket with more rungs is likelier
    for number in range(40):
        trial = LiveTrial(f"{number:04d}-2")
        scheduler.on_trial_add(Controller(), trial)
        expected = np.random.RandomState([4, number, 2]).choice(3, p=weights / weights.sum())
        assert scheduler._trial_info[trial.trial_id] is scheduler._brackets[expected]
