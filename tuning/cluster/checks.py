"""Checks before a sweep starts: every node sees the storage, and a pack fits on every kind of GPU."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import ray

from tuning.cluster import job
from tuning.cluster.allot import Cluster, Node
from tuning.cluster.machines import ask, is_alive
from tuning.errors import ClusterError, StorageError
from tuning.layout import REPOSITORY
from tuning.store.place import SweepStorage

MEMORY_SHARE = 0.9  # of a GPU's memory, for packs; CUDA itself and the images take the rest


def check(cluster: Cluster, storage: SweepStorage, slot_bytes: int) -> None:
    """Everything about these machines that would make trials fail. Raises StorageError, ClusterError."""
    if cluster.joined:
        check_storage(cluster.nodes, storage)
    if cluster.pack and cluster.device == "cuda":
        check_memory(cluster, slot_bytes)


def check_storage(nodes: Sequence[Node], storage: SweepStorage) -> None:
    """Raises StorageError that names the nodes which cannot read and write the workers' files."""
    if storage.uri:
        return
    if job.is_job() and storage.folder.is_relative_to(REPOSITORY):
        raise StorageError(
            f"--storage {storage.folder.parent}: a job's working directory ends with the job; give a folder "
            "that all nodes mount (such as /mnt/shared/sweeps) or a bucket (s3://bucket/sweeps)"
        )
    if blind := blind_nodes(nodes, storage):
        raise StorageError(
            f"--storage {storage.folder.parent}: node {', '.join(node.address for node in blind)} cannot read and "
            "write it; on several nodes it must be a folder that all of them mount (such as /mnt/shared/sweeps) or a "
            "bucket (s3://bucket/sweeps)"
        )


def blind_nodes(nodes: Sequence[Node], storage: SweepStorage, over: Event | None = None) -> list[Node]:
    """The live nodes that do not see what the driver writes into the sweep's folder, or whose own files it does not
    see. over: see `ask`."""
    marker = storage.folder / f".check-{uuid.uuid4().hex}"
    marker.write_text("driver")
    try:
        answers = ask(nodes, _probe, str(marker), over=over)
        return [
            node
            for node, answer in zip(nodes, answers, strict=True)
            if (answer is not True or not marker.with_name(f"{marker.name}.{node.node_id}").exists()) and is_alive(node)
        ]
    finally:
        for path in storage.folder.glob(f"{marker.name}*"):
            path.unlink()


@ray.remote  # type: ignore[untyped-decorator]
def _probe(node_id: str, marker: str) -> bool:
    """On a node: read what the driver wrote, and write a file beside it."""
    path = Path(marker)
    try:
        if path.read_text() != "driver":
            return False
        path.with_name(f"{path.name}.{node_id}").write_text("worker")
    except OSError:
        return False
    return True


def check_memory(cluster: Cluster, slot_bytes: int) -> None:
    """A full pack of the widest trials must fit on the smallest GPU that trials use. Raises ClusterError."""
    with_gpu = [node for node in cluster.nodes if node.gpu_bytes and cluster.room(node)]
    smallest = min(with_gpu, key=lambda node: node.gpu_bytes, default=None)
    if smallest is not None and cluster.pack * slot_bytes > smallest.gpu_bytes * MEMORY_SHARE:
        fitting = int(smallest.gpu_bytes * MEMORY_SHARE / slot_bytes)
        raise ClusterError(
            f"--pack {cluster.pack}: so many of the widest trials take {cluster.pack * slot_bytes / 2**30:.1f} GiB, a "
            f"GPU of {smallest.address} has {smallest.gpu_bytes / 2**30:.1f} GiB; allowed: up to {fitting}, or off"
        )
