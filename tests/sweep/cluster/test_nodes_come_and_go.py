"""A sweep on a cluster that grows and shrinks under it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray

from tests.material.ray_nodes import DISABLED, Head, Node, Nodes, find, freeze, node_that_does_not_see
from tests.material.sweeps import events, leaderboard, metrics, run, start
from tuning.cluster.checks import blind_nodes
from tuning.cluster.machines import live_nodes, surveyed
from tuning.store.place import SweepStorage

pytestmark = pytest.mark.slow

AUTOSCALER = """
cluster_name: fake
max_workers: 2
idle_timeout_minutes: 0.1
upscaling_speed: 100
provider:
  type: fake_multinode
  gcs_address: ADDRESS
  use_node_id_as_ip: true
  disable_node_updaters: true
  disable_launch_config_check: true
  foreground_node_launch: true
head_node_type: ray.head.default
available_node_types:
  ray.head.default: {resources: {CPU: 0}, node_config: {}, max_workers: 0}
  worker: {resources: {CPU: 1}, node_config: {}, min_workers: 0, max_workers: 2}
auth: {}
file_mounts: {}
cluster_synced_files: []
file_mounts_sync_continuously: false
setup_commands: []
initialization_commands: []
head_setup_commands: []
worker_setup_commands: []
head_start_ray_commands: []
worker_start_ray_commands: []
"""
SHORT = ("--space", "quick", "--name", "it", "--epochs", "2", "--set", "scheduler.type=none", "--top-k", "0")
LONG = ("--space", "quick", "--name", "it", "--epochs", "100", "--set", "scheduler.type=none", "--top-k", "0")
SAID = r"Sweep it: |Dataset |Joining |Running on |Page: |\d/6 trials|node [\d.]+ (was lost|joined)"


NODES = "import ray, sys; ray.init(sys.argv[1], logging_level='ERROR'); print([int(n['Alive']) for n in ray.nodes()])"


def test_a_head_without_cpus_brings_workers_for_the_trials_that_wait_and_they_go_when_idle(
    tmp_path: Path, home: Path
) -> None:
    config = tmp_path / "autoscaler.yaml"
    head = Head(
        tmp_path,
        *("--num-cpus=0", f"--autoscaling-config={config}", "--object-store-memory=100000000"),
        RAY_FAKE_CLUSTER="1",
        AUTOSCALER_UPDATE_INTERVAL_S="1",
    )
    config.write_text(AUTOSCALER.replace("ADDRESS", head.address))
    with head:
        ended = run(*SHORT, "--trials", "4", "--address", head.address, "--storage", "shared", cwd=tmp_path)
        assert ended.code == 0, ended.told
        assert "Running on 1 node, 0 CPUs, 0 GPUs, up to 2 workers as trials wait; 2 trials at a time" in ended.stdout
        assert [row["state"] for row in leaderboard(tmp_path / "shared" / "it")] == ["complete"] * 4
        environment, deadline = {**os.environ, "RAY_AUTH_MODE": "token"}, time.monotonic() + 90
        asks = [sys.executable, "-c", NODES, head.address]
        alive = [1, 1, 1]
        while sum(alive) > 1 and time.monotonic() < deadline:
            alive = json.loads(subprocess.check_output(asks, env=environment).decode().splitlines()[-1])
    assert sorted(alive) == [0, 0, 1], "two workers came, and both have gone"


def test_a_node_that_dies_is_one_line_and_one_that_joins_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "shared" / "it"
    with Head(tmp_path, "--num-cpus=1", **DISABLED) as head:
        worker = (f"--address={head.address}", "--num-cpus=3")
        command = (*LONG, "--trials", "6", "--address", head.address, "--storage", "shared")
        with (
            Node(tmp_path, *worker, **DISABLED) as node,
            start(*command, cwd=tmp_path, environment=DISABLED) as sweep,
        ):
            # Three run: one on the head, the others on the worker. On a busy machine the first may have ended by now.
            sweep.until(lambda: len({*events(folder, "started")} - {*events(folder, "finished")}) > 2, "three trials")
            node.process.kill_session()
            sweep.until(lambda: "was lost" in sweep.stdout(), "the line of the node's death")
            with Node(tmp_path, *worker, **DISABLED):
                ended = sweep.wait()
    assert ended.code == 0, ended.told
    lines = ended.stdout.splitlines()
    n_again = len(events(folder, "started")) - 6
    (lost,) = find(rf"node [\d.]+ was lost, its {n_again} trials go on elsewhere", lines)
    (joined,) = find(r"node [\d.]+ joined: 4 trials at a time", lines)
    running = [re.search(r"(\d) running", line) for line in lines[lost:joined]]
    assert all(int(found[1]) <= 1 for found in running if found), ended.told
    assert ended.stderr == "", ended.told
    assert not [line for line in lines[: joined + 1] if not re.match(SAID, line)], ended.told
    assert sorted(events(folder, "finished")) == [f"{i:04d}" for i in range(6)]
    assert {row["state"] for row in leaderboard(folder)} == {"complete"}, ended.told
    (run,) = json.loads((folder / "manifest.json").read_text())["runs"]
    assert run["notes"] == [lines[lost], lines[joined]]


@pytest.mark.usefixtures("mount_namespaces")
def test_a_node_that_joins_late_and_does_not_see_the_storage_gets_no_trials(tmp_path: Path) -> None:
    """One trial runs and one waits, which Ray sends to the new node before the node is checked."""
    shared = tmp_path / "shared"
    shared.mkdir()
    with Nodes(tmp_path, 1) as address:
        command = (*SHORT, "--trials", "2", "--epochs", "60", "--max-concurrent", "2", "--storage", "shared")
        with start(*command, "--address", address, cwd=tmp_path) as process:
            process.until(lambda: bool(metrics(shared / "it", "0000")), "a trial")
            with node_that_does_not_see(shared, address, tmp_path):
                ended = process.wait()
    assert ended.code == 0, ended.told
    assert find(r"node [\d.]+ joined and gets no trials: it cannot read and write /.*", ended.stdout.splitlines())
    assert {row["state"] for row in leaderboard(shared / "it")} == {"complete"}, ended.told


@pytest.mark.usefixtures("mount_namespaces")
def test_a_sweep_ends_where_the_only_node_that_comes_for_its_trials_cannot_train(tmp_path: Path) -> None:
    """It would wait for ever, and pay for the node that an autoscaler has brought."""
    shared = tmp_path / "shared"
    shared.mkdir()
    with Nodes(tmp_path, 0) as address:
        command = (*SHORT, "--trials", "2", "--max-concurrent", "2", "--storage", "shared", "--address", address)
        with start(*command, cwd=tmp_path) as process:
            process.until(lambda: "Running on 1 node, 0 CPUs" in process.stdout(), "the sweep")
            with node_that_does_not_see(shared, address, tmp_path):
                ended = process.wait()
    assert ended.code == 2, ended.told
    assert re.fullmatch(
        r"node [\d.]+ joined and gets no trials: it cannot read and write /\S+; there is no other node for them\n",
        ended.stderr,
    ), ended.told


def test_a_sweep_ends_though_a_node_that_joined_does_not_answer(tmp_path: Path) -> None:
    """The node's check waited for it, and the process for the check: found by run 30 of the chaos benchmark."""
    folder = tmp_path / "shared" / "it"
    with Head(tmp_path, "--num-cpus=1", **DISABLED) as head:
        command = (*LONG, "--trials", "1", "--epochs", "100000", "--address", head.address, "--storage", "shared")
        with start(*command, cwd=tmp_path, environment=DISABLED) as sweep:
            sweep.until(lambda: bool(metrics(folder, "0000")), "a trial")
            with Node(tmp_path, f"--address={head.address}", "--num-cpus=1", **DISABLED) as node:
                freeze(node.process, signal.SIGSTOP)
                time.sleep(5)  # several looks at the nodes: the check is under way, and has a minute
                sweep.press_ctrl_c()
                pressed = time.monotonic()
                ended = sweep.wait()
                assert time.monotonic() - pressed < 30, ended.told
    assert ended.code == 130, ended.told
    assert "nothing is lost" in ended.stdout


def test_a_node_that_dies_between_being_listed_and_being_asked_is_left_out(tmp_path: Path) -> None:
    storage = SweepStorage(tmp_path / "it")
    storage.folder.mkdir()
    with (
        Head(tmp_path, "--num-cpus=1", **DISABLED) as head,
        Node(tmp_path, f"--address={head.address}", "--num-cpus=1", **DISABLED) as node,
        joined(head.address),
    ):
        listed = live_nodes()
        assert len(listed) == 2
        node.process.kill_session()
        found, notes = surveyed(listed)
        assert ([one.node_id for one in found], notes) == ([listed[0].node_id], [])
        assert blind_nodes(listed, storage) == []


@contextmanager
def joined(address: str) -> Iterator[None]:
    """This process as a driver of the cluster."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    ray.init(address=address, logging_level="ERROR", log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()
        del os.environ["RAY_AUTH_MODE"]
