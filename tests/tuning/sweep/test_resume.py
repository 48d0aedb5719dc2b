"""What is read of a sweep that is resumed: its trials, the notes, and the faults of a space that was edited."""

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.material.epochs import of_elbo
from tests.material.ledgers import finish
from tuning.cluster.allot import Cluster, Node
from tuning.errors import SpaceError, StorageError
from tuning.layout import LEDGER_FILE, MANIFEST_FILE, REPORT_FOLDER, SUMMARY_FILE
from tuning.plan.plan import Plan
from tuning.records import TrialRecord, trial_id
from tuning.space.model import SearchSpace
from tuning.store.folder import Folder
from tuning.store.ledger import Ledger, read_trials
from tuning.store.place import SweepStorage
from tuning.sweep.manifest import write_manifest
from tuning.sweep.resume import Resumed, has_report, how_to_go_on, resumed

CLUSTER = Cluster([Node("n", "10.0.0.1", 4.0, 0.0)], cpus_per_trial=1, gpus_per_trial=0, slots=4, n_threads=1)
SEARCH = {
    "latent_size": {"type": "int", "low": 2, "high": 10, "step": 2},
    "beta": {"type": "float", "low": 0.1, "high": 1.0, "step": 0.1},
    "noise": {"type": "categorical", "choices": ["none", "gaussian"]},
    "noise_factor": {"type": "float", "low": 0.1, "high": 0.5, "when": {"noise": "gaussian"}},
}
PARAMS = {"latent_size": 4, "beta": 0.1 + 2 * 0.1, "noise": "gaussian", "noise_factor": 0.25}  # 0.30000000000000004
ENDS = ("complete", "failed", "failed", "pruned")  # the second diverged


def plan(**changes: Any) -> Plan:
    content = {"description": "x", "trials": 4, "epochs": 3, "dataset": "digits", "search": SEARCH, **changes}
    return Plan("x", SearchSpace.model_validate(content), 7, "digits", "digits: asked for", Path("/data"))


def write(folder: Path, of: Plan) -> None:
    """A sweep with a trial for each of ENDS; the second diverged, the third failed of something else."""
    folder.mkdir()
    write_manifest(SweepStorage(folder), of, CLUSTER)
    ledger = Ledger(Folder(folder))
    for number, state in enumerate(ENDS):
        record = TrialRecord(trial_id(number, 1, of.space.repeats), PARAMS, of.space.config(PARAMS, of.seed))
        ledger.proposed(record)
        ledger.started(record)
        record.history.append(of_elbo(1, math.nan if number == 1 else -100.0))
        ledger.epoch(record, record.history[-1])
        finish(ledger, record, state, "diverged" if number == 1 else "no disk" if state == "failed" else "")
    ledger.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "x", plan())
    return tmp_path / "x"


def read(folder: Path, **changes: Any) -> Resumed:
    return resumed(SweepStorage(folder), **{"trials": None, "data_dir": None, "retry_failed": False, **changes})


def edit(folder: Path, *keys: str, value: Any) -> None:
    content = json.loads((folder / MANIFEST_FILE).read_text())
    part = content
    for key in keys[:-1]:
        part = part.setdefault(key, {})
    part[keys[-1]] = value
    (folder / MANIFEST_FILE).write_text(json.dumps(content))


def test_a_sweep_that_is_whole_is_read_as_it_is(folder: Path) -> None:
    found = read(folder)
    assert found.plan == plan()
    assert found.plan.is_whole(found.past)
    assert found.notes == ["Resuming x: 4 of 4 trials are finished"]


def test_failed_trials_run_again_but_not_those_that_diverged(folder: Path) -> None:
    found = read(folder, retry_failed=True)
    assert [record.state for record in found.past] == ["complete", "failed", "running", "pruned"]
    assert found.notes == [
        "Resuming x: 3 of 4 trials are finished; 1 that failed run again; 1 diverged, and would again"
    ]
    assert not found.plan.is_whole(found.past)
    assert [record.state for record in read_trials(Folder(folder))] == list(ENDS)  # only the driver writes


def test_a_trial_that_runs_again_has_not_failed_for_those_who_read_the_ledger(folder: Path) -> None:
    ledger, record = Ledger(Folder(folder)), read_trials(Folder(folder))[2]
    ledger.retried(record)
    again = read_trials(Folder(folder))[2]
    assert (again.state, again.error, again.history) == ("running", "", record.history)
    ledger.close()


def test_the_last_lines_say_what_is_left_to_do(folder: Path) -> None:
    found = read(folder)
    again = "1 trial failed, and can be tried again with: RESUME --retry-failed"
    assert how_to_go_on(True, found.past, "RESUME") == [again]
    assert how_to_go_on(False, found.past[:2], "RESUME") == [
        "Stopped before the end; nothing is lost. Go on with: RESUME"
    ]
    assert how_to_go_on(True, [found.past[0]] * 4, "RESUME") == []


def test_other_versions_are_said_in_one_line_where_there_is_something_to_run(folder: Path) -> None:
    content = json.loads((folder / MANIFEST_FILE).read_text())
    edit(folder, "runs", value=[{**content["runs"][0], "versions": {"ray": "1.0"}}])
    assert len(read(folder).notes) == 1
    _, note = read(folder, trials=5).notes
    assert re.fullmatch(
        r"The code is not that of the sweep's last run \(ray 1.0, now [\d.]+\): its numbers may differ", note
    )


def test_a_report_is_there_until_the_ledger_goes_on(folder: Path) -> None:
    assert not has_report(SweepStorage(folder))
    (folder / REPORT_FOLDER).mkdir()
    (folder / REPORT_FOLDER / SUMMARY_FILE).touch()
    assert has_report(SweepStorage(folder))
    later = (folder / REPORT_FOLDER / SUMMARY_FILE).stat().st_mtime + 5
    os.utime(folder / LEDGER_FILE, (later, later))
    assert not has_report(SweepStorage(folder))


def test_the_page_that_is_written_while_a_sweep_runs_is_no_report(folder: Path) -> None:
    (folder / REPORT_FOLDER).mkdir()
    (folder / REPORT_FOLDER / "index.html").touch()
    assert not has_report(SweepStorage(folder))


def test_the_report_of_a_sweep_in_a_bucket_is_made_again(folder: Path) -> None:
    """Its mirror has no ledger to compare with."""
    (folder / LEDGER_FILE).unlink()
    (folder / REPORT_FOLDER).mkdir()
    (folder / REPORT_FOLDER / SUMMARY_FILE).touch()
    assert not has_report(SweepStorage(folder, "s3://bucket/sweeps/x"))


# ---- a space that was edited under its trials


def faults(folder: Path) -> list[str]:
    with pytest.raises(StorageError, match="its trials are not of this space; put back what was edited") as refused:
        read(folder)
    head, *lines = str(refused.value).split("\n")
    assert head.startswith(f"{folder / MANIFEST_FILE}: ")
    return [line.strip() for line in lines]


def test_a_range_that_was_narrowed_is_refused_with_the_trial_and_what_is_allowed(folder: Path) -> None:
    edit(folder, "space", "search", "beta", "low", value=0.5)
    edit(folder, "space", "search", "latent_size", "high", value=2)
    assert faults(folder) == [
        "space.search.latent_size: trial 0000 has 4; allowed: 2 to 2 in steps of 2 (and 3 more)",
        "space.search.beta: trial 0000 has 0.30000000000000004; allowed: 0.5 to 1 in steps of 0.1 (and 3 more)",
    ]


@pytest.mark.parametrize(
    ("keys", "value", "fault"),
    [
        (("space", "search", "beta", "step"), 0.25, "space.search.beta: trial 0000 has 0.30000000000000004; allowed: "),
        (
            ("space", "search", "noise", "choices"),
            ["none", "masking"],
            "space.search.noise: trial 0000 has gaussian; a",
        ),
        (
            ("space", "search", "noise_factor", "when"),
            {"noise": "none"},
            "space.search.noise_factor: trial 0000 has 0.2",
        ),
        (
            ("space", "search", "learning_rate"),
            SEARCH["beta"],
            "space.search.learning_rate: trial 0000 has none; allowed",
        ),
        (("space", "fixed", "hidden_units"), 33, "space.fixed.hidden_units: trial 0000 has 400, not 33 (and 3 more)"),
        (("space", "epochs"), 9, "space.epochs: trial 0000 has 3, not 9 (and 3 more)"),
        (("space", "metric"), "val_distortion", "space.metric: trial 0000 is ranked by val_elbo, not val_distortion"),
        (("space", "repeats"), 2, "space.repeats: trial 0000 is not one of 2 for each configuration (and 3 more)"),
        (("seed",), 8, "seed: trial 0000 has 7, not 8 (and 3 more)"),
    ],
)
def test_a_space_that_its_trials_are_not_of_is_refused(
    folder: Path, keys: tuple[str, ...], value: Any, fault: str
) -> None:
    edit(folder, *keys, value=value)
    (found,) = faults(folder)
    assert found.startswith(fault)


def test_a_dimension_that_is_gone_is_refused(folder: Path) -> None:
    content = json.loads((folder / MANIFEST_FILE).read_text())
    del content["space"]["search"]["latent_size"]
    (folder / MANIFEST_FILE).write_text(json.dumps(content))
    assert faults(folder) == ["space.search.latent_size: trial 0000 has 4; it is not searched (and 3 more)"]


def test_a_range_that_was_widened_has_its_trials_still(folder: Path) -> None:
    edit(folder, "space", "search", "latent_size", "high", value=20)
    assert read(folder).plan.space.n_runs == 4


def test_trials_with_several_seeds_are_of_their_space(tmp_path: Path) -> None:
    write(tmp_path / "x", plan(repeats=2, scheduler={"type": "none"}))
    assert len(read(tmp_path / "x").past) == len(ENDS)


def test_fewer_trials_than_there_are_stay_refused(folder: Path) -> None:
    with pytest.raises(SpaceError, match="--trials 3: sweep x has 4 already; allowed: 4 or more"):
        read(folder, trials=3)
