"""What Optuna is told: states and values, by the metric of the sweep and over several seeds."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests.material.epochs import of_distortion
from tests.material.search import SAMPLERS, SEARCH, record, run_trial, space
from tuning.layout import STUDY_FILE
from tuning.records import TrialRecord, grouped, trial_id
from tuning.search.study import STUDY_NAME, Study, load_study
from tuning.space.model import SearchSpace


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
        study.tell(*grouped([trial]))
    study.propose()
    complete, pruned, failed, running = load_study(tmp_path).trials
    assert (complete.state, complete.value) == (TrialState.COMPLETE, -104.0)
    assert (pruned.state, pruned.intermediate_values) == (TrialState.PRUNED, {1: -150.0, 2: -140.0, 3: -145.0})
    assert (failed.state, failed.value, failed.intermediate_values) == (TrialState.FAIL, None, {1: -130.0})
    assert running.state == TrialState.RUNNING
    assert load_study(tmp_path).best_trial.number == 0


def test_a_trial_that_failed_before_its_first_epoch_has_no_values(tmp_path: Path) -> None:
    chosen = space()
    study = Study(tmp_path, chosen, 0)
    number, params = study.propose()
    study.tell(*grouped([record(chosen, number, params, [], "failed")]))
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


def test_ranked_by_distortion_the_study_minimises_it(tmp_path: Path) -> None:
    chosen = space(metric="val_distortion", fixed={"mode": "autoencoder"}, search=SEARCH)
    study = Study(tmp_path, chosen, 0)
    for distortions in ([90.0, 70.0, 75.0], [80.0, 85.0, 60.0]):
        number, params = study.propose()
        trial = record(chosen, number, params, state="complete")
        trial.history += [of_distortion(n, distortion, None) for n, distortion in enumerate(distortions, start=1)]
        for reached in trial.history:
            study.report(number, reached)
        study.tell(*grouped([trial]))
    plain = load_study(tmp_path)
    assert plain.direction == optuna.study.StudyDirection.MINIMIZE
    assert [trial.value for trial in plain.trials] == [70.0, 60.0]
    assert plain.trials[0].intermediate_values == {1: 90.0, 2: 70.0, 3: 75.0}
    assert plain.best_trial.number == 1


POINTS = [(10.0, 90.0), (20.0, 80.0), (21.0, 85.0), (30.0, 70.0), (9.0, 91.0)]


def rate_distortion_trials(chosen: SearchSpace, study: Study) -> list[TrialRecord]:
    trials = []
    for rate, distortion in POINTS:
        number, params = study.propose()
        trials.append(record(chosen, number, params, state="complete"))
        trials[-1].history.append(of_distortion(1, distortion, rate))
        study.report(number, trials[-1].history[-1])
        study.tell(*grouped(trials[-1:]))
    return trials


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_rate_and_distortion_are_two_objectives_with_a_front_before_and_after_a_crash(
    tmp_path: Path, sampler: str
) -> None:
    none = {"type": "none"}
    chosen = space(metric="rate_distortion", scheduler=none, sampler=SAMPLERS[sampler], search=SEARCH)
    (tmp_path / "again").mkdir()
    study = Study(tmp_path, chosen, 0)
    past = rate_distortion_trials(chosen, study)
    again = Study(tmp_path / "again", chosen, 0, past)
    for folder in (tmp_path, tmp_path / "again"):
        plain = load_study(folder)
        assert plain.metric_names == ["val_rate", "val_distortion"]
        assert plain.directions == [optuna.study.StudyDirection.MINIMIZE] * 2
        assert [tuple(trial.values) for trial in plain.trials] == POINTS
        assert {trial.number for trial in plain.best_trials} == {0, 1, 3, 4}  # (20, 80) is better than (21, 85)
    assert again.propose() == study.propose()


def repeats_of(space: SearchSpace, number: int, params: dict[str, Any], elbos: Sequence[float]) -> list[TrialRecord]:
    """The complete trials of a configuration, by their values."""
    trials = [record(space, number, params, [elbo], "complete") for elbo in elbos]
    return [replace(trial, trial_id=trial_id(number, i, 3)) for i, trial in enumerate(trials, start=1)]


def test_a_configuration_is_told_once_when_all_its_seeds_have_ended_and_by_their_mean(tmp_path: Path) -> None:
    chosen = space(repeats=3, scheduler={"type": "none"})
    study = Study(tmp_path, chosen, 0)
    number, params = study.propose()
    records = repeats_of(chosen, number, params, [-90.0, -100.0, -110.0])
    for n_there in (1, 2):
        study.tell(*grouped(records[:n_there]))
        assert load_study(tmp_path).trials[0].state == TrialState.RUNNING
    records[0].state = "running"
    study.tell(*grouped(records))
    assert load_study(tmp_path).trials[0].state == TrialState.RUNNING
    records[0].state = "complete"
    study.report(number, records[0].history[0])
    study.tell(*grouped(records))
    (trial,) = load_study(tmp_path).trials
    assert (trial.state, trial.value, trial.intermediate_values) == (TrialState.COMPLETE, -100.0, {})


def test_a_configuration_of_which_one_seed_failed_has_failed(tmp_path: Path) -> None:
    chosen = space(repeats=3, scheduler={"type": "none"})
    study = Study(tmp_path, chosen, 0)
    number, params = study.propose()
    records = repeats_of(chosen, number, params, [-90.0, -100.0, -110.0])
    records[1].state = "failed"
    study.tell(*grouped(records))
    assert [(trial.state, trial.value) for trial in load_study(tmp_path).trials] == [(TrialState.FAIL, None)]


def test_a_study_of_several_seeds_is_rebuilt_by_configuration(tmp_path: Path) -> None:
    chosen = space(repeats=3, scheduler={"type": "none"})
    first = Study(tmp_path, chosen, 0)
    past: list[TrialRecord] = []
    for elbos in ([-90.0, -100.0, -110.0], [-80.0, -81.0, -82.0], [-70.0]):
        past += repeats_of(chosen, *first.propose(), elbos)
    study = Study(tmp_path, chosen, 0, past)
    states = [(trial.number, trial.state, trial.value) for trial in load_study(tmp_path).trials]
    running = (2, TrialState.RUNNING, None)  # two of its seeds are still to come
    assert states == [(0, TrialState.COMPLETE, -100.0), (1, TrialState.COMPLETE, -81.0), running]
    study.tell(*grouped(repeats_of(chosen, 2, past[-1].params, [-70.0, -71.0, -72.0])))
    assert load_study(tmp_path).trials[2].value == -71.0
    assert study.propose()[0] == 3
