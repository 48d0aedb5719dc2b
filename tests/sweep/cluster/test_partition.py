"""A node that is cut off in the middle of a trial, and comes back when the trial has ended elsewhere."""

import signal
from pathlib import Path

import pytest

from tests.material.ray_nodes import DISABLED, Head, Node, freeze
from tests.material.sweeps import events, files_below, leaderboard, metrics, session_of, start
from vae.storage.checkpoint import MODEL_FILE, unpack_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# A head that notices within two seconds; unless told it takes a minute.
WATCHFUL = {
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}
SWEEP = ("--space", "quick", "--name", "it", "--trials", "2", "--epochs", "60", "--set", "scheduler.type=none")


def test_a_node_that_was_cut_off_and_comes_back_changes_nothing_of_what_is_newer(tmp_path: Path) -> None:
    folder = tmp_path / "shared" / "it"
    with Head(tmp_path, "--num-cpus=1", **DISABLED, **WATCHFUL) as head:
        command = (*SWEEP, "--top-k", "0", "--address", head.address, "--storage", "shared")
        with (
            Node(tmp_path, f"--address={head.address}", "--num-cpus=1", **DISABLED, **WATCHFUL) as node,
            start(*command, cwd=tmp_path, environment=DISABLED) as sweep,
        ):
            sweep.until(lambda: all(len(metrics(folder, f"000{i}")) > 5 for i in range(2)), "two trials")
            freeze(node.process, signal.SIGSTOP)
            ended = sweep.wait()
            models = {row["trial_id"]: tmp_path / "shared" / "it" / row["checkpoint"] for row in leaderboard(folder)}
            before = {path: path.read_bytes() for path in models.values()}
            n_workers = len(session_of(node.process.pid))
            freeze(node.process, signal.SIGCONT)
            # The node hears that the head has given it up and ends; until then its worker trains and writes.
            node.process.until_ended("the node")
    assert ended.code == 0, ended.told
    assert n_workers > 1
    assert "was lost, its trial goes on elsewhere" in ended.stdout, ended.told
    assert sorted(events(folder, "finished")) == ["0000", "0001"]
    (again,) = set(events(folder, "again"))
    assert f"trials/{again}/attempt-2/{MODEL_FILE}" in files_below(folder)
    assert {path: path.read_bytes() for path in models.values()} == before
    for row in leaderboard(folder):
        assert row["state"] == "complete"
        description = unpack_model(models[row["trial_id"]].read_bytes(), MODEL_FILE)[1]
        assert description.epoch == int(row["best_epoch"])
