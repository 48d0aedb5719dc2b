"""A sweep that joins a running Ray cluster of two nodes, on one machine, that see what they are let see."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray

from tests.material.ray_nodes import Nodes, node_that_does_not_see
from tests.material.sweeps import REPOSITORY, Process, events, files_below, leaderboard, ledger, manifest, metrics, run
from tuning.store.place import SweepStorage
from tuning.workers.start_trainers import start_broker
from tuning.workers.sweep_context import SweepContext

pytestmark = pytest.mark.slow

SHORT = ("--space", "quick", "--name", "it", "--epochs", "2", "--set", "scheduler.type=none", "--top-k", "0")
CODE = ("sweep.py", "tuning", "vae", "report", "search_spaces")
OPTIONS = ("--space", "quick", "--name", "it", "--epochs", "40", "--set", "scheduler.type=none", "--top-k", "1")


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A working directory, and the address of two nodes of one CPU each."""
    cwd = tmp_path_factory.mktemp("cluster")
    with Nodes(cwd, 1, 1) as address:
        yield cwd, address


@pytest.fixture(scope="module")
def swept(two_nodes: tuple[Path, str]) -> tuple[Path, dict[str, int], str]:
    """A sweep on both: its folder, the trial workers that each node had, what it said."""
    cwd, address = two_nodes
    ended = run(*OPTIONS, "--trials", "4", "--address", address, "--storage", "shared", cwd=cwd)
    assert ended.code == 0, ended.told
    return cwd / "shared" / "it", workers_by_node(address), ended.stdout


def workers_by_node(address: str) -> dict[str, int]:
    """How many workers for trials each node has had, by its id; dead ones count."""
    ray.init(address=address, logging_level="ERROR", log_to_driver=False)
    try:
        counts = {node["NodeID"]: 0 for node in ray.nodes()}
        for actor in ray._private.state.actors().values():
            if "Trainable" in actor["ActorClassName"] or "VaeTrial" in actor["ActorClassName"]:
                counts[actor["Address"]["NodeID"]] += 1
    finally:
        ray.shutdown()
    return counts


def test_a_sweep_joins_a_cluster_and_its_trials_run_on_both_nodes(swept: tuple[Path, dict[str, int], str]) -> None:
    folder, workers, stdout = swept
    assert "Running on 2 nodes, 2 CPUs, 0 GPUs; 2 trials at a time, 1 CPU each" in stdout
    assert len(workers) == 2
    assert all(workers.values()), workers
    assert [row["state"] for row in leaderboard(folder)] == ["complete"] * 4
    assert sorted(events(folder, "finished")) == ["0000", "0001", "0002", "0003"]


def test_trials_of_two_nodes_train_at_the_same_time(swept: tuple[Path, dict[str, int], str]) -> None:
    """Each node has room for one: with two at a time, both nodes are at work."""
    at_a_time, most = 0, 0
    for line in ledger(swept[0]):
        at_a_time += {"started": 1, "finished": -1}.get(line["event"], 0)
        most = max(most, at_a_time)
    assert most == 2


def test_the_files_of_a_sweep_on_two_nodes_are_those_of_one(swept: tuple[Path, dict[str, int], str]) -> None:
    folder = swept[0]
    assert [len(node["address"]) > 0 for node in manifest(folder)["runs"][0]["hardware"]["nodes"]] == [True, True]
    for row in leaderboard(folder):
        history = metrics(folder, row["trial_id"])
        assert float(row["val_elbo"]) == max(line["val_elbo"] for line in history)
        assert (folder / row["checkpoint"]).is_file()
    assert (folder / "report" / "rank_1" / "manifold.png").is_file()
    assert not [name for name in files_below(folder) if ".check-" in name]


@pytest.mark.usefixtures("mount_namespaces")
def test_a_node_that_has_no_copy_of_the_code_is_sent_it(tmp_path: Path) -> None:
    code, elsewhere = tmp_path / "code", tmp_path / "elsewhere"
    elsewhere.mkdir()
    code.mkdir()
    for name in CODE:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, code / name)
    command = [sys.executable, str(code / "sweep.py"), *SHORT, "--trials", "2", "--storage", str(tmp_path / "shared")]
    with Nodes(tmp_path, 0) as address, node_that_does_not_see(code, address, tmp_path) as node:
        node.until(lambda: "Ray runtime started" in node.stdout(), "node", seconds=120)
        with Process([*command, "--address", address], cwd=elsewhere) as process:
            ended = process.wait()
    assert ended.code == 0, ended.told
    assert "2 nodes, 1 CPUs" in ended.stdout
    assert [row["state"] for row in leaderboard(tmp_path / "shared" / "it")] == ["complete"] * 2
    assert files_below(elsewhere) == []


@pytest.mark.usefixtures("mount_namespaces")
def test_a_storage_that_a_node_does_not_see_is_refused_before_anything_starts(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    command = [sys.executable, str(REPOSITORY / "sweep.py"), *OPTIONS, "--trials", "2", "--storage", "shared"]
    with Nodes(tmp_path, 1) as address, node_that_does_not_see(shared, address, tmp_path) as node:
        node.until(lambda: "Ray runtime started" in node.stdout(), "node", seconds=120)
        with Process([*command, "--address", address], cwd=tmp_path) as process:
            ended = process.wait()
    assert ended.code == 2, ended.told
    assert re.fullmatch(
        r"--storage .*/shared: node [\d.]+ cannot read and write it; on several nodes it must be a folder that all of "
        r"them mount .*\n",
        ended.stderr,
    ), ended.told
    assert files_below(shared) == []


def test_the_broker_stays_on_the_node_of_the_driver(two_nodes: tuple[Path, str]) -> None:
    cwd, address = two_nodes
    images = np.zeros((4, 4), np.uint8)
    context = SweepContext(images, images, "digits", (2, 2), SweepStorage(cwd), n_threads=1, device="cpu", n_slots=2)
    ray.init(address=address, logging_level="ERROR", log_to_driver=False)
    try:
        here = ray.get_runtime_context().get_node_id()
        brokers = [start_broker(f"broker-{i}", context) for i in range(8)]
        ray.get([broker.__ray_ready__.remote() for broker, _ in brokers])
        actors = [actor for actor in ray._private.state.actors().values() if "Broker" in actor["ActorClassName"]]
        assert [actor["Address"]["NodeID"] for actor in actors] == [here] * 8
    finally:
        ray.shutdown()
