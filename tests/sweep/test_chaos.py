"""A few runs of the chaos benchmark, with the schedules of one seed: in a folder, packed and in a bucket."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chaos.__main__ import chaos, total
from benchmarks.chaos.schedule import schedule
from tests.material import s3

SEED, RUNS = 1, (1, 2, 3)


@pytest.fixture
def root() -> Iterator[Path]:
    """Short, as Ray's sockets need it: a test's own folder is not."""
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.timeout(1500)  # three minutes on two idle cores
@pytest.mark.skipif(not s3.command(), reason="no moto_server: pip install 'moto[server]'")
def test_sweeps_under_a_seeded_schedule_of_faults_lose_nothing_and_have_nothing_twice(root: Path) -> None:
    results = list(chaos([schedule(SEED, run) for run in RUNS], SEED, root))
    assert [result.schedule.kind for result in results] == ["folder", "packed", "bucket"]
    for result in results:
        assert result.is_well, "\n".join([str(result.schedule), result.unexpected, *result.audit.told()])
    assert "120 of 120 trials finished exactly once; 0 lost, 0 twice" in total(results)
