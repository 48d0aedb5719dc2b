"""Checks before a sweep starts: every node sees the storage, and a pack fits on a GPU."""

import uuid
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tuning.cluster.allot import Cluster, Node
from tuning.errors import ClusterError, StorageError
from tuning.store.place import SweepStorage

NODE_SECONDS = 60  # a node has this long to say whether it sees the storage
MEMORY_SHARE = 0.9  # of a GPU's memory, for packs; CUDA itself and the images take the rest


def check_storage(cluster: Cluster, storage: SweepStorage) -> None:
    """Make every node read and write a file beside the workers' files. Raises StorageError naming those that cannot."""
    if len(cluster.nodes) < 2 or storage.uri:
        return
    folder = storage.folder
    marker = folder / f".check-{uuid.uuid4().hex}"
    marker.write_text("driver")
    try:
        answers = [(node, _probe_on(node, marker)) for node in cluster.nodes]  # ask all nodes, then wait for each
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
    """Check that a full pack of the widest trials fits on a GPU. Raises ClusterError."""
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
