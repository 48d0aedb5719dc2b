from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.numbers.sweep.rate_distortion import free_place, front, rate_distortion
from tests.material.reports import SEARCH, record
from tests.material.studies import choices, sweep, trial
from tuning.records import SweepRecord

HERE = Path()
BETA = {"beta": {"type": "float", "low": 0.1, "high": 10.0, "log": True}}


def test_a_trial_far_below_the_rest_stands_on_the_border_and_is_counted() -> None:
    trials = [record(str(i), [-100.0 - i]) for i in range(9)] + [record("far", [-5e4])]
    numbers = rate_distortion(sweep(trials, SEARCH))
    assert numbers.n_beyond == 1
    assert numbers.limits[1].tolist() == pytest.approx([80 - 0.64, 88 + 0.64])  # distortions 80 to 88, and 8 %
    assert numbers.places[-1].tolist() == pytest.approx([20.0, 88 + 0.64])
    assert numbers.places[0].tolist() == [20.0, 80.0]


def test_trials_that_have_not_finished_do_not_set_the_axes_where_three_have() -> None:
    early = [record("early", [-400.0], "pruned"), record("first epoch", [-600.0], "running")]
    finished = [record(str(i), [-100.0 - i]) for i in range(3)]
    numbers = rate_distortion(sweep([*early, *finished], SEARCH))
    assert numbers.limits[1, 1] < 83
    assert numbers.n_beyond == 2
    alone = rate_distortion(sweep([*early, *finished[:2]], SEARCH))
    assert alone.limits[1, 1] > 380


def test_where_all_trials_are_equal_all_are_within_the_axes() -> None:
    numbers = rate_distortion(sweep([record(str(i), [-100.0]) for i in range(3)], SEARCH))
    assert (len(numbers.shown), numbers.n_beyond) == (3, 0)
    assert (numbers.limits[:, 0] < numbers.limits[:, 1]).all()


def test_only_trials_with_a_rate_are_shown_and_the_others_counted() -> None:
    trials = [trial("a", {"mode": "vae"}), trial("b", {"mode": "autoencoder"}), trial("c", {"mode": "decoder_only"})]
    numbers = rate_distortion(sweep(trials, {"mode": choices("vae", "autoencoder", "decoder_only")}))
    assert [point.name for point in numbers.shown] == ["a"]
    assert numbers.n_without == 2


@pytest.mark.parametrize(
    ("betas", "log"), [((0.5, 1.0, 4.0), True), ((1.0, 1.5, 2.0), False), ((0.0, 1.0, 10.0), False), ((1.0,), False)]
)
def test_beta_is_coloured_on_a_log_scale_where_it_spans_a_factor_of_four(betas: tuple[float, ...], log: bool) -> None:
    trials = [record(str(i), [-100.0], beta=beta) for i, beta in enumerate(betas)]
    numbers = rate_distortion(sweep(trials, SEARCH))
    assert numbers.colours.tolist() == list(betas)
    assert numbers.log_colours is log


def test_without_beta_in_the_search_the_colour_is_the_elbo() -> None:
    search = {"latent_size": SEARCH["latent_size"]}
    numbers = rate_distortion(sweep([record("a", [-100.0]), record("b", [-90.0])], search))
    assert numbers.colours.tolist() == [-100.0, -90.0]
    assert "ELBO" in numbers.colour_name


def _two_objectives(pairs: list[tuple[float, float]], states: list[Any] | None = None) -> SweepRecord:
    trials = [
        trial(f"{number:04d}", {"beta": 1.0 + number}, distortion, rate, metric="rate_distortion", state=state)
        for number, ((rate, distortion), state) in enumerate(
            zip(pairs, states or ["complete"] * len(pairs), strict=True)
        )
    ]
    return sweep(trials, BETA)


def _is_beaten(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return other != one and other[0] <= one[0] and other[1] <= one[1]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(50, 56)), max_size=12))
def test_the_front_is_what_no_other_trial_beats_as_comparing_all_pairs_finds_it(pairs: list[tuple[int, int]]) -> None:
    points = [(float(rate), float(distortion)) for rate, distortion in pairs]
    expected = {
        f"{number:04d}" for number, one in enumerate(points) if not any(_is_beaten(one, other) for other in points)
    }
    found = front(_two_objectives(points))
    assert {one.trial_id for one in found} == expected
    rates = [one.best.val_rate for one in found if one.best]
    assert rates == sorted(rates)  # type: ignore[type-var]


def test_a_failed_or_running_trial_is_not_on_the_front_and_beats_nobody() -> None:
    swept = _two_objectives([(10.0, 80.0), (5.0, 70.0), (4.0, 60.0)], ["complete", "failed", "running"])
    assert [one.trial_id for one in front(swept)] == ["0000"]


def test_a_sweep_of_one_objective_has_no_front() -> None:
    swept = sweep([trial("a", {"beta": 1.0}), trial("b", {"beta": 2.0}, 90.0)], BETA)
    assert front(swept) == []
    assert rate_distortion(swept).front == []


def test_what_is_on_the_front_is_shown_however_far_its_elbo_is() -> None:
    pairs = [(20.0 + i / 10, 80.0 + i / 10) for i in range(9)] + [(500.0, 60.0)]
    numbers = rate_distortion(_two_objectives(pairs))
    assert [point.name for point in numbers.front] == ["0000", "0009"]
    assert numbers.limits[0, 1] > 500


@given(st.floats(-40, -1), st.lists(st.tuples(st.floats(0, 10), st.floats(0, 20)), min_size=1, max_size=8))
def test_a_label_lies_on_its_line_within_the_axes(elbo: float, points: list[tuple[float, float]]) -> None:
    place = free_place(elbo, np.array(points), (0.0, 0.0), (10.0, 20.0))
    if place is not None:
        rate, distortion = place
        assert -(rate + distortion) == pytest.approx(elbo)
        assert 0 < rate < 10
        assert 0 < distortion < 20


def test_a_label_keeps_away_from_the_points() -> None:
    place = free_place(-10.0, np.array([[1.0, 9.0], [2.0, 8.0]]), (0.0, 0.0), (10.0, 10.0))
    assert place is not None
    assert place[0] > 8
