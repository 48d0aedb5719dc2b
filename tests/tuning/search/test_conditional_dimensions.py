"""Dimensions that apply only where others have certain values: proposed, rebuilt, and in grids."""

from pathlib import Path
from typing import Any

import pytest

from tests.material.search import SAMPLERS, record, space
from tuning.records import grouped
from tuning.search.study import Study, load_study

CONDITIONAL = {
    "noise": {"type": "categorical", "choices": ["none", "gaussian", "salt_pepper"]},
    "noise_factor": {"type": "float", "low": 0.1, "high": 0.9, "when": {"noise": ["gaussian", "salt_pepper"]}},
    "beta": {"type": "float", "low": 0.25, "high": 4.0},
}


def assert_only_what_applies(params: dict[str, Any]) -> None:
    assert set(params) == {"noise", "beta", *(["noise_factor"] if params["noise"] != "none" else [])}


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_a_conditional_dimension_is_proposed_only_where_it_applies(tmp_path: Path, sampler: str) -> None:
    chosen = space(search=CONDITIONAL, sampler=SAMPLERS[sampler])
    study = Study(tmp_path, chosen, 0)
    trials = []
    for _ in range(12):
        number, params = study.propose()
        assert_only_what_applies(params)
        trials.append(record(chosen, number, params, [-100.0 - params["beta"]], "complete"))
        study.tell(*grouped(trials[-1:]))
    assert {params["noise"] for params in (trial.params for trial in trials)} > {"none"}
    assert [trial.params for trial in load_study(tmp_path).trials] == [trial.params for trial in trials]


def test_a_study_of_conditional_trials_is_rebuilt_with_what_each_has_and_proposes_the_same(tmp_path: Path) -> None:
    chosen = space(search=CONDITIONAL, sampler=SAMPLERS["tpe"])
    (tmp_path / "again").mkdir()
    study, past = Study(tmp_path, chosen, 0), []
    for _ in range(12):
        number, params = study.propose()
        past.append(record(chosen, number, params, [-100.0 - params["beta"]], "complete"))
        study.tell(*grouped(past[-1:]))
    again = Study(tmp_path / "again", chosen, 0, past)
    for one, other in zip(load_study(tmp_path).trials, load_study(tmp_path / "again").trials, strict=True):
        assert_only_what_applies(one.params)
        assert (one.params, one.distributions, one.values) == (other.params, other.distributions, other.values)
    assert again.propose() == study.propose()


def test_a_grid_and_baselines_with_conditions_are_tried_as_they_are(tmp_path: Path) -> None:
    search = {**CONDITIONAL, "beta": {"type": "categorical", "choices": [0.5, 1.0]}}
    search["noise_factor"] = {"type": "float", "low": 0.2, "high": 0.4, "step": 0.2, "when": {"noise": "gaussian"}}
    first = {"noise": "gaussian", "noise_factor": 0.4, "beta": 1.0}
    grid = space(search=search, sampler={"type": "grid"}, baselines=[first], trials=8)
    study = Study(tmp_path, grid, 0)
    proposals = [study.propose()[1] for _ in range(8)]
    assert proposals[0] == first
    found = {(params["noise"], params.get("noise_factor"), params["beta"]) for params in proposals}
    factors = {"none": [None], "gaussian": [0.2, 0.4], "salt_pepper": [None]}
    assert found == {(noise, f, beta) for noise, fs in factors.items() for f in fs for beta in (0.5, 1.0)}
