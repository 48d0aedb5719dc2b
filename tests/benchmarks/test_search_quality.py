"""The benchmark of searches: its event queue, its surrogate, and the numbers that it makes of a sweep."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from benchmarks.curves import COLUMNS, Recorded
from benchmarks.search_quality.numbers import Run, epochs_until, median_interval, paired, quartiles, regret
from benchmarks.search_quality.output import table
from benchmarks.search_quality.searches import make_search
from benchmarks.search_quality.simulate import Found, Step, simulate
from benchmarks.search_quality.surrogate import Surrogate, elbos, read
from tuning.search.study import load_study
from tuning.space.load import load_space

EPOCHS = 4


class Slopes:
    """A trial's ELBO grows by `slope` an epoch; the luck of trial n is n nats at each epoch."""

    def expected(self, params: Mapping[str, Any]) -> np.ndarray:
        grown: np.ndarray = -100.0 + params["slope"] * np.arange(1, 11)
        return grown

    def trained(self, expected: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
        return expected + seed[-1]

    def epoch_seconds(self, params: Mapping[str, Any]) -> float:
        return float(params.get("seconds", 1.0))


@dataclass
class Scripted:
    """Proposes what it was given, stops each trial after its number of epochs, and notes what it hears."""

    trials: list[dict[str, Any]]
    heard: list[tuple[int, int, float]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)  # how many epochs were heard before each proposal

    def propose(self) -> tuple[int, dict[str, Any]]:
        self.asked.append(len(self.heard))
        number = len(self.asked) - 1
        return number, self.trials[number % len(self.trials)]

    def epoch(self, number: int, epoch: int, elbo: float) -> bool:
        self.heard.append((number, epoch, elbo))
        return epoch >= int(self.trials[number % len(self.trials)].get("stops", EPOCHS))


def run(search: Scripted, slots: int, budget: int) -> Found:
    return simulate(search, Slopes(), EPOCHS, slots, budget, 0)


def test_a_sweep_ends_when_all_trials_together_have_trained_its_epochs() -> None:
    search = Scripted([{"slope": 1.0}])
    found = run(search, slots=3, budget=20)
    assert len(search.heard) == 20
    assert (found.n_trials, found.n_complete) == (6, 3)


def test_slots_train_side_by_side_and_one_that_is_free_is_filled_at_once() -> None:
    search = Scripted([{"slope": 1.0}, {"slope": 1.0, "stops": 1}])
    run(search, slots=2, budget=6)
    assert [(number, epoch) for number, epoch, _ in search.heard] == [(0, 1), (1, 1), (0, 2), (2, 1), (0, 3), (2, 2)]
    assert search.asked == [0, 0, 2]


def test_an_epoch_takes_as_long_as_its_configuration_says() -> None:
    search = Scripted([{"slope": 1.0, "seconds": 2.5}, {"slope": 1.0}])
    run(search, slots=2, budget=5)
    assert [(number, epoch) for number, epoch, _ in search.heard] == [(1, 1), (1, 2), (0, 1), (1, 3), (1, 4)]


def test_a_search_sees_the_noise_and_is_judged_without_it() -> None:
    found = run(Scripted([{"slope": 2.0}, {"slope": 1.0}]), slots=1, budget=8)
    assert found.steps[:4] == [Step(n, -100.0 + 2 * n, -100.0 + 2 * n) for n in (1, 2, 3, 4)]
    # Trial 1 has a nat of luck: -95 against the -92 of trial 0, so trial 0 stays the winner.
    assert len(found.steps) == 4
    # Trial 1 now looks best. Trial 2 looks better than that one is worth, and not better than it looks.
    lucky = run(Scripted([{"slope": slope, "stops": 1} for slope in (2.0, 1.5, 0.0)]), slots=1, budget=3)
    assert lucky.steps == [Step(1, -98.0, -98.0), Step(2, -97.5, -98.5)]


STEPS = [Step(10, -120.0, -121.0), Step(30, -110.0, -109.0), Step(50, -108.0, -110.0), Step(90, -105.0, -104.9)]


@pytest.mark.parametrize(
    ("at", "expected"), [(9, math.inf), (10, 16.0), (29, 16.0), (30, 4.0), (60, 5.0), (1000, -0.1)]
)
def test_regret_is_what_the_winner_so_far_is_worth(at: int, expected: float) -> None:
    assert regret(STEPS, -105.0, at) == pytest.approx(expected)


def test_a_sweep_is_near_the_best_from_the_first_winner_that_is() -> None:
    assert epochs_until(STEPS, -105.0, 0.3) == 90
    assert epochs_until(STEPS, -105.0, 4.0) == 30
    assert epochs_until(STEPS, -100.0, 0.3) == math.inf


def test_the_median_of_sweeps_of_which_some_never_arrive_is_a_number_if_most_do() -> None:
    assert quartiles([10.0, 20.0, math.inf, 30.0, math.inf]) == (30.0, 20.0, math.inf)
    low, high = median_interval([1.0] * 30 + [2.0] * 10)
    assert (low, high) == (1.0, 1.0)


def test_two_searches_are_compared_on_the_seeds_of_both() -> None:
    compared = paired({1: 5.0, 2: 7.0, 3: 100.0}, {2: 4.0, 1: 4.0, 9: 0.0})
    assert compared == pytest.approx((2.0, 1.0))  # 1 and 3 nats; their deviation is the root of 2, and there are two
    assert paired({1: 5.0}, {1: 4.0, 2: 3.0}) is None


def test_the_table_says_how_many_sweeps_came_near_and_how_each_differs_from_the_usual_one() -> None:
    def sweep(search: str, seed: int, worth: float) -> Run:
        return Run(search, 4, seed, 100, Found([Step(50, -105.0, worth)], 3, 2))

    runs = [sweep("TPE + ASHA 3/3", seed, -101.0) for seed in (1, 2)]
    runs += [sweep("random", 1, -102.0), sweep("random", 2, -100.2)]
    usual, other = table(runs, -100.0).splitlines()[-2:]
    assert usual == "| TPE + ASHA 3/3 | 2 | 3 (2) | not | 1.00 | 1.00 | 1.00 to 1.00 |  | not | 0 of 2 |"
    assert other == "| random | 2 | 3 (2) | not | 0.20 (0.20 to 2.00) | 0.20 (0.20 to 2.00) | 0.20 to 2.00 | " + (
        "+0.10 ± 0.90 | 50 (50 to not) | 1 of 2 |"
    )


def test_a_run_is_the_same_after_its_line() -> None:
    one = Run("TPE", 4, 7, 600, Found(STEPS, 12, 3))
    assert Run.from_json(one.to_json()) == one


def made_up(n: int) -> Recorded:
    """Configurations of beta_study with closed-form curves: best at latent size 16, 512 units, rate 1e-3, beta 1."""
    draw = np.random.default_rng(0)
    latent, units = np.exp(draw.uniform(np.log(2), np.log(64), n)), draw.uniform(64, 512, n)
    rate, beta = 10 ** draw.uniform(-4, -2, n), np.exp(draw.uniform(np.log(0.25), np.log(4), n))
    away = 4 * np.log(latent / 16) ** 2 + 20 * np.log10(rate / 1e-3) ** 2 + 10 * np.log(beta) ** 2 + (512 - units) / 50
    loss = 100 + away[:, None] + 60 / np.arange(1, 31) ** 0.7
    curves = np.zeros((n, 30, len(COLUMNS)))
    curves[:, :, COLUMNS.index("val_distortion")] = loss - 25
    curves[:, :, COLUMNS.index("val_rate")] = 25
    curves[:, :, COLUMNS.index("epoch_seconds")] = 1 + units[:, None] / 288
    return Recorded(np.stack([latent, units, rate, beta], axis=1), curves)


def test_a_surrogate_predicts_what_it_has_not_seen_and_finds_the_best_of_the_space() -> None:
    surrogate = Surrogate(made_up(60), seed_spread=0.3)
    assert surrogate.held_out.best < 3.0
    assert surrogate.held_out.rank > 0.98
    configuration, best = surrogate.best_of(load_space("beta_study"))
    assert best == pytest.approx(-100 - 60 / 30**0.7, abs=1.0)
    assert configuration["hidden_units"] >= 448
    assert 10 <= configuration["latent_size"] <= 25
    assert 0.7 <= configuration["beta"] <= 1.4
    wide, narrow = ({**configuration, "hidden_units": units} for units in (512, 64))
    assert surrogate.epoch_seconds(wide) / surrogate.epoch_seconds(narrow) == pytest.approx(800 / 352, rel=0.05)
    curve = surrogate.expected(configuration)
    seeds = np.array([surrogate.trained(curve, (0, seed)) for seed in range(400)])
    assert seeds[:, -1].std() == pytest.approx(0.3, rel=0.3)
    assert (surrogate.trained(curve, (3, 4)) == surrogate.trained(curve, (3, 4))).all()


def test_lines_of_recorded_curves_are_read_before_all_are_there(tmp_path: Path) -> None:
    line = (
        '{"params": {"latent_size": 2, "hidden_units": 64, "learning_rate": 0.1, "beta": 3.0}, '
        '"curve": [[1, 2, 80.0, 20.0, 0.5], [1, 2, 70.0, 25.0, 0.5]]}\n'
    )
    (tmp_path / "some.jsonl").write_text(line * 2)
    some = read(tmp_path / "some.jsonl")
    assert some.configurations.tolist() == [[2, 64, 0.1, 3.0]] * 2
    assert elbos(some).tolist() == [[-100.0, -95.0]] * 2


class Valley:
    """Curves that grow to -100 nats, and less the farther a learning rate is from 1e-3."""

    def expected(self, params: Mapping[str, Any]) -> np.ndarray:
        away = math.log10(params["learning_rate"] / 1e-3) ** 2
        grown: np.ndarray = -100.0 - 20 * away - 60 / np.arange(1, 31)
        return grown

    def trained(self, expected: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
        return expected

    def epoch_seconds(self, params: Mapping[str, Any]) -> float:
        return 1.0


@pytest.mark.parametrize(
    ("name", "may_end_at"),
    [
        ("random + ASHA 3/3", {3, 9, 27, 30}),
        ("TPE + ASHA 1/3", {1, 3, 9, 27, 30}),
        ("TPE + median", set(range(3, 31))),
        ("Ray: OptunaSearch + ASHA", {1, 4, 16, 30}),  # with max_t=100, grace_period=1 and reduction_factor=4
        ("Optuna: TPE + median", set(range(1, 31))),
        ("Optuna: TPE + hyperband", set(range(1, 31))),
    ],
)
def test_each_search_stops_trials_where_it_may_and_only_some(name: str, may_end_at: set[int], tmp_path: Path) -> None:
    search, ends = make_search(name, load_space("beta_study"), 0, tmp_path), dict[int, int]()
    decides = search.epoch

    def noted(number: int, epoch: int, elbo: float) -> bool:
        stops = decides(number, epoch, elbo)
        if stops:
            ends[number] = epoch
        return stops

    search.epoch = noted  # type: ignore[method-assign]
    found = simulate(search, Valley(), 30, 4, 400, 0)
    assert set(ends.values()) <= may_end_at
    assert 30 in ends.values()
    assert min(ends.values()) < 30
    assert found.n_complete == sum(epoch == 30 for epoch in ends.values())
    assert len(ends) <= found.n_trials <= len(ends) + 4


def test_a_search_of_ours_tells_its_study_what_the_driver_would(tmp_path: Path) -> None:
    simulate(make_search("TPE + ASHA 3/3", load_space("beta_study"), 0, tmp_path), Valley(), 30, 2, 100, 0)
    trials = load_study(tmp_path).trials
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    stopped = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert done
    assert stopped
    for trial in done:
        assert len(trial.intermediate_values) == 30
        assert trial.value == pytest.approx(Valley().expected(trial.params).max())
    for trial in stopped:
        assert max(trial.intermediate_values) in (3, 9, 27)
    assert sum(len(trial.intermediate_values) for trial in trials) == 100
