"""Nodes of a Ray cluster, each a `ray start` as a user types it, on this machine."""

import os
import re
import signal
import socket
import sys
import tempfile
from pathlib import Path

import ray

from tests.material.sweeps import Process, session_of

RAY = [sys.executable, "-m", "ray.scripts.scripts"]
DISABLED = {"RAY_AUTH_MODE": "disabled"}


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


class Node:
    """`ray start` in a temp folder of its own, as on a machine of its own; its end is that of the machine."""

    def __init__(self, cwd: Path, *options: str, **variables: str) -> None:
        self._cwd, self._options, self._variables = cwd, options, variables

    def __enter__(self) -> "Node":
        self._folder = tempfile.TemporaryDirectory(prefix="ray-")  # Ray's sockets need a short path
        common = (f"--temp-dir={self._folder.name}", "--disable-usage-stats", "--block")
        self.process = Process([*RAY, "start", *common, *self._options], self._cwd, self._variables)
        self.process.until(lambda: "Ray runtime started" in self.process.stdout(), "node", seconds=120)
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill_session()
        self._folder.cleanup()


class Head(Node):
    """A node that others join at `address`."""

    def __init__(self, cwd: Path, *options: str, **variables: str) -> None:
        port = free_port()
        self.address = f"{ray.util.get_node_ip_address()}:{port}"
        head = ("--head", f"--port={port}", f"--ray-client-server-port={free_port()}")
        dashboard = () if any("dashboard" in option for option in options) else ("--include-dashboard=false",)
        super().__init__(cwd, *head, *dashboard, *options, **variables)


def freeze(node: Process, number: signal.Signals) -> None:
    """SIGSTOP is what a machine that others do not reach looks like to them; SIGCONT brings it back."""
    for pid in session_of(node.pid):
        os.kill(pid, number)


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


def find(pattern: str, lines: list[str]) -> list[int]:
    """Which of the lines match as a whole."""
    return [i for i, line in enumerate(lines) if re.fullmatch(pattern, line)]
