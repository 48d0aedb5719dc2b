"""tuning/cluster/watch.py: what a user is told of nodes that come and go, and which of them get trials.

Ray's list of nodes and what each node says of itself are made up; tests/sweep/cluster/ has real nodes."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuning.cluster import watch as watched
from tuning.cluster.allot import Cluster, Node, Request, allot
from tuning.cluster.watch import NodeWatch
from tuning.errors import ClusterError
from tuning.store.place import SweepStorage

GIB = 2**30
HEAD, CPUS = Node("h", "10.0.0.1", 0.0, 0.0), Node("c", "10.0.0.2", 4.0, 0.0)
GPU, SMALL_GPU = (Node(name, address, 16.0, 1.0) for name, address in (("g", "10.0.0.3"), ("s", "10.0.0.4")))
FOREIGN = Node("f", "10.0.0.5", 8.0, 1.0)
BYTES = {"g": 80 * GIB, "s": 16 * GIB}


class Machines:
    """The nodes that live, those that are kept free of trials, and what the user is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.live: list[Node] = []
        self.fenced: list[str] = []
        self.blind: list[Node] = []
        self.lines: list[str] = []
        self.waiting: list[str] = []
        monkeypatch.setattr(watched, "LOOK_SECONDS", 0.0)
        monkeypatch.setattr(watched, "live_nodes", lambda: list(self.live))
        monkeypatch.setattr(watched, "surveyed", self._surveyed)
        monkeypatch.setattr(watched, "blind_nodes", lambda nodes, *_: [node for node in nodes if node in self.blind])
        monkeypatch.setattr(watched, "fence", lambda node: self.fenced.append(node.address))
        monkeypatch.setattr(watched, "node_of", lambda actor: actor)

    @staticmethod
    def _surveyed(nodes: Sequence[Node], over: object = None) -> tuple[list[Node], list[str]]:
        sizes = [BYTES.get(node.node_id, 0) for node in nodes]
        return [
            replace(node, gpus=node.gpus if size else 0.0, gpu_bytes=size)
            for node, size in zip(nodes, sizes, strict=True)
        ], []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def waits(self, trial_id: str) -> None:
        self.waiting.append(trial_id)

    def watch(self, cluster: Cluster, folder: Path, slot_bytes: int = 0) -> NodeWatch:
        self.live = list(cluster.nodes)
        return NodeWatch(cluster, SweepStorage(folder), self, slot_bytes)


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Machines:
    return Machines(monkeypatch)


def trial(number: int, node: Node) -> Any:
    return SimpleNamespace(
        config={"trial_id": f"{number:04d}"}, temporary_state=SimpleNamespace(ray_actor=node.node_id)
    )


def look(watch: NodeWatch) -> None:
    """Twice, with time for the checks of new nodes between."""
    watch.on_step_begin(0, [])
    deadline = time.monotonic() + 10
    while not all(check.done() for check in watch._checks.values()) and time.monotonic() < deadline:
        time.sleep(0.01)
    watch.on_step_begin(0, [])


def test_trials_of_a_node_that_dies_go_on_elsewhere_and_wait_until_then(machines: Machines, tmp_path: Path) -> None:
    other = replace(CPUS, node_id="d", address="10.0.0.9")
    watch = machines.watch(allot(Request(address="auto"), [HEAD, CPUS, other]), tmp_path)
    for number in range(3):
        watch.on_trial_start(0, [], trial(number, CPUS))
    watch.on_trial_start(0, [], trial(3, other))
    watch.on_trial_recover(0, [], trial(1, CPUS))  # Tune hears of a trial's end before Ray counts its node as dead
    watch.on_trial_complete(0, [], trial(2, CPUS))
    machines.live = [HEAD, other]
    look(watch)
    assert machines.lines == ["node 10.0.0.2 was lost, its 2 trials go on elsewhere"]
    assert sorted(machines.waiting) == ["0000", "0001"]
    assert watch.slots == 4


def test_trials_wait_where_the_last_node_with_room_dies(machines: Machines, tmp_path: Path) -> None:
    watch = machines.watch(allot(Request(address="auto"), [HEAD, CPUS]), tmp_path)
    watch.on_trial_start(0, [], trial(0, CPUS))
    machines.live = [HEAD]
    look(watch)
    assert machines.lines == ["node 10.0.0.2 was lost, its trial goes on when another node joins"]


@pytest.mark.parametrize(
    ("coming", "lines"),
    [([], ["node 10.0.0.2 was lost; no trial ran on it"]), ([CPUS], [])],
    ids=["dies", "is ended by the autoscaler"],
)
def test_an_idle_node_that_goes_is_told_unless_an_autoscaler_ended_it(
    coming: list[Node], lines: list[str], machines: Machines, tmp_path: Path
) -> None:
    watch = machines.watch(allot(Request(address="auto"), [HEAD, CPUS], coming), tmp_path)
    machines.live = [HEAD]
    look(watch)
    assert machines.lines == lines


def test_a_node_that_joins_is_used_when_it_has_passed_the_checks(machines: Machines, tmp_path: Path) -> None:
    watch = machines.watch(allot(Request(address="auto"), [CPUS]), tmp_path)
    machines.live.append(replace(CPUS, node_id="d", address="10.0.0.9"))
    look(watch)
    assert (watch.slots, machines.lines) == (8, ["node 10.0.0.9 joined: 8 trials at a time"])


@pytest.mark.parametrize(
    ("late", "reason"),
    [
        (
            SMALL_GPU,
            "--pack 32: so many of the widest trials take 32.0 GiB, a GPU of 10.0.0.4 has 16.0 GiB; allowed: up to 14, "
            "or off",
        ),
        (FOREIGN, "torch cannot use its GPU"),
        (replace(GPU, node_id="b", address="10.0.0.7"), "it cannot read and write {}"),
    ],
    ids=["memory", "foreign", "blind"],
)
def test_a_node_that_fails_a_check_is_fenced_and_named(
    late: Node, reason: str, machines: Machines, tmp_path: Path
) -> None:
    """Each of the 32 takes 1 GiB: 0.9 of 16 GiB holds 14."""
    (here,), _ = machines._surveyed([GPU])
    watch = machines.watch(allot(Request(address="auto"), [here]), tmp_path, slot_bytes=GIB)
    machines.blind = [late] if "read and write" in reason else []
    machines.live = [GPU, late]
    look(watch)
    assert machines.lines == [f"node {late.address} joined and gets no trials: {reason.format(tmp_path)}"]
    assert machines.fenced == [late.address]
    assert watch.slots == 32


def test_a_node_without_a_gpu_stays_idle_where_trials_want_one(machines: Machines, tmp_path: Path) -> None:
    (here,), _ = machines._surveyed([GPU])
    watch = machines.watch(allot(Request(address="auto"), [here]), tmp_path, slot_bytes=GIB)
    machines.live = [GPU, CPUS]
    look(watch)
    assert machines.lines == ["node 10.0.0.2 joined, and no trial runs on it: each takes 0.5 CPU + 0.0312 GPU"]
    assert machines.fenced == []


def test_a_sweep_ends_where_the_only_node_that_came_gets_no_trials(machines: Machines, tmp_path: Path) -> None:
    cluster = allot(Request(address="auto"), [HEAD], [Node("", "gpu_worker", 16.0, 1.0)])
    watch = machines.watch(cluster, tmp_path, slot_bytes=GIB)
    machines.live.append(SMALL_GPU)
    with pytest.raises(ClusterError, match=r"^node 10\.0\.0\.4 joined and gets no trials: --pack 32: .* no other node"):
        look(watch)
