"""What a sweep on a cluster refuses and what it tells, and the jobs of a cluster."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from tests.material.ray_nodes import DISABLED, RAY, Head, Node, find, free_port
from tests.material.sweeps import REPOSITORY, leaderboard, metrics, run
from tuning.cluster.allot import Cluster
from tuning.cluster.machines import live_nodes, surveyed
from tuning.cluster.watch import NodeWatch
from tuning.store.place import SweepStorage

pytestmark = pytest.mark.slow

SHORT = ("--space", "quick", "--name", "it", "--epochs", "2", "--set", "scheduler.type=none", "--top-k", "0")
LONG = ("--space", "quick", "--name", "it", "--epochs", "100", "--set", "scheduler.type=none", "--top-k", "0")


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
