import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests.material.paths import REPOSITORY
from tests.material.search import SEARCH, WORDS, metrics, record, space
from tuning.records import TrialRecord, grouped, trial_id
from tuning.search.study import STUDY_FILE, STUDY_NAME, Study, distribution, load_study, make_sampler
from tuning.space.model import SearchSpace
from vae.model.metrics import EpochMetrics, Terms


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna's journal syncs every line; what these tests look at is there without."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


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
    study.tell(*grouped([trial]))
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
    study.tell(*grouped([running]))
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
        study.tell(*grouped(past[-1:]))
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
        study.tell(*grouped([trial]))
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


# ---------------------------------------------------------------- conditional dimensions

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


# ---------------------------------------------------------------- other objectives, several seeds


def epoch(epoch: int, distortion: float, rate: float | None) -> EpochMetrics:
    terms = Terms(distortion, rate)
    return EpochMetrics.of(epoch, 1.0, terms, terms, None, 0.5)


def test_ranked_by_distortion_the_study_minimises_it(tmp_path: Path) -> None:
    chosen = space(metric="val_distortion", fixed={"mode": "autoencoder"}, search=SEARCH)
    study = Study(tmp_path, chosen, 0)
    for distortions in ([90.0, 70.0, 75.0], [80.0, 85.0, 60.0]):
        number, params = study.propose()
        trial = record(chosen, number, params, state="complete")
        trial.history += [epoch(n, distortion, None) for n, distortion in enumerate(distortions, start=1)]
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
        trials[-1].history.append(epoch(1, distortion, rate))
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


# ---------------------------------------------------------------- on disk


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
    root = str(REPOSITORY)
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
