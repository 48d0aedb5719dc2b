"""Start Ray on this machine or join a cluster, and ask it what machines it has."""

import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

import ray
from ray._private import ray_logging, services

from tuning.cluster import job
from tuning.cluster.access import keep_token_private, make_private_token, no_cluster, present_token
from tuning.cluster.allot import Cluster, Request, allot
from tuning.cluster.machines import coming_nodes, live_nodes, surveyed
from tuning.errors import ClusterError
from tuning.layout import REPOSITORY
from tuning.view.timeline import since_command

SHIPPED = ("vae", "tuning", "report", "search_spaces", "sweep.py")  # what workers get; .rayignore says it for jobs
NOT_SHIPPED = ["/*", "!/.", *(f"!/{name}" for name in SHIPPED), "__pycache__"]
SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",  # makes Tune silent, together with a reporter of ours and verbose=0
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # when a full disk stops the sweep, Tune leaves errors of other trials unread
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # tuning.sweep.run.Proposals limits them, as nodes come and go
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
    keep_token_private()
    quiet: dict[str, Any] = {}
    if not request.verbose:
        quiet = {"logging_level": "ERROR", "log_to_driver": False}
        # A node that dies sends a screen of its store's state, which log_to_driver lets pass.
        ray_logging.stdout_deduplicator.skip_re = re.compile("")
    if request.address is None:
        make_private_token()  # not to join a cluster: that has one, or wants none
        os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
        _start_here(quiet)
        return
    try:
        address = _found(request.address)
        present_token(address)
        runtime_env = {"working_dir": str(REPOSITORY), "excludes": NOT_SHIPPED, "env_vars": SETTINGS}
        ray.init(address=address, runtime_env=job.without_jobs_own(runtime_env), **quiet)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise no_cluster(request.address, str(error)) from None


def _start_here(quiet: dict[str, Any]) -> None:
    try:
        ray.init(address="local", include_dashboard=False, **quiet)
    except Exception as error:
        if "timed out during startup" not in str(error):  # all that tells this one: it is of no class of its own
            raise
        raise ClusterError("Ray did not start on this machine in time: it may be too busy now; try again") from None


def _found(address: str) -> str:
    """host:port of the head. Raises ClusterError for an address that sweep.py cannot use, ConnectionError for none."""
    if address.startswith("ray://"):
        raise ClusterError(
            f"--address {address}: a sweep's driver runs on a node of the cluster; there use --address auto, "
            "from elsewhere: ray job submit --working-dir . -- python sweep.py ..."
        )
    if address != "auto":
        return address
    found: str = services.canonicalize_bootstrap_address_or_die(address)  # ray.init would ask a dead one for minutes
    return found


def _measure(request: Request) -> Cluster:
    """Look at the nodes before any trial is placed: their GPUs and versions, and what an autoscaler may add."""
    nodes, joined = live_nodes(), request.address is not None
    nodes, notes = surveyed(nodes) if joined or any(node.gpus for node in nodes) else (nodes, [])
    cluster = allot(request, nodes, coming_nodes(nodes) if joined else [], notes)
    return replace(cluster, ready_seconds=round(since_command(), 2))
