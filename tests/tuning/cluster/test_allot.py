"""tuning/cluster/allot.py against shares worked out by hand, and what must hold of any machines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.cluster.allot import MOST_SLOTS, Cluster, Node, Request, allot
from tuning.errors import ClusterError


def nodes(*sizes: tuple[float, float]) -> list[Node]:
    """Of (CPUs, GPUs) each."""
    return [Node(f"n{i}", f"10.0.0.{i}", float(cpus), float(gpus)) for i, (cpus, gpus) in enumerate(sizes)]


def on(*sizes: tuple[float, float], **asked: object) -> Cluster:
    machines = nodes(*sizes)
    return allot(Request(**asked), machines)  # type: ignore[arg-type]


def numbers(cluster: Cluster) -> tuple[float, float, int, int, int]:
    """CPUs and GPUs of a trial, trials at a time, threads, slots of a pack."""
    return cluster.cpus_per_trial, cluster.gpus_per_trial, cluster.slots, cluster.n_threads, cluster.pack


@pytest.mark.parametrize(
    ("sizes", "asked", "expected"),
    [
        # CPUs only: one trial and one thread to a core, packs only where they are asked for
        ([(4, 0)], {}, (1, 0, 4, 1, 0)),
        ([(4, 0)], {"cpus_per_trial": 2}, (2, 0, 2, 2, 0)),
        ([(4, 0)], {"cpus_per_trial": 3}, (3, 0, 1, 3, 0)),
        ([(4, 0)], {"max_concurrent": 3}, (1, 0, 3, 1, 0)),
        ([(4, 0)], {"max_concurrent": 30}, (1, 0, 4, 1, 0)),
        ([(4, 0)], {"pack": 0}, (1, 0, 4, 1, 0)),
        ([(4, 0)], {"pack": 4}, (1, 0, 4, 4, 4)),
        ([(4, 0)], {"pack": 16}, (0.25, 0, 16, 4, 16)),
        ([(4, 0)], {"pack": 3}, (1.3333, 0, 3, 4, 3)),
        ([(4, 0)], {"pack": 1}, (4, 0, 1, 4, 1)),
        # several nodes: what each has room for; a head may have no CPUs to give
        ([(4, 0), (8, 0)], {"cpus_per_trial": 3}, (3, 0, 3, 3, 0)),
        ([(0, 0), (8, 0)], {}, (1, 0, 8, 1, 0)),
        ([(0, 0), (8, 0)], {"pack": 4}, (2, 0, 4, 8, 4)),
        ([(4, 0), (64, 0)], {"pack": 4}, (1, 0, 8, 4, 4)),
        # one GPU, 16 CPUs: a pack of 32; alone, 8 at a time; and as asked
        ([(16, 1)], {}, (0.5, 0.0312, 32, 1, 32)),
        ([(64, 1)], {}, (1, 0.0312, 32, 1, 32)),
        ([(16, 1)], {"pack": 64}, (0.25, 0.0156, 64, 1, 64)),
        ([(16, 1)], {"pack": 1024}, (0.0156, 0.0009, 1024, 1, 1024)),
        ([(16, 1)], {"pack": 1}, (1, 1, 1, 1, 1)),
        ([(16, 1)], {"pack": 0}, (1, 1 / 8, 8, 1, 0)),
        ([(4, 1)], {"pack": 0}, (1, 1 / 4, 4, 1, 0)),
        ([(16, 1)], {"pack": 0, "cpus_per_trial": 4}, (4, 1 / 4, 4, 4, 0)),
        ([(16, 1)], {"pack": 0, "gpus_per_trial": 0.5}, (1, 0.5, 2, 1, 0)),
        ([(16, 1)], {"gpus_per_trial": 0}, (1, 0, 16, 1, 0)),
        ([(16, 1)], {"gpus_per_trial": 0, "pack": 16}, (1, 0, 16, 16, 16)),
        # a share that is given says how many train together
        ([(16, 1)], {"gpus_per_trial": 0.25}, (1, 0.25, 4, 1, 4)),
        ([(16, 1)], {"gpus_per_trial": 0.3}, (1, 0.3, 3, 1, 3)),
        ([(16, 1)], {"gpus_per_trial": 0.01}, (0.16, 0.01, 100, 1, 100)),
        ([(16, 1)], {"gpus_per_trial": 0.25, "pack": 4}, (1, 0.25, 4, 1, 4)),
        ([(16, 1)], {"gpus_per_trial": 1}, (1, 1, 1, 1, 0)),
        ([(16, 4)], {"gpus_per_trial": 2}, (1, 2, 2, 1, 0)),
        ([(16, 4)], {"gpus_per_trial": 0.6}, (1, 0.6, 4, 1, 0)),
        # several GPUs and nodes
        ([(16, 4)], {}, (0.125, 0.0312, 128, 1, 32)),
        ([(16, 1), (8, 1)], {}, (0.25, 0.0312, 64, 1, 32)),
        ([(16, 1), (8, 1)], {"pack": 0}, (1, 1 / 8, 16, 1, 0)),
        ([(16, 0), (8, 1)], {}, (0.25, 0.0312, 32, 1, 32)),
        ([(0, 1), (16, 1)], {}, (0.5, 0.0312, 32, 1, 32)),
        ([(0, 1), (16, 1)], {"pack": 0}, (1, 1 / 8, 8, 1, 0)),
        ([(0, 1), (16, 0)], {}, (1, 0, 16, 1, 0)),
        ([(2, 1), (16, 1)], {"pack": 0, "cpus_per_trial": 4}, (4, 1 / 4, 4, 4, 0)),
    ],
)
def test_shares_are_those_worked_out_by_hand(
    sizes: list[tuple[float, float]], asked: dict[str, object], expected: tuple[float, float, int, int, int]
) -> None:
    assert numbers(on(*sizes, **asked)) == pytest.approx(expected)


def test_what_an_autoscaler_may_bring_counts_and_the_nodes_are_those_that_are_there() -> None:
    there = nodes((0, 0))
    cluster = allot(Request(address="auto"), there, nodes((16, 1), (16, 1), (16, 1)))
    assert numbers(cluster) == (0.5, 0.0312, 96, 1, 32)
    assert cluster.nodes == there
    assert cluster.describe() == (
        "1 node, 0 CPUs, 0 GPUs, up to 3 workers as trials wait; 96 trials at a time, 0.5 CPU + 0.0312 GPU each, "
        "up to 32 training as one"
    )


def test_on_a_cluster_max_concurrent_above_what_fits_lets_trials_wait_for_workers() -> None:
    there = nodes((4, 0))
    assert allot(Request(max_concurrent=9), there).slots == 4
    cluster = allot(Request(address="auto", max_concurrent=9), there)
    assert (cluster.slots, cluster.grows) == (9, True)
    assert allot(Request(address="auto", max_concurrent=3), there).slots == 3


def test_where_no_node_has_a_cpu_max_concurrent_promises_workers() -> None:
    """KubeRay's head is one such: its autoscaler's configuration is no file on the head."""
    with pytest.raises(ClusterError, match=r"^no node of the cluster has a CPU .* or give --max-concurrent N"):
        allot(Request(address="auto"), nodes((0, 0)))
    assert numbers(allot(Request(address="auto", max_concurrent=6), nodes((0, 0)))) == (1, 0, 6, 1, 0)
    asked = Request(address="auto", max_concurrent=16, gpus_per_trial=0.125)
    assert numbers(allot(asked, nodes((0, 0)))) == (0.125, 0.125, 16, 1, 8)


def test_trials_at_a_time_follow_the_nodes_that_live() -> None:
    first, second = nodes((4, 0), (8, 0))
    cluster = allot(Request(address="auto"), [first])
    assert [cluster.slots_on(live) for live in ([first], [first, second], [second], [])] == [4, 12, 8, 1]
    limited = allot(Request(address="auto", max_concurrent=3), [first])
    assert limited.slots_on([first, second]) == 3
    growing = allot(Request(address="auto"), nodes((0, 0)), [second, second])
    assert [growing.slots_on(live) for live in ([], [second], [second] * 3)] == [16, 16, 24]


def test_nodes_that_stay_idle_are_named_with_what_would_use_them() -> None:
    assert on((16, 1), (8, 0), (0, 0)).notes == (
        "No trial runs on 10.0.0.1: each takes 0.5 CPU + 0.0312 GPU; "
        "with --gpus-per-trial 0 trials train on CPUs alone",
    )
    assert on((16, 0), (2, 0), cpus_per_trial=4).notes == ("No trial runs on 10.0.0.1: each takes 4 CPU",)
    assert on((16, 1), (8, 0), gpus_per_trial=0).notes == ()


def test_a_cluster_trains_on_gpus_where_its_trials_have_a_share_of_one() -> None:
    assert on((4, 1)).device == "cuda"
    assert on((4, 1), gpus_per_trial=0).device == on((4, 0), pack=4).device == "cpu"


def test_a_cluster_is_described_in_one_line() -> None:
    assert on((16, 1)).describe() == (
        "1 node, 16 CPUs, 1 GPUs; 32 trials at a time, 0.5 CPU + 0.0312 GPU each, up to 32 training as one"
    )
    assert on((4, 0), (4, 0)).describe() == "2 nodes, 8 CPUs, 0 GPUs; 8 trials at a time, 1 CPU each"


@pytest.mark.parametrize(
    ("sizes", "asked", "fault"),
    [
        ([(4, 0)], {"cpus_per_trial": 5}, r"^--cpus-per-trial 5: no node has as many; allowed: 1 to 4$"),
        ([(4, 0), (8, 0)], {"cpus_per_trial": 9}, r"^--cpus-per-trial 9: no node has as many; allowed: 1 to 8$"),
        ([(4, 0)], {"gpus_per_trial": 0.5}, r"^--gpus-per-trial 0\.5: there is no GPU here; allowed: 0$"),
        ([(4, 1)], {"gpus_per_trial": 2}, r"^--gpus-per-trial 2: no node has as many; allowed: 0 to 1$"),
        ([(0, 1), (4, 0)], {"gpus_per_trial": 0.5}, r"^--gpus-per-trial 0\.5: there is no GPU here; allowed: 0$"),
        ([(16, 0), (4, 1)], {"cpus_per_trial": 8, "pack": 0}, r"^no node has both 8 CPUs and 1 GPUs for a trial$"),
        (
            [(16, 1)],
            {"gpus_per_trial": 0.5, "pack": 16},
            r"^--pack 16 with --gpus-per-trial 0\.5: that is 2 to a GPU; give one of the two$",
        ),
        (
            [(16, 1)],
            {"gpus_per_trial": 1, "pack": 4},
            r"^--pack 4 with --gpus-per-trial 1: that is 1 to a GPU; give one of the two$",
        ),
    ],
)
def test_what_no_node_can_hold_is_refused_with_what_is_allowed(
    sizes: list[tuple[float, float]], asked: dict[str, object], fault: str
) -> None:
    with pytest.raises(ClusterError, match=fault):
        on(*sizes, **asked)


SIZES = st.tuples(st.integers(0, 200), st.integers(0, 16))
REQUESTS = st.builds(
    Request,
    cpus_per_trial=st.integers(1, 8),
    gpus_per_trial=st.none() | st.integers(0, 4) | st.floats(1e-4, 1),
    max_concurrent=st.none() | st.integers(1, 300),
    pack=st.none() | st.integers(0, MOST_SLOTS),
)


@given(sizes=st.lists(SIZES, min_size=1, max_size=4), request=REQUESTS)
def test_the_shares_of_all_trials_fit_on_every_node_and_a_share_is_never_nothing(
    sizes: list[tuple[int, int]], request: Request
) -> None:
    try:
        whole = on(*sizes, **vars(request))
    except ClusterError:
        return
    assert 1 <= whole.slots <= (request.max_concurrent or whole.slots)
    assert whole.n_threads >= 1
    assert whole.cpus_per_trial >= 1e-4
    assert whole.gpus_per_trial == 0 or whole.gpus_per_trial >= 1e-4
    assert whole.slots * whole.cpus_per_trial <= sum(cpus for cpus, _ in sizes) + 1e-6
    assert whole.slots * whole.gpus_per_trial <= sum(gpus for _, gpus in sizes) + 1e-6
    if whole.pack:
        assert whole.slots <= whole.pack * sum(max(1, gpus) for _, gpus in sizes)


@given(size=SIZES, request=REQUESTS)
def test_no_more_trials_than_fit_are_sent_to_a_node(size: tuple[int, int], request: Request) -> None:
    """Ray counts the shares; a GPU is not shared across its border with the next one."""
    try:
        here = on(size, **{**vars(request), "max_concurrent": None})
    except ClusterError:
        return
    assert here.slots * here.cpus_per_trial <= size[0] + 1e-6
    if 0 < here.gpus_per_trial < 1:
        assert here.slots <= size[1] * int(1 / here.gpus_per_trial + 1e-9)
    else:
        assert here.slots * here.gpus_per_trial <= size[1]


@given(cpus=st.integers(1, 256), gpus=st.integers(0, 8), pack=st.integers(1, MOST_SLOTS))
def test_a_node_holds_as_many_trials_of_a_pack_as_the_pack_has_slots(cpus: int, gpus: int, pack: int) -> None:
    expected = pack * max(1, gpus)
    if cpus >= expected / 5000:  # Ray counts in ten-thousandths of a CPU
        assert on((cpus, gpus), pack=pack).slots == expected
