"""TPE on a history that stops growing: the same proposals while it is short, and bounded ones beyond."""

import math
import random
from pathlib import Path

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tests.material.search import run_trial, space_for
from tuning.search import bounded_tpe
from tuning.search import study as study_module
from tuning.search.bounded_tpe import History
from tuning.search.study import Study, make_sampler


def ended(number: int) -> FrozenTrial:
    """Every second one is complete, with a value of -100 or less; one in seven has failed."""
    value = -100.0 - (number * 37 % 101)
    if number % 7 == 6:
        return optuna.trial.create_trial(state=TrialState.FAIL)
    if number % 2:
        trial = optuna.trial.create_trial(state=TrialState.PRUNED, intermediate_values={3 + number % 5: value})
    else:
        trial = optuna.trial.create_trial(state=TrialState.COMPLETE, value=value)
    trial.number = number
    return trial


def history(numbers: list[int], direction: StudyDirection = StudyDirection.MAXIMIZE) -> History:
    of = History(direction)
    for number in numbers:
        of.add(ended(number))
    return of


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_tpe, "HISTORY", 60)
    monkeypatch.setattr(bounded_tpe, "BEST", 20)


def test_a_short_history_is_every_trial_that_did_not_fail() -> None:
    assert [trial.number for trial in history(list(range(500))).excerpt()] == [n for n in range(500) if n % 7 != 6]


@pytest.mark.parametrize("direction", [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE])
def test_a_long_history_has_the_trials_that_tpe_holds_for_good_and_some_of_each_age(
    small: None, direction: StudyDirection
) -> None:
    trials = [ended(number) for number in range(1_000) if number % 7 != 6]
    study = optuna.create_study(direction=direction)
    good, _ = optuna.samplers._tpe.sampler._split_trials(study, trials, 20)
    excerpt = [trial.number for trial in history(list(range(1_000)), direction).excerpt()]
    assert {trial.number for trial in good} <= set(excerpt)
    assert excerpt == sorted(set(excerpt))
    assert 40 <= len(excerpt) <= 60
    assert all(len([number for number in excerpt if number // 200 == age]) >= 5 for age in range(5))


def test_what_a_history_gives_does_not_depend_on_the_order_in_which_trials_ended(small: None) -> None:
    numbers = list(range(300))
    expected = [trial.number for trial in history(numbers).excerpt()]
    random.Random(0).shuffle(numbers)
    assert [trial.number for trial in history(numbers).excerpt()] == expected


def test_a_pruned_trial_whose_last_value_is_no_number_is_the_worst_of_its_epoch() -> None:
    trial = optuna.trial.create_trial(state=TrialState.PRUNED, intermediate_values={3: math.nan})
    assert History(StudyDirection.MAXIMIZE)._rank(trial) == (1.0, -3, math.inf)


def test_while_the_history_is_short_the_proposals_are_those_of_optunas_tpe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = space_for("tpe")
    (tmp_path / "plain").mkdir()
    ours = Study(tmp_path, chosen, 5)
    found = [run_trial(chosen, ours).params for _ in range(20)]
    monkeypatch.setattr(study_module, "make_sampler", lambda of, seed, number, _: make_sampler(of, seed, number))
    plain = Study(tmp_path / "plain", chosen, 5)
    assert found == [run_trial(chosen, plain).params for _ in range(20)]


def test_a_study_that_is_made_again_proposes_from_a_long_history_what_an_uninterrupted_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_tpe, "HISTORY", 10)
    monkeypatch.setattr(bounded_tpe, "BEST", 4)
    chosen = space_for("tpe")
    (tmp_path / "again").mkdir()
    whole = Study(tmp_path, chosen, 5)
    past = [run_trial(chosen, whole) for _ in range(24)]
    assert Study(tmp_path / "again", chosen, 5, past).propose() == whole.propose()
