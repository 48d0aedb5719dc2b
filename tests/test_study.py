import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_material import SEARCH, nan_metrics, record, sweep

from report import study

HERE = Path()


def test_a_point_is_a_trials_best_epoch_in_the_order_of_the_sweep() -> None:
    trials = [record("a", [-110.0, -100.0, -105.0], rate=30.0, beta=4.0), record("b", []), record("c", [-90.0])]
    first, second = study.points(sweep(HERE, trials))
    assert (first.number, first.elbo, first.rate, first.distortion, first.beta) == (1, -100.0, 30.0, 70.0, 4.0)
    assert (second.number, second.trial_id) == (3, "c")


def test_a_trial_that_never_was_finite_has_no_point() -> None:
    trial = record("a", [])
    trial.history.append(nan_metrics(1))
    assert study.points(sweep(HERE, [trial])) == []


def test_a_trial_far_below_the_rest_is_hidden_and_counted() -> None:
    trials = [record(str(i), [-100.0 - i]) for i in range(9)] + [record("far", [-5e4])]
    numbers = study.rate_distortion(sweep(HERE, trials))
    assert numbers.n_hidden == 1
    assert {point.trial_id for point in numbers.shown} == {str(i) for i in range(9)}


def test_where_all_trials_are_equal_all_are_shown() -> None:
    numbers = study.rate_distortion(sweep(HERE, [record(str(i), [-100.0]) for i in range(3)]))
    assert (len(numbers.shown), numbers.n_hidden) == (3, 0)


@given(st.lists(st.floats(-1e6, -1.0), min_size=1, max_size=20))
def test_the_better_half_is_always_shown(elbos: list[float]) -> None:
    floor = study.elbo_floor(np.array(elbos))
    assert sum(elbo >= floor for elbo in elbos) >= len(elbos) / 2
    assert floor >= min(elbos)


@pytest.mark.parametrize(
    ("betas", "log"), [((0.5, 1.0, 4.0), True), ((1.0, 1.5, 2.0), False), ((0.0, 1.0, 10.0), False), ((1.0,), False)]
)
def test_beta_is_coloured_on_a_log_scale_where_it_spans_a_factor_of_four(betas: tuple[float, ...], log: bool) -> None:
    trials = [record(str(i), [-100.0], beta=beta) for i, beta in enumerate(betas)]
    numbers = study.rate_distortion(sweep(HERE, trials))
    assert numbers.colours.tolist() == list(betas)
    assert numbers.log_colours is log


def test_without_beta_in_the_search_the_colour_is_the_elbo() -> None:
    search = {"latent_size": SEARCH["latent_size"]}
    numbers = study.rate_distortion(sweep(HERE, [record("a", [-100.0]), record("b", [-90.0])], search))
    assert numbers.colours.tolist() == [-100.0, -90.0]
    assert "ELBO" in numbers.colour_name


def test_the_running_best_never_counts_a_failed_trial() -> None:
    trials = [
        record("a", [-100.0]),
        record("b", [-50.0], "failed"),
        record("c", [-110.0], "pruned"),
        record("d", [-90.0]),
    ]
    numbers = study.history(sweep(HERE, trials))
    assert numbers.best_so_far.tolist() == [-100.0, -100.0, -100.0, -90.0]
    assert numbers.n_trials == 4


def test_there_is_a_slice_for_each_searched_hyperparameter() -> None:
    latent, beta, activation = study.slices(sweep(HERE, [record("a", [-100.0]), record("b", [])]))
    assert (latent.name, latent.log, latent.choices) == ("latent_size", True, None)
    assert beta.name == "beta"
    assert activation.choices == ["relu", "tanh"]
    assert [point.trial_id for point in latent.points] == ["a"]


def test_a_sweep_without_an_epoch_has_numbers_for_every_figure() -> None:
    empty = sweep(HERE, [record("a", [], "failed")])
    assert study.rate_distortion(empty).shown == []
    assert study.history(empty).points == []
    assert study.slices(empty) == []
    assert "10 finished trials" in study.importance(empty).why_not


def _many(n: int, elbo: Any, state: Any = "complete") -> list[Any]:
    draw = random.Random(0)
    trials = []
    for number in range(n):
        config = {
            "latent_size": draw.randint(1, 64),
            "beta": 10 ** draw.uniform(-1, 1),
            "activation": draw.choice(["relu", "tanh"]),
        }
        trials.append(record(f"{number}", [elbo(config)], state, **config))
    return trials


def test_what_alone_decides_the_elbo_is_the_most_important() -> None:
    trials = _many(60, lambda config: -100 - 10 * math.log10(config["beta"]) ** 2)
    numbers = study.importance(sweep(HERE, trials))
    assert next(iter(numbers.shares)) == "beta"
    assert numbers.shares["beta"] > 0.7
    assert sum(numbers.shares.values()) == pytest.approx(1.0)
    assert (numbers.n_trials, numbers.n_top) == (60, 6)


def test_importance_looks_at_five_or_more_of_the_best() -> None:
    numbers = study.importance(sweep(HERE, _many(12, lambda config: -config["beta"])))
    assert (numbers.n_trials, numbers.n_top) == (12, 5)


def test_with_enough_complete_trials_importance_looks_at_these_alone() -> None:
    complete = _many(12, lambda config: -config["beta"])
    pruned = [replace(one, trial_id=f"p{one.trial_id}") for one in _many(40, lambda config: -1.0, "pruned")]
    numbers = study.importance(sweep(HERE, complete + pruned))
    assert (numbers.n_trials, numbers.by_epoch) == (12, None)


def test_with_few_complete_trials_all_are_compared_at_the_epoch_that_every_one_reached() -> None:
    def elbos(beta: float, n_epochs: int) -> list[float]:
        first = -100 - 10 * math.log10(beta) ** 2
        return [first - 5, first, first + 50, first + 90][:n_epochs]  # what comes after epoch 2 must not count

    betas = np.logspace(-1, 1, 40)
    trials = [
        record(
            f"{i}",
            elbos(beta, 2 + 2 * (i == 0)),
            "complete" if i == 0 else "pruned",
            learning_rate=1e-3,
            beta=beta,
            activation="relu",
        )
        for i, beta in enumerate(betas)
    ]
    numbers = study.importance(sweep(HERE, trials))
    assert (numbers.n_trials, numbers.by_epoch) == (40, 2)
    assert next(iter(numbers.shares)) == "beta"


def test_too_few_trials_for_importance_are_counted() -> None:
    trials = _many(8, lambda config: -config["beta"])
    assert "this sweep has 8" in study.importance(sweep(HERE, trials)).why_not


def test_a_baseline_outside_the_space_does_not_count() -> None:
    trials = _many(12, lambda config: -config["beta"])
    trials.append(record("baseline", [-1.0], beta=100.0))
    assert study.importance(sweep(HERE, trials)).n_trials == 12


@pytest.mark.parametrize(
    ("trials", "search", "why"),
    [
        (_many(20, lambda config: -100.0), SEARCH, "same ELBO"),
        ([record(str(i), [-100.0 - i]) for i in range(20)], SEARCH, "same hyperparameters"),
        (_many(20, lambda config: -config["beta"]), {}, "searches no hyperparameter"),
    ],
)
def test_where_there_is_no_importance_one_sentence_says_why(trials: list[Any], search: Any, why: str) -> None:
    numbers = study.importance(sweep(HERE, trials, search))
    assert numbers.shares == {}
    assert why in numbers.why_not


@given(st.floats(-40, -1), st.lists(st.tuples(st.floats(0, 10), st.floats(0, 20)), min_size=1, max_size=8))
def test_a_label_lies_on_its_line_within_the_axes(elbo: float, points: list[tuple[float, float]]) -> None:
    place = study.free_place(elbo, np.array(points), (0.0, 0.0), (10.0, 20.0))
    if place is not None:
        rate, distortion = place
        assert -(rate + distortion) == pytest.approx(elbo)
        assert 0 < rate < 10
        assert 0 < distortion < 20


def test_a_label_keeps_away_from_the_points() -> None:
    place = study.free_place(-10.0, np.array([[1.0, 9.0], [2.0, 8.0]]), (0.0, 0.0), (10.0, 10.0))
    assert place is not None
    assert place[0] > 8
