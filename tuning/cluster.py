"""Start or join Ray; what the machines can hold; what is checked before anything starts."""

import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.tune.execution import class_cache
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tuning.errors import ClusterError, StorageError
from tuning.storage import SweepStorage

REPOSITORY = Path(__file__).resolve().parent.parent
NOT_SHIPPED = [".git", ".venv", "runs", "models", "data", ".ci", "tests", "**/__pycache__", "*.safetensors"]
GPU_SHARE = 8  # trials to a GPU, unless told otherwise: more of them than this wait for each other's kernels
MOST_WORKERS = 1000  # of an autoscaler without a limit
NODE_SECONDS = 60  # for a node to answer whether it sees the storage
SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",  # with a reporter of ours and verbose=0 Tune is then silent
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # Tune's snapshots are not what a sweep resumes from
    "TUNE_WARN_THRESHOLD_S": "30",
}


@dataclass(frozen=True)
class Request:
    """What the user asked of the machines. None: choose."""

    address: str | None = None
    cpus_per_trial: int = 1
    gpus_per_trial: float | None = None
    max_concurrent: int | None = None
    verbose: bool = False


@dataclass(frozen=True)
class Node:
    node_id: str
    address: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Cluster:
    """The machines that are there, and what one trial takes of them."""

    nodes: list[Node]
    cpus_per_trial: int
    gpus_per_trial: float
    slots: int

    @property
    def device(self) -> str:
        return "cuda" if self.gpus_per_trial else "cpu"

    def describe(self) -> str:
        """One line for a person."""
        cpus, gpus = sum(node.cpus for node in self.nodes), sum(node.gpus for node in self.nodes)
        where = f"{len(self.nodes)} node{'s' * (len(self.nodes) > 1)}, {cpus:g} CPUs, {gpus:g} GPUs"
        share = f"{self.cpus_per_trial} CPU" + (f" + {self.gpus_per_trial:g} GPU" if self.gpus_per_trial else "")
        return f"{where}; {self.slots} trials at a time, {share} each"


@contextmanager
def connected(request: Request) -> Iterator[Cluster]:
    """Ray, running, and what it can hold; given back at the end. Raises ClusterError."""
    os.environ.update(SETTINGS)
    if not request.verbose:
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are shown by the live view and kept
    _start(request)
    try:
        yield _measure(request)
    finally:
        ray.shutdown()


def _start(request: Request) -> None:
    quiet: dict[str, Any] = {} if request.verbose else {"logging_level": "ERROR", "log_to_driver": False}
    if request.address is None:
        _start_local(quiet)
        return
    try:
        ray.init(
            address=request.address,
            runtime_env={"working_dir": str(REPOSITORY), "excludes": NOT_SHIPPED, "env_vars": SETTINGS},
            **quiet,
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        first = " ".join(str(error).split())[:200]
        raise ClusterError(
            f"--address {request.address}: no Ray cluster answers there ({first}); start one with 'ray start --head' "
            "or 'ray up cluster.yaml'; where it uses tokens, RAY_AUTH_MODE=token must be set here too"
        ) from None


def _start_local(quiet: dict[str, Any]) -> None:
    """Ray on this machine alone, in such a way that trials start in the workers that Ray starts with itself.

    These import torch while the driver prepares. Tune would give its workers an environment of their own,
    so that Ray starts others for them, later: 4 trials then began 2.7 s after these (4 cores, 2026-11-21).
    """
    os.environ["RAY_preload_python_modules"] = "tuning.trial,vae.training"  # noqa: SIM112 Ray spells it so
    os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    ray.init(address="local", include_dashboard=False, **quiet)
    class_cache.DEFAULT_ENV_VARS.clear()
    del os.environ["RAY_CHDIR_TO_TRIAL_DIR"]  # the workers have it from Ray, which was started with it


def _measure(request: Request) -> Cluster:
    nodes = [
        Node(
            node["NodeID"],
            node["NodeManagerAddress"],
            _amount(node["Resources"], "CPU"),
            _amount(node["Resources"], "GPU"),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
    capacity = _autoscaled() or nodes  # an autoscaler brings workers as trials wait for them
    gpus_per_trial = _gpus_per_trial(request, capacity)
    most_cpus = max(node.cpus for node in capacity)
    if request.cpus_per_trial > most_cpus:
        raise ClusterError(
            f"--cpus-per-trial {request.cpus_per_trial}: no node has as many; allowed: 1 to {most_cpus:g}"
        )
    slots = sum(_slots(node, request.cpus_per_trial, gpus_per_trial) for node in capacity)
    if not slots:
        raise ClusterError(f"no node has both {request.cpus_per_trial} CPUs and {gpus_per_trial:g} GPUs for a trial")
    return Cluster(nodes, request.cpus_per_trial, gpus_per_trial, slots=min(slots, request.max_concurrent or slots))


def _amount(resources: Any, name: str) -> float:
    return float(resources.get(name, 0.0))


def _autoscaled() -> list[Node]:
    """Every worker that the cluster's autoscaler may start; [] where there is none."""
    config = ray._private.state.state.get_cluster_config()  # no public call says it
    groups = config.node_group_configs if config else []
    return [
        Node("", group.name, _amount(group.resources, "CPU"), _amount(group.resources, "GPU"))
        for group in groups
        for _ in range(max(1, min(group.max_count, MOST_WORKERS)))
    ]


def _gpus_per_trial(request: Request, nodes: list[Node]) -> float:
    """As asked; otherwise such a share of a GPU that every CPU is used, up to GPU_SHARE trials each."""
    most_gpus = max(node.gpus for node in nodes)
    if request.gpus_per_trial is None:
        shares = [node.cpus // request.cpus_per_trial / node.gpus for node in nodes if node.gpus]
        return 1 / max(1, min(GPU_SHARE, int(min(shares)))) if shares else 0.0
    if request.gpus_per_trial > 0 and not most_gpus:
        raise ClusterError(f"--gpus-per-trial {request.gpus_per_trial:g}: there is no GPU here; allowed: 0")
    if request.gpus_per_trial > most_gpus:
        raise ClusterError(
            f"--gpus-per-trial {request.gpus_per_trial:g}: no node has as many; allowed: 0 to {most_gpus:g}"
        )
    return request.gpus_per_trial


def _slots(node: Node, cpus_per_trial: int, gpus_per_trial: float) -> int:
    by_cpu = int(node.cpus // cpus_per_trial)
    if not gpus_per_trial:
        return by_cpu
    trials_a_gpu = int(1 / gpus_per_trial + 1e-9) if gpus_per_trial < 1 else 1
    gpus_a_trial = max(1, int(gpus_per_trial))
    return min(by_cpu, int(node.gpus // gpus_a_trial) * trials_a_gpu)


def check_storage(cluster: Cluster, storage: SweepStorage) -> None:
    """Every node must see the workers' files and write there. Raises StorageError naming those that do not."""
    if len(cluster.nodes) < 2 or storage.uri:
        return
    folder = storage.folder
    marker = folder / f".check-{uuid.uuid4().hex}"
    marker.write_text("driver")
    try:
        answers = {node.address: _probe_on(node, marker) for node in cluster.nodes}
        blind = [
            address
            for (address, answer), node in zip(answers.items(), cluster.nodes, strict=True)
            if not ray.wait([answer], timeout=NODE_SECONDS)[0]
            or not ray.get(answer)
            or not marker.with_name(f"{marker.name}.{node.node_id}").exists()
        ]
    finally:
        for path in folder.glob(f"{marker.name}*"):
            path.unlink()
    if blind:
        raise StorageError(
            f"--storage {folder.parent}: node {', '.join(blind)} cannot read and write it; on several nodes it must be "
            "a folder that all of them mount (such as /mnt/shared/sweeps) or a bucket (s3://bucket/sweeps)"
        )


def _probe_on(node: Node, marker: Path) -> Any:
    affinity = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
    return _probe.options(num_cpus=0, scheduling_strategy=affinity).remote(str(marker), node.node_id)


@ray.remote  # type: ignore[untyped-decorator]
def _probe(marker: str, node_id: str) -> bool:
    """Read what the driver wrote and write beside it, on the node that is asked."""
    path = Path(marker)
    try:
        if path.read_text() != "driver":
            return False
        path.with_name(f"{path.name}.{node_id}").write_text("worker")
    except OSError:
        return False
    return True
