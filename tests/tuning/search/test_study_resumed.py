"""A study that is written anew from the records: it knows and proposes what an uninterrupted one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.material.epochs import of_elbo
from tests.material.paths import REPOSITORY
from tests.material.search import objective, record, run_trial, space, space_for
from tuning.layout import STUDY_FILE
from tuning.records import grouped
from tuning.search.study import Study, distribution, load_study


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
    running.history.append(of_elbo(3, -105.0))
    study.report(0, running.history[-1])
    running.state = "complete"
    study.tell(*grouped([running]))
    trial = load_study(tmp_path).trials[0]
    assert trial.state == TrialState.COMPLETE
    assert trial.intermediate_values == {1: -120.0, 2: -110.0, 3: -105.0}
    assert trial.value == -105.0


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


def test_a_study_survives_kill_9_of_its_driver_at_any_point(tmp_path: Path) -> None:
    script = """
import sys; from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.material.search import run_trial, space_for
from tuning.search.study import Study
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
