"""Sweeps whose trials train as one: the numbers of trials alone, whoever is killed or stopped meanwhile."""

import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.material.sweeps import (
    REPOSITORY,
    Process,
    events,
    leaderboard,
    metrics,
    session_of,
    start,
    succeed,
    trial_file,
)
from vae.storage.checkpoint import CHECKPOINT_FILE, unpack_checkpoint
from vae.storage.preview import Preview

N_TRIALS, N_EPOCHS, TOLERANCE = 5, 40, 1e-9
# Without a scheduler and with a sampler that looks at no result, every run of a seed must come to the same trials.
# The rate is a low one: with others a rounding of 1e-15 grows tenfold every five epochs, as in any chaotic system.
SPACE = ("quick", "--set", "scheduler.type=none", "--set", "sampler.type=random", "--set", "learning_rate=0.001")
SETTINGS = ("--set", "precision=float64", "--seed", "5")
RUN = ("--top-k", "0", "--max-concurrent", "4")
NEW = ("--space", *SPACE, "--name", "it", "--trials", str(N_TRIALS), "--epochs", str(N_EPOCHS), *SETTINGS, *RUN)
RESUME = ("--resume", "it", *RUN)

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sweep whose trials train each in a process of its own."""
    cwd = tmp_path_factory.mktemp("alone")
    succeed(*NEW, "--pack", "off", cwd=cwd)
    return cwd / "runs" / "it"


def assert_the_sweep_of(alone: Path, folder: Path) -> None:
    """The same trials, each finished once, with the same numbers in every epoch, and the same ranking."""
    expected = [f"{number:04d}" for number in range(N_TRIALS)]
    assert events(folder, "proposed") == expected
    assert sorted(events(folder, "finished")) == expected
    ours, theirs = leaderboard(folder), leaderboard(alone)
    for ranked, single in zip(ours, theirs, strict=True):
        same = [name for name in single if not name.startswith("val_") and name not in ("seconds", "checkpoint")]
        assert {name: ranked[name] for name in same} == {name: single[name] for name in same}
        assert float(ranked["val_elbo"]) == pytest.approx(float(single["val_elbo"]), abs=TOLERANCE)
        assert (folder / ranked["checkpoint"]).is_file()  # of the attempt that ended the trial
    for trial_id in expected:
        for one, other in zip(metrics(folder, trial_id), metrics(alone, trial_id), strict=True):
            for name in one.keys() - {"epoch_seconds"}:
                assert one[name] == pytest.approx(other[name], abs=TOLERANCE), (trial_id, name)


def is_training(folder: Path, least_epochs: int = 10) -> Callable[[], bool]:
    """Whether every trial of the first four has trained some epochs and none has finished."""
    return lambda: all(len(metrics(folder, f"{i:04d}")) >= least_epochs for i in range(4))


def workers(process: Process, *kinds: bytes) -> list[int]:
    """Ray's workers of this sweep that are actors of these classes, as their titles say."""
    titles = {pid: (Path("/proc") / str(pid) / "cmdline").read_bytes() for pid in session_of(process.pid)}
    return [pid for pid, title in titles.items() if title.startswith(tuple(b"ray::" + kind for kind in kinds))]


def has_torch(pid: int) -> bool:
    return "libtorch" in (Path("/proc") / str(pid) / "maps").read_text()


@slow
def test_a_packed_sweep_has_the_trials_the_numbers_and_the_ranking_of_one_without_packs(
    tmp_path: Path, alone: Path
) -> None:
    ended = succeed(*NEW, "--pack", "4", cwd=tmp_path)
    # The four share one trainer, so they run at the same time on two cores as on sixteen, each with its part of them.
    assert re.search(r"4 trials at a time, [\d.]+ CPU each, up to 4 training as one", ended.stdout), ended.told
    assert_the_sweep_of(alone, tmp_path / "runs" / "it")


@slow
def test_a_sweep_whose_trainer_is_killed_ends_every_trial_once_with_the_same_numbers(
    tmp_path: Path, alone: Path
) -> None:
    folder = tmp_path / "runs" / "it"
    with start(*NEW, "--pack", "4", cwd=tmp_path) as process:
        process.until(is_training(folder), "training")
        (trainer,) = workers(process, b"Trainer")
        assert has_torch(trainer)
        trials = workers(process, b"VaeTrial", b"ResourceTrainable")
        assert len(trials) == 4
        assert not any(has_torch(pid) for pid in trials)
        os.kill(trainer, signal.SIGKILL)
        ended = process.wait()
    assert ended.code == 0, ended.told
    assert_the_sweep_of(alone, folder)


@slow
def test_the_death_of_the_broker_interrupts_trials_and_fails_none(tmp_path: Path, alone: Path) -> None:
    """Killed three times, which is more often than Tune tries a trial again."""
    folder = tmp_path / "runs" / "it"
    with start(*NEW, "--pack", "4", cwd=tmp_path) as process:
        for least_epochs in (5, 10, 15):
            process.until(is_training(folder, least_epochs), "training")
            (broker,) = workers(process, b"Broker")
            os.kill(broker, signal.SIGKILL)
        ended = process.wait()
    assert ended.code == 0, ended.told
    assert_the_sweep_of(alone, folder)


@slow
def test_a_packed_sweep_whose_driver_is_killed_ends_alone_with_the_same_numbers(tmp_path: Path, alone: Path) -> None:
    folder = tmp_path / "runs" / "it"
    with start(*NEW, "--pack", "4", cwd=tmp_path) as process:
        process.until(is_training(folder), "training")
        process.send(signal.SIGKILL)
        ended = succeed(*RESUME, "--pack", "off", cwd=tmp_path)
    assert "training as one" not in ended.stdout
    assert_the_sweep_of(alone, folder)


@slow
def test_a_packed_sweep_stopped_by_ctrl_c_goes_on_in_packs_from_where_it_was(tmp_path: Path, alone: Path) -> None:
    folder = tmp_path / "runs" / "it"
    with start(*NEW, "--pack", "4", cwd=tmp_path) as process:
        process.until(is_training(folder), "training")
        process.press_ctrl_c()
        ended = process.wait()
    assert ended.code == 130, ended.told
    assert "nothing is lost" in ended.stdout
    for trial_id in set(events(folder, "started")) - set(events(folder, "finished")):
        content = trial_file(folder, trial_id, CHECKPOINT_FILE).read_bytes()
        assert unpack_checkpoint(content, trial_id)[1].epoch >= len(metrics(folder, trial_id))
    succeed(*RESUME, "--pack", "4", cwd=tmp_path)
    assert_the_sweep_of(alone, folder)


@pytest.mark.parametrize(
    "module",
    [
        "tuning.workers.tune_worker",
        "tuning.workers.start_trainers",
        "tuning.workers.sweep_context",
        "tuning.sweep.run",
    ],
)
def test_neither_the_driver_nor_the_workers_of_packed_trials_import_torch(module: str) -> None:
    """Nor do the results that a trainer sends them, images included."""
    images = np.zeros((8, 8, 8), np.uint8)
    result: dict[str, Any] = {"epoch": 1, "preview": Preview(images, images, images)}
    check = (
        f"import pickle, sys, {module}; pickle.loads(sys.stdin.buffer.read()); "
        "from tuning.workers.start_trainers import Broker, TrainerProcess; "
        "from tuning.workers.tune_worker import VaeTrial; sys.exit('torch' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", check], cwd=REPOSITORY, input=pickle.dumps(result), capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr.decode()


@slow
def test_a_trial_that_kills_its_trainer_is_found_and_its_neighbours_end_well(tmp_path: Path) -> None:
    """Whenever the ledger shows that trial 0001 started, its trainer is killed, within an epoch of all four."""
    folder, killer, n_killed = tmp_path / "runs" / "it", "0001", 0
    space = ("--space", "quick", "--set", "scheduler.type=none", "--set", "sampler.type=random")
    size = ("--trials", "4", "--epochs", "3", "--set", "batch_size=1", "--set", "hidden_units=512", "--seed", "5")
    with start(*space, "--name", "it", *size, *RUN, "--pack", "4", cwd=tmp_path) as process:
        while not {"0000", "0001", "0002", "0003"} <= set(events(folder, "finished")):
            process.until(
                lambda n=n_killed: (
                    events(folder, "started").count(killer) > n  # type: ignore[misc]
                    or len(set(events(folder, "finished"))) == 4
                ),
                "a start of the killer, or the end",
            )
            if events(folder, "started").count(killer) > n_killed:
                n_killed = events(folder, "started").count(killer)
                for pid in workers(process, b"Trainer"):
                    os.kill(pid, signal.SIGKILL)
        ended = process.wait()
    assert ended.code == 0, ended.told
    rows = {row["trial_id"]: row for row in leaderboard(folder)}
    assert {trial: row["state"] for trial, row in rows.items()} == {
        **dict.fromkeys(("0000", "0002", "0003"), "complete"),
        killer: "failed",
    }
    assert rows[killer]["error"].startswith("its worker or trainer died 2 times while it ran alone: "), rows[killer]
    # Twice with its neighbours, twice alone; a kill that lands before the trial has joined is a death without a start.
    assert n_killed in (3, 4)
