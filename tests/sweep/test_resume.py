"""Sweeps that are stopped, killed and resumed: every trial finishes once, with the numbers of one never stopped."""

import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tests.material.paths import REPOSITORY
from tests.material.sweeps import (
    MIXED_SPACE,
    Ended,
    Process,
    events,
    files_below,
    leaderboard,
    ledger,
    manifest,
    metrics,
    run,
    session_of,
    start,
    succeed,
    trial_file,
)
from tuning.search.study import load_study
from vae.storage.checkpoint import unpack_checkpoint

pytestmark = pytest.mark.slow

N_TRIALS, N_EPOCHS, N_MORE = 6, 80, 2
# Without a scheduler and with a sampler that looks at no result, every run of a seed must come to the same trials.
SETTINGS = ("--set", "scheduler.type=none", "--set", "sampler.type=random", "--seed", "5")
RUN = ("--top-k", "0", "--max-concurrent", "2")
NEW = ("--space", "quick", "--name", "it", "--trials", str(N_TRIALS), "--epochs", str(N_EPOCHS), *SETTINGS, *RUN)
RESUME = ("--resume", "it", *RUN)

History = list[dict[str, Any]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep that nothing stops, with the trials that another one is extended by."""
    cwd = tmp_path_factory.mktemp("uninterrupted")
    succeed(*NEW, "--trials", str(N_TRIALS + N_MORE), cwd=cwd)
    return cwd / "runs" / "it"


@pytest.fixture(scope="module")
def uninterrupted(undisturbed: Path) -> dict[str, History]:
    """By trial, the metrics of the undisturbed sweep."""
    return {row["trial_id"]: numbers(metrics(undisturbed, row["trial_id"])) for row in leaderboard(undisturbed)}


def numbers(history: History) -> History:
    """What must be the same of every run of a trial: all but the clock's."""
    return [{name: value for name, value in line.items() if name != "epoch_seconds"} for line in history]


def is_training(folder: Path, n_finished: int, least_epochs: int = 10) -> Callable[[], bool]:
    """Whether so many trials have finished and another one has trained some epochs."""

    def happened() -> bool:
        finished = set(events(folder, "finished"))
        running = set(events(folder, "started")) - finished
        return len(finished) >= n_finished and any(len(metrics(folder, it)) >= least_epochs for it in running)

    return happened


def assert_whole(folder: Path, n_trials: int, uninterrupted: dict[str, History]) -> None:
    """Every trial is there once, finished, in every file, with the numbers of the uninterrupted sweep."""
    expected = [f"{number:04d}" for number in range(n_trials)]
    assert events(folder, "proposed") == expected
    assert sorted(events(folder, "finished")) == expected
    rows = leaderboard(folder)
    assert sorted(row["trial_id"] for row in rows) == expected
    assert {row["state"] for row in rows} == {"complete"}
    assert sorted(path.name for path in (folder / "trials").iterdir()) == expected
    for row in rows:
        history = metrics(folder, row["trial_id"])
        assert numbers(history) == uninterrupted[row["trial_id"]]
        assert float(row["val_elbo"]) == max(line["val_elbo"] for line in history)
    study = load_study(folder)
    assert [trial.number for trial in study.trials] == list(range(n_trials))
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    values = {f"{trial.number:04d}": trial.value for trial in study.trials}
    assert values == {row["trial_id"]: float(row["val_elbo"]) for row in rows}


def test_a_sweep_that_is_interrupted_five_times_ends_with_the_leaderboard_of_one_that_never_was(
    tmp_path: Path, undisturbed: Path, uninterrupted: dict[str, History]
) -> None:
    folder, n_trials = tmp_path / "runs" / "it", N_TRIALS + N_MORE
    with ExitStack() as drivers:  # Ray's processes and the workers of a driver that was killed may live on for a while

        def driver(*command: str) -> Process:
            return drivers.enter_context(start(*command, cwd=tmp_path))

        first = driver(*NEW, "--trials", str(n_trials))
        first.until(lambda: len(ledger(folder)) >= 1, "proposal")  # no trial has started
        first.send(signal.SIGKILL)
        second = driver(*RESUME)
        second.until(lambda: "Starting Ray" in second.stdout(), "start of Ray")
        second.send(signal.SIGKILL)
        third = driver(*RESUME)
        third.until(is_training(folder, n_finished=1), "training")
        third.send(signal.SIGKILL)
        fourth = driver(*RESUME)
        fourth.until(is_training(folder, n_finished=3), "training")
        fourth.kill_session()  # driver, Ray and workers at once, as when the machine goes down
        _assert_the_study_knows(folder)
        fifth = driver(*RESUME)
        fifth.until(is_training(folder, n_finished=5), "training")
        fifth.press_ctrl_c()
        assert fifth.wait().code == 130
        ended = succeed(*RESUME, cwd=tmp_path)
    assert re.search(rf"Resuming it: [567] of {n_trials} trials are finished", ended.stdout)
    assert_whole(folder, n_trials, uninterrupted)
    assert without_clock_and_place(leaderboard(folder)) == without_clock_and_place(leaderboard(undisturbed))


def without_clock_and_place(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The rows of a leaderboard, to the digit, without how long it took and which attempt left the model."""
    return [{name: row[name] for name in row if "seconds" not in name and name != "checkpoint"} for row in rows]


def test_a_sweep_with_early_stopping_whose_driver_is_killed_has_every_trial_end_once(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "it"
    (tmp_path / "mixed.yaml").write_text(MIXED_SPACE)
    with start("--space", "mixed.yaml", "--name", "it", "--epochs", "32", *RUN, cwd=tmp_path) as process:
        process.until(is_training(folder, n_finished=4, least_epochs=3), "training")
        process.send(signal.SIGKILL)
        succeed(*RESUME, cwd=tmp_path)
    rows = leaderboard(folder)
    expected = [f"{number:04d}" for number in range(8)]
    assert events(folder, "proposed") == expected
    assert sorted(events(folder, "finished")) == expected
    assert sorted(row["trial_id"] for row in rows) == expected
    study = {f"{trial.number:04d}": trial for trial in load_study(folder).trials}
    for row in rows:
        trial, history = study[row["trial_id"]], metrics(folder, row["trial_id"])
        assert [line["epoch"] for line in history] == list(range(1, int(row["epochs"]) + 1))
        if row["state"] == "pruned":
            assert int(row["epochs"]) in (2, 4, 8, 16)
            assert (trial.state, trial.value) == (TrialState.PRUNED, history[-1]["val_elbo"])
        elif row["state"] == "complete":
            assert len(history) == 32
            assert (trial.state, trial.value) == (TrialState.COMPLETE, float(row["val_elbo"]))
        else:
            assert (row["state"], trial.state) == ("failed", TrialState.FAIL)


def _assert_the_study_knows(folder: Path) -> None:
    """What a killed sweep leaves opens in Optuna as it stands. The ledger is written first: of the last trial in it
    alone the study may not know yet that it has finished."""
    finished = [int(trial) for trial in events(folder, "finished")]
    states = {trial.number: trial.state for trial in load_study(folder).trials}
    complete = {number for number, state in states.items() if state == TrialState.COMPLETE}
    assert complete in (set(finished), set(finished[:-1]))
    assert all(states[number] in (TrialState.COMPLETE, TrialState.RUNNING) for number in finished)


@dataclass(frozen=True)
class Stage:
    """How one run of a sweep ended, and what its folder held then. `starts`: of trials, since the beginning."""

    ended: Ended
    starts: list[str]
    rows: list[dict[str, str]]
    histories: dict[str, History]
    checkpoint_epochs: dict[str, int]


@pytest.fixture(scope="module")
def cwd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stopped")


@pytest.fixture(scope="module")
def interrupted(cwd: Path) -> Stage:
    """Ctrl-C in the middle of two trials."""
    folder = cwd / "runs" / "it"
    with start(*NEW, cwd=cwd) as process:
        process.until(is_training(folder, n_finished=1), "training")
        process.press_ctrl_c()
        return stage(folder, process.wait())


@pytest.fixture(scope="module")
def terminated(cwd: Path, interrupted: Stage) -> Stage:
    """Resumed with a line in the ledger that a crash cut off, then ended by SIGTERM, as a queueing system does."""
    folder = cwd / "runs" / "it"
    with (folder / "ledger.jsonl").open("a") as file:
        file.write('{"event": "finished", "trial": "00')
    with start(*RESUME, cwd=cwd) as process:
        process.until(lambda: in_training(folder, interrupted), "more epochs")
        process.send(signal.SIGTERM)
        return stage(folder, process.wait())


@pytest.fixture(scope="module")
def resumed(cwd: Path, terminated: Stage) -> Stage:
    """Resumed to the end, with all workers killed on the way."""
    folder = cwd / "runs" / "it"
    with start(*RESUME, cwd=cwd) as process:
        process.until(lambda: in_training(folder, terminated), "more epochs")
        for pid in workers(process):
            os.kill(pid, signal.SIGKILL)
        return stage(folder, process.wait())


def in_training(folder: Path, past: Stage) -> bool:
    """Whether trials have started again of which one has come further, and none is about to end."""
    before = {trial: len(history) for trial, history in past.histories.items()}
    running = set(events(folder, "started")[len(past.starts) :]) - set(events(folder, "finished"))
    reached = {trial: len(metrics(folder, trial)) for trial in running}
    has_come_further = any(n_epochs > before.get(trial, 0) for trial, n_epochs in reached.items())
    return has_come_further and max(reached.values()) <= N_EPOCHS - 15


def stage(folder: Path, ended: Ended) -> Stage:
    rows = leaderboard(folder)
    files = {row["trial_id"]: trial_file(folder, row["trial_id"], "checkpoint.safetensors") for row in rows}
    checkpoints = {trial: path.read_bytes() for trial, path in files.items() if path.exists()}
    return Stage(
        ended,
        events(folder, "started"),
        rows,
        {row["trial_id"]: metrics(folder, row["trial_id"]) for row in rows},
        {trial: unpack_checkpoint(content, trial)[1].epoch for trial, content in checkpoints.items()},
    )


def repeated(folder: Path, trial: str) -> list[int]:
    """The epochs of a trial that the driver knew and heard of again, with another clock's reading."""
    return [line["epoch"] for line in ledger(folder) if (line["event"], line["trial"]) == ("repeated", trial)]


def workers(process: Process) -> list[int]:
    """The processes that train, as Ray titles them."""
    titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in session_of(process.pid)}
    return sorted(pid for pid, title in titles.items() if b"VaeTrial" in title or b"ResourceTrainable" in title)


@pytest.mark.parametrize("name", ["interrupted", "terminated"])
def test_ctrl_c_and_sigterm_end_a_sweep_with_130_and_the_command_to_go_on(
    name: str, request: pytest.FixtureRequest
) -> None:
    stopped: Stage = request.getfixturevalue(name)
    assert stopped.ended.code == 130, stopped.ended.told
    assert "Go on with: python sweep.py --resume it\n" in stopped.ended.stdout
    assert stopped.ended.stderr == ""


def test_ctrl_c_keeps_a_checkpoint_of_every_epoch_that_was_trained(interrupted: Stage) -> None:
    running = [row["trial_id"] for row in interrupted.rows if row["state"] == "running"]
    assert running
    for trial in running:
        n_epochs = len(interrupted.histories[trial])
        # The epoch that was being trained when Ctrl-C came is in the checkpoint, and not yet in the metrics.
        assert interrupted.checkpoint_epochs.get(trial, 0) in (n_epochs, n_epochs + 1)


def test_a_trial_that_was_stopped_in_the_middle_goes_on_from_its_checkpoint(
    cwd: Path, interrupted: Stage, terminated: Stage, resumed: Stage
) -> None:
    """No clock's reading of an epoch before the stop came a second time: none of them was trained again."""
    stopped = [row["trial_id"] for row in interrupted.rows if row["state"] == "running" and row["epochs"] != "0"]
    assert stopped
    for trial in stopped:
        n_before = len(interrupted.histories[trial])
        assert [epoch for epoch in repeated(cwd / "runs" / "it", trial) if epoch <= n_before] == []
        assert resumed.histories[trial][:n_before] == interrupted.histories[trial]
        assert len(resumed.histories[trial]) == N_EPOCHS


def test_a_line_of_the_ledger_that_a_crash_cut_off_is_dropped(cwd: Path, terminated: Stage) -> None:
    lines = (cwd / "runs" / "it" / "ledger.jsonl").read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert all(json.loads(line)["event"] for line in lines)


def test_a_sweep_stopped_twice_and_with_its_workers_killed_is_the_uninterrupted_one(
    cwd: Path, resumed: Stage, uninterrupted: dict[str, History]
) -> None:
    assert resumed.ended.code == 0, resumed.ended.told
    first = {trial: history for trial, history in uninterrupted.items() if int(trial) < N_TRIALS}
    assert {row["trial_id"] for row in resumed.rows} == set(first)
    assert {trial: numbers(history) for trial, history in resumed.histories.items()} == first


def test_a_worker_that_is_killed_is_replaced_and_its_trial_goes_on_from_its_checkpoint(
    cwd: Path, terminated: Stage, resumed: Stage
) -> None:
    starts = resumed.starts[len(terminated.starts) :]
    assert len(starts) > len(set(starts)), "a trial was started twice"
    assert terminated.checkpoint_epochs
    for trial, n_epochs in terminated.checkpoint_epochs.items():
        assert [epoch for epoch in repeated(cwd / "runs" / "it", trial) if epoch <= n_epochs] == []
    assert not list((cwd / "runs" / "it").glob("trials/*/error.txt"))


def test_a_worker_that_is_killed_between_two_trials_costs_neither(
    tmp_path: Path, uninterrupted: dict[str, History]
) -> None:
    """Tune itself does not retry a trial whose worker dies as it is handed on to it."""
    folder = tmp_path / "runs" / "it"
    with start(*NEW, "--max-concurrent", "1", cwd=tmp_path) as process:
        for n_killed in range(2):
            process.until(lambda n=n_killed: len(metrics(folder, f"{2 * n:04d}")) == N_EPOCHS, "end of a trial")
            os.kill(workers(process)[-1], signal.SIGKILL)
        ended = process.wait()
    assert ended.code == 0, ended.told
    assert_whole(folder, N_TRIALS, uninterrupted)


def test_a_sweep_that_is_complete_is_resumed_to_its_report_and_nothing_is_trained(
    cwd: Path, resumed: Stage, uninterrupted: dict[str, History]
) -> None:
    folder = cwd / "runs" / "it"
    before = (folder / "ledger.jsonl").read_bytes()
    ended = succeed(*RESUME, cwd=cwd)
    assert f"{N_TRIALS} of {N_TRIALS} trials are finished" in ended.stdout
    assert "Ray" not in ended.stdout
    assert "The report is there already; rebuild it with: python sweep.py --report it\n" in ended.stdout
    assert (folder / "ledger.jsonl").read_bytes() == before
    assert_whole(folder, N_TRIALS, uninterrupted)


def test_a_sweep_that_is_complete_and_has_no_report_is_resumed_to_it_without_ray(cwd: Path, resumed: Stage) -> None:
    folder = cwd / "runs" / "it"
    (folder / "leaderboard.csv").unlink()  # as a driver leaves it that was killed at its last trial
    shutil.rmtree(folder / "report")
    ended = succeed(*RESUME, cwd=cwd)
    assert "Ray" not in ended.stdout
    assert (folder / "report").is_dir()
    assert len(leaderboard(folder)) == N_TRIALS
    assert len(manifest(folder)["runs"]) == 3  # one that was stopped, two resumed


def test_trials_that_failed_fail_the_sweep_until_they_are_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "it"
    few = ("--space", "quick", "--name", "it", "--trials", "2", "--epochs", "2", "--seed", "5", *RUN)
    with start(*few, cwd=tmp_path) as process:
        process.until(lambda: (folder / "trials").exists(), "proposal")
        for trial in ("0000", "0001"):  # no model can be written there
            (folder / "trials" / trial / "model.safetensors").mkdir(parents=True)
        ended = process.wait()
    assert ended.code == 1, ended.told
    again = "2 trials failed, and can be tried again with: python sweep.py --resume it --retry-failed\n"
    assert again in ended.stdout
    assert run(*RESUME, cwd=tmp_path).code == 1
    for trial in ("0000", "0001"):
        (folder / "trials" / trial / "model.safetensors").rmdir()
    ended = succeed(*RESUME, "--retry-failed", cwd=tmp_path)
    assert "0 of 2 trials are finished; 2 that failed run again" in ended.stdout
    assert "can be tried again" not in ended.stdout
    assert {(row["state"], row["error"], row["epochs"]) for row in leaderboard(folder)} == {("complete", "", "2")}
    assert events(folder, "proposed") == ["0000", "0001"]
    assert not list(folder.glob("trials/*/error.txt"))


def test_a_sweep_whose_trials_fail_one_after_the_other_for_one_cause_stops_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "it"
    many = ("--space", "quick", "--name", "it", "--trials", "20", "--epochs", "2", "--seed", "5", *RUN)
    blocked: list[Path] = []
    with start(*many, cwd=tmp_path) as process:
        while process.is_running():
            for trial in sorted(set(folder.glob("trials/*")) - {path.parent for path in blocked}):
                blocked.append(trial / "model.safetensors")  # no model can be written there
                blocked[-1].mkdir()
            time.sleep(0.01)
        ended = process.wait()
    assert ended.code == 2, ended.told
    stopped = r"3 trials in a row failed for the same cause: .*model\.safetensors.*; put that right, then go on with: "
    assert re.fullmatch(stopped + r"python sweep\.py --resume it --retry-failed\n", ended.stderr), ended.told
    assert len(events(folder, "finished")) < 10
    for path in blocked:
        path.rmdir()
    succeed(*RESUME, "--retry-failed", cwd=tmp_path)
    assert {row["state"] for row in leaderboard(folder)} == {"complete"}
    assert len(leaderboard(folder)) == 20


def test_a_sweep_that_is_complete_is_extended_by_more_trials(
    cwd: Path, resumed: Stage, uninterrupted: dict[str, History]
) -> None:
    succeed(*RESUME, "--trials", str(N_TRIALS + N_MORE), cwd=cwd)
    assert_whole(cwd / "runs" / "it", N_TRIALS + N_MORE, uninterrupted)


def test_a_second_driver_on_a_sweep_is_refused_in_one_line_and_the_first_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "it"
    with start(*NEW, "--epochs", "50000", cwd=tmp_path) as first:
        first.until(is_training(folder, n_finished=0), "training")
        second = run(*RESUME, cwd=tmp_path)
        assert second.code == 2, second.told
        assert second.stderr == f"{folder}: another process runs this sweep; stop that one first\n"
        n_epochs = len(metrics(folder, "0000"))
        first.until(lambda: len(metrics(folder, "0000")) > n_epochs, "more epochs of the first")
        assert len(set(events(folder, "started"))) == len(events(folder, "started"))


@pytest.mark.parametrize("later", [0.0, 0.2, 0.7])
def test_ctrl_c_at_any_moment_before_the_first_trial_leaves_nothing_behind(tmp_path: Path, later: float) -> None:
    with start(*NEW, cwd=tmp_path) as process:
        process.until(lambda: "Starting Ray" in process.stdout(), "start")
        time.sleep(later)  # into Ray's start, where an interrupt was once swallowed and the sweep hung
        process.press_ctrl_c()
        ended = process.wait()
    assert ended.code == 130, ended.told
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "runs" / "it").exists()


def test_ctrl_c_while_the_report_is_drawn_stops_at_once_and_resuming_draws_it(
    tmp_path: Path, uninterrupted: dict[str, History]
) -> None:
    few = ("--space", "quick", "--name", "it", "--trials", "1", "--epochs", "4", "--max-concurrent", "1")
    with start(*few, cwd=tmp_path) as process:
        process.until(lambda: "Drawing the sweep's figures" in process.stdout(), "report")
        process.press_ctrl_c()
        ended = process.wait()
    assert ended.code == 130, ended.told
    assert "Traceback" not in ended.stderr
    folder = tmp_path / "runs" / "it"
    assert files_below(folder / "report") == ["index.html"]  # the page of the time when the sweep ran
    succeed("--report", "it", cwd=tmp_path)
    assert (folder / "report" / "best_1" / "samples.png").is_file()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


KILLED_AS_IT_STOPS_A_TRIAL = """
import os, signal, sys
sys.path.insert(0, sys.argv.pop(1))
import sweep
from tuning.sweep.driver import Sweep

complete = Sweep.on_trial_complete

def die(self, iteration, trials, trial, **info):
    history = self.records[trial.config["trial_id"]].history
    if history[-1].is_finite and len(history) < 32:  # not one that diverged
        os.kill(os.getpid(), signal.SIGKILL)
    complete(self, iteration, trials, trial, **info)

Sweep.on_trial_complete = die
sys.exit(sweep.main(sys.argv[1:]))
"""


def test_a_driver_killed_as_a_trial_is_stopped_stops_it_at_the_same_epoch_when_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "it"
    (tmp_path / "mixed.yaml").write_text(MIXED_SPACE)
    new = ("--space", "mixed.yaml", "--name", "it", "--epochs", "32", *RUN)
    command = [sys.executable, "-c", KILLED_AS_IT_STOPS_A_TRIAL, str(REPOSITORY), *new]
    with Process(command, tmp_path) as process:
        assert process.wait().code == -signal.SIGKILL
        decided = {line["trial"]: line["epoch"] for line in ledger(folder) if line["event"] == "stopping"}
        assert decided
        succeed(*RESUME, cwd=tmp_path)
    for trial, epoch in decided.items():
        assert [line["epoch"] for line in metrics(folder, trial)] == list(range(1, epoch + 1))
