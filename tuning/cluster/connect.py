"""Start or join Ray; what the machines can hold; what is checked before anything starts."""

import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tuning.cluster.allot import Cluster, Node, Request, allot
from tuning.errors import ClusterError, StorageError
from tuning.layout import REPOSITORY
from tuning.store.place import SweepStorage

NOT_SHIPPED = ["/.git", "/.venv", "/runs", "/models", "/data", "/.ci", "/tests", "**/__pycache__", "*.safetensors"]
MOST_WORKERS = 1000  # of an autoscaler without a limit
ANSWER_SECONDS = 10  # for a head to answer that it is one
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
MEMORY_SHARE = 0.9  # of a GPU's, for packs: the rest is CUDA's own and the images
NODE_SECONDS = 60  # for a node to answer whether it sees the storage
SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",  # with a reporter of ours and verbose=0 Tune is then silent
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of a trial that Tune no longer asks after, when a full disk stops the sweep
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # Tune's snapshots are not what a sweep resumes from
    "TUNE_WARN_THRESHOLD_S": "30",
}


@contextmanager
def connected(request: Request) -> Iterator[Cluster]:
    """Ray, running, and what it can hold; given back at the end. Raises ClusterError."""
    os.environ.update(SETTINGS)
    if not request.verbose:
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are shown by the live view and kept
    try:
        with _interrupt_held_back():
            _start(request)
        yield _measure(request)
    finally:
        ray.shutdown()


@contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """The first Ctrl-C stops the sweep when the block ends; a second one at once.

    In the middle of Ray's start it was seen to be swallowed, and to leave a lock of `logging` held for ever.
    """
    came = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True
        print("Stopping once Ray has started; Ctrl-C again stops at once.", file=sys.stderr)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _start(request: Request) -> None:
    quiet: dict[str, Any] = {} if request.verbose else {"logging_level": "ERROR", "log_to_driver": False}
    if request.address is None:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
        ray.init(address="local", include_dashboard=False, **quiet)
        return
    if silence := _silence(request.address):
        raise _no_cluster(request.address, silence)
    try:
        ray.init(
            address=request.address,
            runtime_env={"working_dir": str(REPOSITORY), "excludes": NOT_SHIPPED, "env_vars": SETTINGS},
            **quiet,
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise _no_cluster(request.address, " ".join(str(error).split())[:200]) from None


def _no_cluster(address: str, reason: str) -> ClusterError:
    return ClusterError(
        f"--address {address}: no Ray cluster answers there ({reason}); start one with 'ray start --head' "
        "or 'ray up cluster.yaml'; where it uses tokens, RAY_AUTH_MODE=token must be set here too"
    )


def _silence(address: str) -> str:
    """Why nothing of Ray's answers at host:port, '' where it does: Ray itself would go on asking for minutes.

    Ray's head speaks gRPC, that is HTTP/2, whose servers begin with a frame of type 4 (RFC 9113, section 3.4).
    """
    host, colon, port = address.rpartition(":")
    if "/" in address or not colon or not port.isdecimal() or os.environ.get("RAY_USE_TLS", "0") != "0":
        return ""
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS) as server:
            server.sendall(HTTP2_GREETING)
            frame = server.makefile("rb").read(4)  # its length in three bytes, then its type
    except (OSError, OverflowError) as error:
        return str(error)
    return "" if frame[3:] == b"\x04" else "what answers is something else; the port of a head is 6379 unless told"


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
    return allot(request, nodes, _autoscaled() or nodes)  # an autoscaler brings workers as trials wait for them


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


def check_storage(cluster: Cluster, storage: SweepStorage) -> None:
    """Every node must see the workers' files and write there. Raises StorageError naming those that do not."""
    if len(cluster.nodes) < 2 or storage.uri:
        return
    folder = storage.folder
    marker = folder / f".check-{uuid.uuid4().hex}"
    marker.write_text("driver")
    try:
        answers = [(node, _probe_on(node, marker)) for node in cluster.nodes]  # all at once, then wait
        blind = [
            node.address
            for node, answer in answers
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


def check_memory(cluster: Cluster, slot_bytes: int) -> None:
    """A pack as large as it may become must fit on a GPU. Raises ClusterError."""
    if not cluster.pack or cluster.device != "cuda":
        return
    has_gpu = any(node.gpus for node in cluster.nodes)
    available = ray.get(_gpu_bytes.options(num_gpus=cluster.gpus_per_trial).remote()) if has_gpu else None
    if available is not None and cluster.pack * slot_bytes > available * MEMORY_SHARE:
        fitting = int(available * MEMORY_SHARE / slot_bytes)
        raise ClusterError(
            f"--pack {cluster.pack}: so many of the widest trials take {cluster.pack * slot_bytes / 2**30:.1f} GiB, "
            f"a GPU has {available / 2**30:.1f} GiB; allowed: up to {fitting}, or off"
        )


@ray.remote  # type: ignore[untyped-decorator]
def _gpu_bytes() -> int:
    import torch

    return int(torch.cuda.mem_get_info()[1])
