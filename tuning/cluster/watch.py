"""Follow the nodes while a sweep runs: check and use those that join, and say in one line what died with a node."""

import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Protocol

import ray
from ray.tune import Callback
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tuning.cluster.allot import Cluster, Node
from tuning.cluster.checks import blind_nodes, check_memory
from tuning.cluster.machines import live_nodes, node_of, surveyed
from tuning.errors import ClusterError
from tuning.store.place import SweepStorage

LOOK_SECONDS = 1.0  # between two looks at the nodes; each is one call to the head
RECENT_SECONDS = 60.0  # what failed on a node so long before its death, failed of that
CLOSE_SECONDS = 10.0  # for a check to end that was told to; a single call of Ray's may take so long
FENCE_SECONDS = 30.0  # for the fence of a node that was there before the sweep; nothing of ours is on it


class View(Protocol):
    """Where the user looks; tuning.view.progress.Progress is one."""

    def say(self, line: str) -> None: ...

    def waits(self, trial_id: str) -> None:
        """The trial lost its worker; `started` tells when it has another."""


class NodeWatch(Callback):  # type: ignore[misc]
    """A Tune callback, one for all of a sweep's fits. `slots`: how many trials the live nodes hold at a time, workers
    that may come included."""

    def __init__(self, cluster: Cluster, storage: SweepStorage, view: View, slot_bytes: int = 0) -> None:
        """slot_bytes: the memory of a pack's widest trial, see Plan.slot_bytes."""
        self._cluster = cluster
        self._storage = storage
        self._view = view
        self._slot_bytes = slot_bytes
        self._nodes = {node.node_id: node for node in cluster.nodes}
        self._node_of: dict[str, str] = {}  # the node of each trial that has a worker
        self._failed_on: dict[str, tuple[str, float]] = {}  # of each trial that failed: where and when
        self._checks: dict[str, Future[str]] = {}  # of nodes that have just joined
        self._threads: list[threading.Thread] = []  # the checks run there
        self._over = threading.Event()  # ends the checks
        self._fenced: dict[str, Any] = {}  # by node: the actor that holds what trials must not use
        self._looked_at = time.monotonic()
        self.slots = cluster.slots_on(cluster.nodes)
        self._fence_foreign()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it into its own snapshots, which nothing reads

    def _fence_foreign(self) -> None:
        """Keep trials that want a GPU off the GPUs that torch cannot use: Ray would send them there."""
        if not (self._cluster.joined and self._cluster.gpus_per_trial):
            return
        foreign = [node for node in live_nodes() if node.gpus and not self._nodes.get(node.node_id, node).gpus]
        self._fenced = {node.node_id: fence(node) for node in foreign}
        ready = [one.__ray_ready__.remote() for one in self._fenced.values()]
        if ready:
            ray.wait(ready, num_returns=len(ready), timeout=FENCE_SECONDS)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._node_of[trial.config["trial_id"]] = node_of(trial.temporary_state.ray_actor)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._node_of.pop(trial.config["trial_id"], None)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial failed and Tune tries it again. That is often told before the death of its node."""
        trial_id = trial.config["trial_id"]
        self._view.waits(trial_id)
        self._failed_on[trial_id] = self._node_of.pop(trial_id, ""), time.monotonic()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._node_of.pop(trial.config["trial_id"], None)

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look at the nodes now and then: this runs in Tune's loop, before it places trials."""
        if not self._cluster.joined or time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        live = {node.node_id: node for node in live_nodes()}
        lost = [node for node_id, node in self._nodes.items() if node_id not in live]
        new = [node for node_id, node in live.items() if node_id not in self._nodes]
        for node in lost:
            del self._nodes[node.node_id]
            self._fenced.pop(node.node_id, None)
            self._checks.pop(node.node_id, None)
        for node in new:  # the checks take seconds: not in Tune's loop
            self._nodes[node.node_id] = node
            self._checks[node.node_id] = self._check(node)
        for node_id in [node_id for node_id, check in self._checks.items() if check.done()]:
            self._admit(node_id, self._checks.pop(node_id).result())
        self.slots = self._cluster.slots_on(self._fit())
        for node in lost:
            self._tell_loss(node)
        self._looked_at = time.monotonic()

    def _check(self, node: Node) -> Future[str]:
        """What `_unfit` says, from a thread of its own."""
        found: Future[str] = Future()

        def check() -> None:
            try:
                found.set_result(self._unfit(node))
            except Exception as error:  # whatever it is, the loop that asks for the result raises it
                found.set_exception(error)

        thread = threading.Thread(target=check, daemon=True, name=f"check {node.address}")
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()
        return found

    def close(self) -> None:
        """End the checks that are under way. A node that does not answer has a minute, and the sweep's end must not
        wait for it; and a thread that is inside Ray while Ray shuts down brings the process down."""
        self._over.set()
        for thread in self._threads:
            thread.join(CLOSE_SECONDS)

    def _fit(self) -> list[Node]:
        """The nodes that trials may run on."""
        unfit = self._fenced.keys() | self._checks.keys()
        return [node for node_id, node in self._nodes.items() if node_id not in unfit]

    def _admit(self, node_id: str, reason: str) -> None:
        """A node that joined late has passed the checks of those that were there, or gets no trials.

        Raises ClusterError where no other node has room: trials would wait, and an autoscaler's nodes cost meanwhile.
        """
        node = self._nodes[node_id]
        if not reason:
            used = f": {self._cluster.slots_on(self._fit())} trials at a time"
            idle = f", and no trial runs on it: each takes {self._cluster.share()}"
            self._view.say(f"node {node.address} joined{used if self._cluster.room(node) else idle}")
            return
        refused = f"node {node.address} joined and gets no trials: {reason}"
        self._fenced[node_id] = fence(node)
        if not self._checks and not self._has_room():
            raise ClusterError(f"{refused}; there is no other node for them")
        self._view.say(refused)

    def _unfit(self, node: Node) -> str:
        """Why a node gets no trials, '' if it may. In a thread of its own; what it says after `close` nobody reads."""
        try:
            found, notes = surveyed([node], self._over)
        except ClusterError as error:
            return str(error)
        if not found:
            return "it died while it was checked"
        (usable,) = found
        for note in notes:
            self._view.say(note)
        if not self._storage.uri and blind_nodes([node], self._storage, self._over):
            return f"it cannot read and write {self._storage.folder}"
        if not self._cluster.gpus_per_trial:
            return ""
        if node.gpus > usable.gpus:
            return "torch cannot use its GPU"
        try:
            check_memory(replace(self._cluster, nodes=[usable]), self._slot_bytes)
        except ClusterError as error:
            return str(error)
        return ""

    def _has_room(self) -> bool:
        return any(self._cluster.room(node) for node in self._fit())

    def _tell_loss(self, node: Node) -> None:
        """'node 10.0.0.2 was lost, its 3 trials go on elsewhere'; nothing of an idle one that an autoscaler ended."""
        recent = time.monotonic() - RECENT_SECONDS
        failed = {name for name, (where, at) in self._failed_on.items() if where == node.node_id and at > recent}
        running = {name for name, where in self._node_of.items() if where == node.node_id}
        for trial_id in running:
            self._view.waits(trial_id)
        trials = failed | running
        if not trials:
            if not self._cluster.grows:
                self._view.say(f"node {node.address} was lost; no trial ran on it")
            return
        whose = "its trial" if len(trials) == 1 else f"its {len(trials)} trials"
        how = "on elsewhere" if self._has_room() else "on when another node joins"
        self._view.say(f"node {node.address} was lost, {whose} {'goes' if len(trials) == 1 else 'go'} {how}")


def fence(node: Node) -> Any:
    """Keep trials off a node: an actor takes all its CPUs and GPUs while the handle that is returned lives."""
    affinity = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
    options = {"num_cpus": node.cpus, "num_gpus": node.gpus, "scheduling_strategy": affinity}
    return ray.remote(Fence).options(**options).remote()


class Fence:
    """An actor that does nothing but hold resources."""
