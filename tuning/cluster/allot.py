"""Decide how many trials the machines hold at a time and what each takes. Pure: tuning.cluster.connect asks Ray."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tuning.errors import ClusterError

PACK_SLOTS = 32  # trials that train together on a GPU by default
MOST_SLOTS = 1024  # the largest pack
GPU_SHARE = 8  # the most trials on a GPU where each trains alone; a choice, not measured
PRECISION = 10_000  # Ray counts resources in ten-thousandths


@dataclass(frozen=True)
class Request:
    """What the user asked of the machines; None leaves the choice to `allot`.

    pack: how many trials train together on a device; 0: each trains alone.
    cpus_per_trial counts for trials that train alone; a trial in a pack takes its part of the trainer's CPUs.
    gpus_per_trial below 1 says how many trials share a GPU, and these are then a pack.
    """

    address: str | None = None
    cpus_per_trial: int = 1
    gpus_per_trial: float | None = None
    max_concurrent: int | None = None
    pack: int | None = None
    verbose: bool = False


@dataclass(frozen=True)
class Node:
    """A machine of the cluster. gpus: those that torch can use; gpu_bytes: the smallest one's memory, 0: unknown."""

    node_id: str
    address: str
    cpus: float
    gpus: float
    gpu_bytes: int = 0


@dataclass(frozen=True)
class Cluster:
    """The machines that are there, and what one trial takes. pack: slots of a device's trainer; 0: no trainer.

    slots: trials at a time, on workers that may still come too; n_coming: how many of those an autoscaler may run.
    grows: trials may wait for workers. joined: the cluster was there before the sweep. is_chosen: the user said how
    many trials are to run at a time. ready_seconds: after the command. notes: what to tell the user.
    """

    nodes: list[Node]
    cpus_per_trial: float
    gpus_per_trial: float
    slots: int
    n_threads: int
    pack: int = 0
    n_coming: int = 0
    grows: bool = False
    joined: bool = False
    max_concurrent: int | None = None
    is_chosen: bool = False
    ready_seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def device(self) -> str:
        return "cuda" if self.gpus_per_trial else "cpu"

    def describe(self) -> str:
        """One line for a person."""
        cpus, gpus = sum(node.cpus for node in self.nodes), sum(node.gpus for node in self.nodes)
        where = f"{len(self.nodes)} node{'s' * (len(self.nodes) > 1)}, {cpus:g} CPUs, {gpus:g} GPUs"
        where += f", up to {self.n_coming} worker{'s' * (self.n_coming > 1)} as trials wait" if self.n_coming else ""
        together = f", up to {self.pack} training as one" if self.pack else ""
        return f"{where}; {self.slots} trials at a time, {self.share()} each{together}"

    def share(self) -> str:
        """What one trial takes, '0.5 CPU + 0.0312 GPU'."""
        return f"{self.cpus_per_trial:g} CPU" + (f" + {self.gpus_per_trial:g} GPU" if self.gpus_per_trial else "")

    def slots_on(self, nodes: Sequence[Node]) -> int:
        """Trials at a time when these nodes are alive, at least one: nodes come and go while a sweep runs."""
        room = sum(self.room(node) for node in nodes)
        room = max(room, self.slots) if self.grows else room
        return max(1, min(room, self.max_concurrent or room))

    def room(self, node: Node) -> int:
        """How many trials a node has room for."""
        return _slots(node, self.cpus_per_trial, self.gpus_per_trial, self.pack)


def allot(request: Request, nodes: list[Node], coming: Sequence[Node] = (), notes: Sequence[str] = ()) -> Cluster:
    """Choose each trial's share. nodes: the live ones; coming: workers that an autoscaler may run, live ones too.

    Raises ClusterError if no node can hold a trial as the user asked for it.
    """
    joined = request.address is not None
    capacity = [*nodes[:1], *coming] if coming else _promised(request, nodes)
    _check(request, capacity)
    pack = _pack(request, capacity)
    cpus, gpus = _packed_share(request, capacity, pack) if pack else _share(request, capacity)
    slots = sum(_slots(node, cpus, gpus, pack) for node in capacity)
    if not slots:
        raise ClusterError(f"no node has both {cpus:g} CPUs and {gpus:g} GPUs for a trial")
    n_threads = int(min(node.cpus for node in capacity if node.cpus)) if pack and not gpus else request.cpus_per_trial
    most = request.max_concurrent or slots
    cluster = Cluster(
        nodes=nodes,
        cpus_per_trial=cpus,
        gpus_per_trial=gpus,
        slots=most if joined else min(slots, most),  # trials of a cluster may wait for workers that are to come
        n_threads=n_threads,
        pack=pack,
        n_coming=len(coming),
        grows=bool(coming) or (joined and (request.max_concurrent or 0) > slots),
        joined=joined,
        max_concurrent=request.max_concurrent,
        is_chosen=bool(request.max_concurrent or request.pack),
    )
    return replace(cluster, notes=(*notes, *_idle(cluster)))


def _promised(request: Request, nodes: list[Node]) -> list[Node]:
    """The live nodes; where none of a cluster has a CPU, --max-concurrent promises workers that hold a trial each."""
    if request.address is None or any(node.cpus for node in nodes):
        return nodes
    if request.max_concurrent is None:
        raise ClusterError(
            "no node of the cluster has a CPU for trials, and its head names no autoscaler's configuration that says "
            "which workers may come; start a worker, or give --max-concurrent N for N trials that wait for workers"
        )
    return [Node("", "to come", float(request.cpus_per_trial), 1.0 if request.gpus_per_trial else 0.0)]


def _idle(cluster: Cluster) -> list[str]:
    """A line that names the nodes whose CPUs no trial can use, if there are any."""
    idle = [node.address for node in cluster.nodes if node.cpus and not cluster.room(node)]
    if not idle:
        return []
    advice = "; with --gpus-per-trial 0 trials train on CPUs alone" if cluster.gpus_per_trial else ""
    return [f"No trial runs on {', '.join(idle)}: each takes {cluster.share()}{advice}"]


def _check(request: Request, capacity: list[Node]) -> None:
    most_cpus = max(node.cpus for node in capacity)
    if request.cpus_per_trial > most_cpus:
        raise ClusterError(
            f"--cpus-per-trial {request.cpus_per_trial}: no node has as many; allowed: 1 to {most_cpus:g}"
        )
    most_gpus = max(node.gpus for node in capacity if node.cpus >= request.cpus_per_trial)
    asked = request.gpus_per_trial or 0
    if asked > most_gpus:
        allowed = (
            f"no node has as many; allowed: 0 to {most_gpus:g}" if most_gpus else "there is no GPU here; allowed: 0"
        )
        raise ClusterError(f"--gpus-per-trial {asked:g}: {allowed}")


def _pack(request: Request, capacity: list[Node]) -> int:
    """The slots of a device's pack; 0: each trial trains alone."""
    asked = request.gpus_per_trial
    if asked and request.pack != 0:
        fitting = max(1, min(MOST_SLOTS, int(1 / asked + 1e-9)))
        if request.pack not in (None, fitting):
            raise ClusterError(
                f"--pack {request.pack} with --gpus-per-trial {asked:g}: that is {fitting} to a GPU; "
                "give one of the two"
            )
        return request.pack or (fitting if fitting > 1 else 0)
    if request.pack is not None:
        return request.pack
    return PACK_SLOTS if asked is None and _with_gpu(capacity) else 0


def _with_gpu(capacity: list[Node]) -> list[Node]:
    """The nodes whose GPUs trials can use: a trial needs some CPU too, and a head may offer none."""
    return [node for node in capacity if node.gpus and node.cpus]


def _share(request: Request, capacity: list[Node]) -> tuple[float, float]:
    """CPUs and GPUs of a trial that trains alone. By default all CPUs work, with up to GPU_SHARE trials on a GPU."""
    cpus, with_gpu = request.cpus_per_trial, _with_gpu(capacity)
    if request.gpus_per_trial is not None or not with_gpu:
        return cpus, request.gpus_per_trial or 0.0
    fitting = [node.cpus // cpus / node.gpus for node in with_gpu if node.cpus >= cpus]
    return cpus, 1 / max(1, min(GPU_SHARE, int(min(fitting, default=1))))


def _packed_share(request: Request, capacity: list[Node], pack: int) -> tuple[float, float]:
    """CPUs and GPUs of a trial in a pack: a device's part of the node, divided by the slots of its trainer.

    Such a trial only waits for its trainer. It still holds a share of the CPUs, because shares are how Ray knows
    where there is room: with these, Ray sends each node as many trials as its trainers have slots, and no more.
    """
    with_gpu = _with_gpu(capacity) if request.gpus_per_trial != 0 else []
    if with_gpu:
        cpus = min(node.cpus / node.gpus for node in with_gpu) / pack
        return _rounded_down(min(1.0, cpus)), request.gpus_per_trial or _rounded_down(1 / pack)
    return _rounded_down(min(node.cpus for node in capacity if node.cpus) / pack), 0.0


def _rounded_down(amount: float) -> float:
    return max(1, int(amount * PRECISION)) / PRECISION


def _slots(node: Node, cpus: float, gpus: float, pack: int) -> int:
    """How many trials a node has room for. Rounded shares may leave room for more trials than a pack has slots."""
    by_cpu = int(node.cpus / cpus + 1e-9)
    if not gpus:
        return min(by_cpu, pack or by_cpu)
    to_a_gpu = int(1 / gpus + 1e-9)
    by_gpu = int(node.gpus) * min(to_a_gpu, pack or to_a_gpu) if gpus < 1 else int(node.gpus // gpus)
    return min(by_cpu, by_gpu)
