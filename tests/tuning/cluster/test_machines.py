"""What an autoscaler may bring, read from its configuration; and whether a pack fits on every GPU."""

from dataclasses import replace
from typing import Any

import pytest

from tuning.cluster.allot import Cluster, Node, Request, allot
from tuning.cluster.checks import check_memory
from tuning.cluster.machines import workers_of
from tuning.errors import ClusterError

HEAD = {"resources": {"CPU": 0}}


def config(max_workers: int | None = None, **types: Any) -> dict[str, Any]:
    limits = {} if max_workers is None else {"max_workers": max_workers}
    return {"head_node_type": "head", "available_node_types": {"head": HEAD, **types}, **limits}


def sizes(nodes: list[Node]) -> list[tuple[str, float, float]]:
    return [(node.address, node.cpus, node.gpus) for node in nodes]


def test_as_many_workers_may_come_as_their_type_and_the_cluster_allow() -> None:
    small, big = {"resources": {"CPU": 4}, "max_workers": 3}, {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 2}
    assert sizes(workers_of(config(9, small=small))) == [("small", 4, 0)] * 3
    assert sizes(workers_of(config(2, small=small))) == [("small", 4, 0)] * 2
    assert sizes(workers_of(config(4, small=small, big=big))) == [("big", 8, 1)] * 2 + [("small", 4, 0)] * 2


def test_ray_s_default_is_two_workers() -> None:
    """As its documentation of max_workers says."""
    assert sizes(workers_of(config(small={"resources": {"CPU": 4}}))) == [("small", 4, 0)] * 2


def test_workers_of_a_size_that_the_file_does_not_say_are_not_counted() -> None:
    assert workers_of(config(5, local={"resources": {}}, other={})) == []
    assert workers_of({}) == []


def on_gpus(*gigabytes: float) -> Cluster:
    nodes = [Node(f"n{i}", f"10.0.0.{i}", 16.0, 1.0, int(size * 2**30)) for i, size in enumerate(gigabytes)]
    return allot(Request(pack=8), nodes)


def test_a_pack_must_fit_on_the_smallest_kind_of_gpu() -> None:
    """Eight slots of 2 GiB are 16 GiB: 0.9 of 24 GiB is enough, 0.9 of 16 GiB is 14.4, which holds 7."""
    check_memory(on_gpus(80, 24), 2 * 2**30)
    fault = (
        r"^--pack 8: so many of the widest trials take 16\.0 GiB, a GPU of 10\.0\.0\.1 has 16\.0 GiB; allowed: up to 7"
    )
    with pytest.raises(ClusterError, match=fault):
        check_memory(on_gpus(80, 16, 24), 2 * 2**30)


def test_a_gpu_that_no_trial_uses_may_be_small() -> None:
    cluster = on_gpus(80, 16)
    cpus_gone = [cluster.nodes[0], replace(cluster.nodes[1], cpus=0.0)]
    check_memory(replace(cluster, nodes=cpus_gone), 2 * 2**30)
