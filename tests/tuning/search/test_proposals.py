"""Which configurations are proposed: by which sampler, from which ranges; baselines and grids."""

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from tests.material.search import SEARCH, WORDS, objective, record, run_trial, space, space_for
from tuning.records import TrialRecord, grouped
from tuning.search.study import Study, distribution, learning_note, load_study, make_sampler, most_at_once


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
        study.tell(*grouped(past[-1:]))
    found = [(trial.params["latent_size"], trial.params["activation"], trial.params["beta"]) for trial in past]
    words = WORDS["activation"]["choices"]
    assert found == [(size, word, beta) for size in (2, 4, 6) for word in words for beta in (0.1, 0.2, 0.3)]


def test_cmaes_learns_from_trials_that_early_stopping_has_ended(tmp_path: Path) -> None:
    """Of 32 trials of a sweep with ASHA 31 were pruned: without them CMA-ES draws at random, and notes nothing."""
    chosen = space_for("cmaes")
    study = Study(tmp_path, chosen, 0)
    for _ in range(12):
        number, params = study.propose()
        state = "pruned" if number else "complete"
        trial = record(chosen, number, params, [objective(params, epoch) for epoch in (1, 2, 3)], state)
        for reached in trial.history:
            study.report(number, reached)
        study.tell(*grouped([trial]))
    notes = [trial.system_attrs for trial in load_study(tmp_path).trials]
    assert all("cma:generation" in one for one in notes[2:])  # after two startup trials
    assert any(name.startswith("cma:optimizer") for one in notes for name in one)


@pytest.mark.parametrize(
    ("sampler", "trials", "repeats", "expected"),
    [
        ({"type": "tpe", "startup_trials": 4}, 32, 1, 8),
        ({"type": "tpe", "startup_trials": 10}, 32, 1, 10),  # these are drawn at random, whatever the others reach
        ({"type": "tpe", "startup_trials": 4}, 33, 2, 18),
        ({"type": "gp", "startup_trials": 1}, 100, 1, 25),
        ({"type": "cmaes", "startup_trials": 1}, 100, 1, 25),
        ({"type": "random"}, 32, 1, None),
        ({"type": "grid"}, 32, 1, None),
    ],
)
def test_a_sampler_that_learns_has_about_a_quarter_of_the_trials_under_way(
    sampler: dict[str, Any], trials: int, repeats: int, expected: int | None
) -> None:
    assert most_at_once(space(sampler=sampler, trials=trials, repeats=repeats)) == expected


LEARNS = {"trials": 32, "sampler": {"type": "tpe", "startup_trials": 4}}


@pytest.mark.parametrize(
    ("changes", "slots", "is_chosen", "told"),
    [
        (LEARNS, 32, False, "8 trials at a time, for tpe to learn from results; --max-concurrent N runs more"),
        (
            LEARNS,
            64,
            True,
            "tpe proposes 32 of 32 trials before it has seen a result; with 8 at a time it learns from some",
        ),
        (LEARNS, 8, False, ""),
        (LEARNS, 8, True, ""),
        ({**LEARNS, "trials": 4}, 32, False, ""),
        ({"trials": 32, "sampler": {"type": "random"}}, 32, True, ""),
    ],
)
def test_a_line_says_how_many_trials_a_sampler_learns_with(
    changes: dict[str, Any], slots: int, is_chosen: bool, told: str
) -> None:
    assert learning_note(space(**changes), slots, is_chosen) == told
