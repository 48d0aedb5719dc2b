"""What the machines can hold: how many trials at a time, and what each takes. Pure; tuning.cluster.connect asks Ray."""

from dataclasses import dataclass

from tuning.errors import ClusterError

PACK_SLOTS = 32  # trials that train together on a GPU, unless told otherwise
MOST_SLOTS = 1024  # of a pack
GPU_SHARE = 8  # trials to a GPU at the most where each trains alone; a choice, not measured on a GPU
PRECISION = 10_000  # Ray counts resources in ten-thousandths


@dataclass(frozen=True)
class Request:
    """What the user asked of the machines. None: choose. pack: trials that train together on a device, 0: none.

    cpus_per_trial is of a trial that trains alone; one in a pack waits for its trainer and takes what is left.
    gpus_per_trial says how many trials share a GPU, so pack is chosen to be just these.
    """

    address: str | None = None
    cpus_per_trial: int = 1
    gpus_per_trial: float | None = None
    max_concurrent: int | None = None
    pack: int | None = None
    verbose: bool = False


@dataclass(frozen=True)
class Node:
    node_id: str
    address: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Cluster:
    """The machines that are there, and what one trial takes of them. pack: slots of a device's trainer, 0: none."""

    nodes: list[Node]
    cpus_per_trial: float
    gpus_per_trial: float
    slots: int
    n_threads: int
    pack: int = 0

    @property
    def device(self) -> str:
        return "cuda" if self.gpus_per_trial else "cpu"

    def describe(self) -> str:
        """One line for a person."""
        cpus, gpus = sum(node.cpus for node in self.nodes), sum(node.gpus for node in self.nodes)
        where = f"{len(self.nodes)} node{'s' * (len(self.nodes) > 1)}, {cpus:g} CPUs, {gpus:g} GPUs"
        share = f"{self.cpus_per_trial:g} CPU" + (f" + {self.gpus_per_trial:g} GPU" if self.gpus_per_trial else "")
        together = f", up to {self.pack} training as one" if self.pack else ""
        return f"{where}; {self.slots} trials at a time, {share} each{together}"


def allot(request: Request, nodes: list[Node], capacity: list[Node]) -> Cluster:
    """Each trial's share. nodes: those that are there; capacity: those that an autoscaler may bring, else the same.

    Raises ClusterError where no node can hold a trial as it was asked for.
    """
    _check(request, capacity)
    pack = _pack(request, capacity)
    cpus, gpus = _packed_share(request, capacity, pack) if pack else _share(request, capacity)
    slots = sum(_slots(node, cpus, gpus, pack) for node in capacity)
    if not slots:
        raise ClusterError(f"no node has both {cpus:g} CPUs and {gpus:g} GPUs for a trial")
    n_threads = int(min(node.cpus for node in capacity if node.cpus)) if pack and not gpus else request.cpus_per_trial
    return Cluster(nodes, cpus, gpus, min(slots, request.max_concurrent or slots), n_threads, pack)


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
    """Trials to a device's pack, 0: each alone."""
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
    """Those whose GPUs trials can use; a cluster's head may have none of its CPUs to give."""
    return [node for node in capacity if node.gpus and node.cpus]


def _share(request: Request, capacity: list[Node]) -> tuple[float, float]:
    """Trials alone: GPUs as asked, otherwise such a share of one that every CPU is used, up to GPU_SHARE trials."""
    cpus, with_gpu = request.cpus_per_trial, _with_gpu(capacity)
    if request.gpus_per_trial is not None or not with_gpu:
        return cpus, request.gpus_per_trial or 0.0
    fitting = [node.cpus // cpus / node.gpus for node in with_gpu if node.cpus >= cpus]
    return cpus, 1 / max(1, min(GPU_SHARE, int(min(fitting, default=1))))


def _packed_share(request: Request, capacity: list[Node], pack: int) -> tuple[float, float]:
    """Trials of a trainer do nothing but wait for it, so `pack` of them share a GPU and its part of the CPUs."""
    with_gpu = _with_gpu(capacity) if request.gpus_per_trial != 0 else []
    if with_gpu:
        cpus = min(node.cpus / node.gpus for node in with_gpu) / pack
        return _rounded_down(min(1.0, cpus)), request.gpus_per_trial or _rounded_down(1 / pack)
    return _rounded_down(min(node.cpus for node in capacity if node.cpus) / pack), 0.0


def _rounded_down(amount: float) -> float:
    return max(1, int(amount * PRECISION)) / PRECISION


def _slots(node: Node, cpus: float, gpus: float, pack: int) -> int:
    """Trials that a node has room for; of a pack no more than its slots, though shares that are rounded down leave
    room for more."""
    by_cpu = int(node.cpus / cpus + 1e-9)
    if not gpus:
        return min(by_cpu, pack or by_cpu)
    to_a_gpu = int(1 / gpus + 1e-9)
    by_gpu = int(node.gpus) * min(to_a_gpu, pack or to_a_gpu) if gpus < 1 else int(node.gpus // gpus)
    return min(by_cpu, by_gpu)
