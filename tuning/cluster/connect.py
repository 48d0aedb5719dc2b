"""Start Ray on this machine or join a cluster, and ask it what machines it has."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import ray

from tuning.cluster.allot import Cluster, Node, Request, allot
from tuning.errors import ClusterError
from tuning.layout import REPOSITORY

NOT_SHIPPED = ["/.git", "/.venv", "/runs", "/models", "/data", "/.ci", "/tests", "**/__pycache__", "*.safetensors"]
MOST_WORKERS = 1000  # counted for an autoscaler that sets no limit
ANSWER_SECONDS = 10  # a head has this long to answer
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",  # makes Tune silent, together with a reporter of ours and verbose=0
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # when a full disk stops the sweep, Tune leaves errors of other trials unread
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # no snapshots of Tune: a sweep resumes from its ledger
    "TUNE_WARN_THRESHOLD_S": "30",
}


@contextmanager
def connected(request: Request) -> Iterator[Cluster]:
    """Start or join Ray for as long as the block runs, and yield what it can hold. Raises ClusterError."""
    os.environ.update(SETTINGS)
    if not request.verbose:
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the live view shows failures, files keep them
    try:
        with _interrupt_held_back():
            _start(request)
        yield _measure(request)
    finally:
        ray.shutdown()


@contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """Delay the first Ctrl-C until the block ends; a second one stops at once.

    In the middle of Ray's start a Ctrl-C was swallowed, or left a lock of `logging` held for ever.
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
    """Say why no head of Ray answers at host:port; '' if one does. Ray itself would go on asking for minutes.

    A head speaks gRPC over HTTP/2, and an HTTP/2 server's first frame has type 4 (RFC 9113, section 3.4).
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
