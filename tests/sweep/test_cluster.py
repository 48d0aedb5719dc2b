"""A sweep that joins a running Ray cluster: two nodes, on one machine, that see what they are let see."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import ray

from tests.material.ray_nodes import DISABLED, RAY, Head, Node, free_port
from tests.material.sweeps import (
    REPOSITORY,
    Process,
    events,
    files_below,
    leaderboard,
    ledger,
    manifest,
    metrics,
    run,
    start,
)
from tuning.cluster.access import make_private_token
from tuning.cluster.allot import Cluster
from tuning.cluster.checks import blind_nodes
from tuning.cluster.machines import live_nodes, surveyed
from tuning.cluster.watch import NodeWatch
from tuning.store.place import SweepStorage
from tuning.workers.start_trainers import start_broker
from tuning.workers.sweep_context import SweepContext

pytestmark = pytest.mark.slow

CLUSTER = """
import sys, time
from ray.cluster_utils import Cluster

head, *workers = map(int, sys.argv[1:])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": head, "include_dashboard": False})
for cpus in workers:
    cluster.add_node(num_cpus=cpus)
cluster.wait_for_nodes()
print("address", cluster.address, flush=True)
time.sleep(3600)
"""
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
CODE = ("sweep.py", "tuning", "vae", "report", "search_spaces")
OPTIONS = ("--space", "quick", "--name", "it", "--epochs", "40", "--set", "scheduler.type=none", "--top-k", "1")


class Nodes:
    """A cluster of nodes with so many CPUs each; the first is its head."""

    def __init__(self, cwd: Path, *cpus: int) -> None:
        self.process = Process([sys.executable, "-c", CLUSTER, *map(str, cpus)], cwd)

    def __enter__(self) -> str:
        """The address."""
        self.process.until(lambda: "address" in self.process.stdout(), "cluster", seconds=120)
        return self.process.stdout().split()[-1]

    def __exit__(self, *error: object) -> None:
        self.process.kill_session()


def node_that_does_not_see(hidden: Path, address: str, cwd: Path) -> Process:
    """A node in a mount namespace of its own, where another, empty folder is in the place of `hidden`."""
    start = f"exec {sys.executable} -m ray.scripts.scripts start --address={address} --num-cpus=1 --block"
    unshare = ["unshare", "--mount", "sh", "-c"]
    script = f"mount -t tmpfs none '{hidden}' && {start}"
    return Process([*unshare, script], cwd)


@pytest.fixture(scope="module")
def mount_namespaces() -> None:
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("a node with a file system of its own needs root and mount namespaces")


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


# ---------------------------------------------------------------- a cluster that grows and shrinks


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a token: a head that starts with one asks for it."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    make_private_token()
    return folder


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


SAID = r"Sweep it: |Dataset |Joining |Running on |\d/6 trials|node [\d.]+ (was lost|joined)"


def find(pattern: str, lines: list[str]) -> list[int]:
    return [i for i, line in enumerate(lines) if re.fullmatch(pattern, line)]


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


# ---------------------------------------------------------------- what is refused, and what is told


def test_a_token_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, home: Path) -> None:
    """One that fits needs no variable: so does the sweep on the autoscaling head, above."""
    others = tmp_path / "others"
    others.mkdir()
    with Head(tmp_path, "--num-cpus=1") as head:
        for variables, fault in [
            ({"HOME": str(others), "RAY_AUTH_TOKEN_PATH": str(others / "none")}, "there is none in"),
            ({"RAY_AUTH_MODE": "disabled"}, "RAY_AUTH_MODE is disabled; set it to token, or not at all"),
            ({"RAY_AUTH_TOKEN": "another"}, "the one in RAY_AUTH_TOKEN is another"),
        ]:
            ended = run(*SHORT, "--address", head.address, cwd=tmp_path, environment=variables)
            assert ended.code == 2, ended.told
            assert ended.stderr.startswith(f"--address {head.address}: the cluster asks for a token, and "), ended.told
            assert fault in ended.stderr, ended.told
            assert ended.stderr.count("\n") == 1, ended.told
            assert ended.seconds < 60, ended.told


@pytest.fixture(scope="module")
def odd_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A head whose GPU is not CUDA's, and a node on which another torch seems to be installed."""
    cwd = tmp_path_factory.mktemp("odd")
    info = cwd / "other" / "torch-1.2.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.2.3\n")
    with Head(cwd, "--num-cpus=1", "--num-gpus=1", **DISABLED) as head:
        other = {**DISABLED, "PYTHONPATH": str(info.parent)}
        with Node(cwd, f"--address={head.address}", "--num-cpus=1", **other):
            yield cwd, head.address


def test_gpus_that_are_not_cudas_and_other_versions_are_told_and_trials_train_on_cpus(
    odd_nodes: tuple[Path, str],
) -> None:
    cwd, address = odd_nodes
    command = (*SHORT, "--trials", "2", "--address", address, "--storage", "shared")
    ended = run(*command, cwd=cwd, environment=DISABLED)
    assert ended.code == 0, ended.told
    lines = ended.stdout.splitlines()
    assert "Running on 2 nodes, 2 CPUs, 0 GPUs; 2 trials at a time, 1 CPU each" in lines
    assert find(r"No trial uses the GPUs of [\d.]+: torch\.cuda\.is_available\(\) is false there", lines), ended.told
    assert find(r"Versions differ from those here: [\d.]+ has torch 1\.2\.3 \(here [\w.+]+\)", lines), ended.told
    assert {row["state"] for row in leaderboard(cwd / "shared" / "it")} == {"complete"}


class Heard:
    """Where the user looks."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def waits(self, trial_id: str) -> None:
        pass


def test_a_trial_that_wants_a_gpu_is_not_sent_to_one_that_torch_cannot_use(odd_nodes: tuple[Path, str]) -> None:
    """Where the cluster has CUDA's GPUs too, trials want a share of one, which Ray would give them of either kind."""
    environment = {"env_vars": {"PYTHONPATH": str(REPOSITORY)}}
    ray.init(odd_nodes[1], runtime_env=environment, logging_level="ERROR", log_to_driver=False)
    try:
        nodes, _ = surveyed(live_nodes())
        watch = NodeWatch(Cluster(nodes, 1, 0.5, 1, 1, joined=True), SweepStorage(Path("it")), Heard())
        task = ray.remote(lambda: "ran").options(num_gpus=0.5, num_cpus=0).remote()
        assert ray.wait([task], timeout=3)[0] == []
        del watch
        assert ray.get(task, timeout=60) == "ran"
    finally:
        ray.shutdown()


UPLOAD = """
import ray, sys
ray.init(sys.argv[1], runtime_env={"working_dir": sys.argv[2]}, logging_level="ERROR")
print(ray.get_runtime_context().runtime_env["working_dir"])
"""


def test_a_job_of_the_cluster_runs_with_the_code_that_it_was_sent_with(odd_nodes: tuple[Path, str]) -> None:
    """What `ray job submit --working-dir .` does: it uploads the folder and gives the job's process this variable."""
    cwd, address = odd_nodes
    upload = [sys.executable, "-c", UPLOAD, address, str(REPOSITORY)]
    uri = subprocess.check_output(upload, env={**os.environ, **DISABLED}).decode().split()[-1]
    assert uri.startswith("gcs://")
    given = {"runtime_env": {"working_dir": uri, "env_vars": {"TUNE_WARN_THRESHOLD_S": "20"}}, "metadata": {}}
    variables = {**DISABLED, "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(given), "RAY_ADDRESS": address}
    command = ("--space", "quick", "--name", "job", *SHORT[4:], "--trials", "2", "--storage", "shared")
    ended = run(*command, cwd=cwd, environment=variables)
    assert ended.code == 0, ended.told
    assert "Joining the Ray cluster at auto" in ended.stdout
    assert {row["state"] for row in leaderboard(cwd / "shared" / "job")} == {"complete"}


def test_a_job_that_is_submitted_sweeps_and_loses_nothing_when_it_is_stopped(tmp_path: Path, home: Path) -> None:
    for name in ("aiohttp", "opencensus", "prometheus_client"):
        pytest.importorskip(name, reason="the dashboard, which takes jobs, needs ray[default]")
    port, folder = free_port(), tmp_path / "shared" / "it"
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{port}"}

    def job(*words: str) -> str:
        return subprocess.check_output([*RAY, "job", *words], cwd=REPOSITORY, env=environment, text=True)

    sweep = (sys.executable, "sweep.py", *LONG, "--trials", "2", "--storage", str(folder.parent))
    with Head(tmp_path, "--num-cpus=2", f"--dashboard-port={port}", f"--dashboard-agent-listen-port={free_port()}"):
        job("submit", "--submission-id=first", "--no-wait", "--working-dir=.", "--", *sweep)
        deadline = time.monotonic() + 120
        while not metrics(folder, "0000") and time.monotonic() < deadline:
            time.sleep(0.1)
        job("stop", "first")
        told = job("logs", "first")
    assert "nothing is lost. Go on with: python sweep.py --resume it --storage" in told, told
    assert f"--storage {folder.parent} --address auto" in told, told
    assert (folder / "trials" / "0000" / "checkpoint.safetensors").is_file()
