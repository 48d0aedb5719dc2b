"""Ask Ray what machines it has and may get, and ask each machine what it can do."""

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event
from typing import Any

import ray
import yaml
from ray.exceptions import GetTimeoutError, RayError, RaySystemError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tuning.cluster.allot import Node
from tuning.errors import ClusterError

NODE_SECONDS = 60  # a node has this long to answer
SLICE_SECONDS = 0.2  # between two looks whether the answer is still wanted
RETRY_SECONDS = 2
HEAD = "node:__internal_head__"  # a resource that only the head has
PACKAGES = ("ray", "torch", "torchvision", "numpy", "pydantic", "safetensors")  # what workers train with
DEFAULT_MAX_WORKERS = 2  # Ray's, of a cluster configuration that sets none


@dataclass(frozen=True)
class Survey:
    """What a node says of itself. gpu_bytes: of its smallest GPU, 0: torch cannot train on its GPUs."""

    versions: dict[str, str]
    gpu_bytes: int


def live_nodes() -> list[Node]:
    """The nodes that Ray counts as alive, the head first."""
    nodes = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: HEAD not in node["Resources"])
    return [
        Node(
            node["NodeID"],
            node["NodeManagerAddress"],
            _amount(node["Resources"], "CPU"),
            _amount(node["Resources"], "GPU"),
        )
        for node in nodes
    ]


def is_alive(node: Node) -> bool:
    """Whether Ray still counts it as alive: nodes may die between being listed and being asked."""
    return any(other.node_id == node.node_id for other in live_nodes())


def node_of(actor: Any) -> str:
    """The id of the node on which an actor lives; '' if Ray does not know it any more."""
    known = ray._private.state.actors(actor._actor_id.hex())  # the public call asks the dashboard, which may be absent
    return str(known["Address"]["NodeID"]) if known else ""


def ask(nodes: Sequence[Node], task: Any, *arguments: Any, over: Event | None = None) -> list[Any]:
    """Run a task on each of these nodes, all at once: its answer, or a RayError where it failed or took too long.

    Where it fails it is tried once more: the code may just be on its way to the node. Once `over` is set, nobody
    wants an answer, and those that have not come are given up.
    """
    over = over or Event()
    answers = _ask(nodes, task, arguments, over)
    failed = [
        node for node, answer in zip(nodes, answers, strict=True) if isinstance(answer, RayTaskError | RaySystemError)
    ]
    if not failed or over.wait(RETRY_SECONDS):
        return answers
    again = dict(zip([node.node_id for node in failed], _ask(failed, task, arguments, over), strict=True))
    return [again.get(node.node_id, answer) for node, answer in zip(nodes, answers, strict=True)]


def _ask(nodes: Sequence[Node], task: Any, arguments: Sequence[Any], over: Event) -> list[Any]:
    """The tasks take no CPU, so nodes whose CPUs are all at work answer too."""
    answers = [
        task.options(
            num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False)
        ).remote(node.node_id, *arguments)
        for node in nodes
    ]
    ready: list[Any] = []
    deadline = time.monotonic() + NODE_SECONDS
    while len(ready) < len(answers) and time.monotonic() < deadline and not over.is_set():
        ready, _ = ray.wait(answers, num_returns=len(answers), timeout=SLICE_SECONDS)
    return [
        _result(answer) if answer in ready else GetTimeoutError(f"no answer in {NODE_SECONDS} s") for answer in answers
    ]


def _result(answer: Any) -> Any:
    try:
        return ray.get(answer)
    except RayError as error:
        return error


def surveyed(nodes: Sequence[Node], over: Event | None = None) -> tuple[list[Node], list[str]]:
    """These nodes with the GPUs that torch can train on, and a line for each thing that a user should know.

    A node that has died meanwhile is left out. Raises ClusterError for a node that cannot run the sweep's code.
    over: see `ask`.
    """
    answers = ask(nodes, _survey, [node.node_id for node in nodes if node.gpus], over=over)
    of_live = [
        (node, answer)
        for node, answer in zip(nodes, answers, strict=True)
        if not isinstance(answer, RayError) or is_alive(node)
    ]
    usable, unusable = [], []
    for node, survey in of_live:
        if isinstance(survey, RayError):
            reason = [line for line in str(survey).splitlines() if line.strip()][-1].strip()[:200]
            raise ClusterError(f"node {node.address} of the cluster cannot run the sweep's code: {reason}")
        n_bytes = survey.gpu_bytes
        usable.append(replace(node, gpus=node.gpus if n_bytes else 0.0, gpu_bytes=n_bytes))
        if node.gpus and not n_bytes:
            unusable.append(node.address)
    notes = []
    if unusable:
        notes.append(f"No trial uses the GPUs of {', '.join(unusable)}: torch.cuda.is_available() is false there")
    if differing := _differences(of_live):
        notes.append(f"Versions differ from those here: {'; '.join(differing)}")
    return usable, notes


def _differences(surveys: Sequence[tuple[Node, Survey]]) -> list[str]:
    """'10.0.0.2 has torch 2.11.0 (here 2.15.0)' for each node whose Python or packages are others than the driver's."""
    here, found = versions(), []
    for node, survey in surveys:
        others = {name: has for name, has in survey.versions.items() if has != here[name]}
        if others:
            listed = ", ".join(f"{name} {has} (here {here[name]})" for name, has in others.items())
            found.append(f"{node.address} has {listed}")
    return found


@ray.remote  # type: ignore[untyped-decorator]
def _survey(node_id: str, with_gpu: Sequence[str]) -> Survey:
    return Survey(versions(), _gpu_bytes() if node_id in with_gpu else 0)


def versions() -> dict[str, str]:
    """Python's version and those of the packages that trials train with, '-' for one that is missing."""
    return {"Python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"


def _gpu_bytes() -> int:
    """Memory of this machine's smallest CUDA GPU; 0 without one: Ray calls Apple's and Intel's accelerators GPU too."""
    import torch  # only nodes with a GPU need it

    if not torch.cuda.is_available():
        return 0
    return min(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count()))


def coming_nodes(nodes: Sequence[Node]) -> list[Node]:
    """Every worker that the cluster's autoscaler may run at once, those that run already included; [] without one.

    No call of Ray's reports them. The autoscaler's process on the head names its configuration file.
    """
    (config,) = ask(nodes[:1], _autoscaler_config, ray.get_runtime_context().gcs_address)
    return workers_of(config) if isinstance(config, dict) else []


@ray.remote  # type: ignore[untyped-decorator]
def _autoscaler_config(_node_id: str, address: str) -> dict[str, Any] | None:
    """On the head: the configuration of the autoscaler that serves the cluster at this address, None without one."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # a process that has ended meanwhile, or somebody else's
        options = dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)
        file = options.get("--autoscaling-config")
        if file and options.get("--gcs-address") == address and any(word.endswith("monitor.py") for word in words):
            config = yaml.safe_load(Path(file).expanduser().read_text())
            return config if isinstance(config, dict) else None
    return None


def workers_of(config: dict[str, Any]) -> list[Node]:
    """The workers of a cluster configuration, as `ray up` leaves it on the head: with the resources of each type.

    A type whose CPUs the file does not say is left out, such as machines of one's own: Ray starts all of them at once.
    """
    most = int(config.get("max_workers", DEFAULT_MAX_WORKERS))
    workers = [
        Node("", name, _amount(kind.get("resources"), "CPU"), _amount(kind.get("resources"), "GPU"))
        for name, kind in (config.get("available_node_types") or {}).items()
        if name != config.get("head_node_type")
        for _ in range(min(most, int(kind.get("max_workers", most))))
    ]
    with_cpus = [node for node in workers if node.cpus]
    return sorted(with_cpus, key=lambda node: -node.gpus)[:most]  # trials that ask for GPUs bring these


def _amount(resources: Any, name: str) -> float:
    return float((resources or {}).get(name, 0.0))
