"""Sweeps in a bucket, from their command to their report, against a real S3 server on loopback."""

import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.material.s3 import S3, fixture_s3, fixture_s3_server  # noqa: F401 - fixtures
from tests.material.sweeps import run, start, succeed
from tuning.store.bucket import Bucket
from tuning.store.ledger import read_trials

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

N_TRIALS, N_EPOCHS = 4, 60
SETTINGS = ("--set", "scheduler.type=none", "--set", "sampler.type=random", "--seed", "5", "--epochs", str(N_EPOCHS))
RUN = ("--top-k", "1", "--max-concurrent", "2")
NEW = ("--space", "quick", "--name", "it", "--trials", str(N_TRIALS), *SETTINGS, *RUN)
RESUME = ("--resume", "it", *RUN)


@pytest.fixture
def bucket(s3: S3) -> Bucket:
    """The bucket of sweep `it`, to look at."""
    return Bucket(f"{s3.uri}/it")


def events(bucket: Bucket, event: str) -> list[str]:
    found = [json.loads(line) for _, line in bucket.events()]
    return [line["trial"] for line in found if line["event"] == event]


def has_finished(bucket: Bucket, n_trials: int) -> Callable[[], bool]:
    def happened() -> bool:
        time.sleep(0.5)  # each look reads the whole ledger from a small server that the sweep needs as well
        return len(events(bucket, "finished")) >= n_trials

    return happened


def assert_whole(bucket: Bucket, n_trials: int = N_TRIALS) -> None:
    expected = [f"{number:04d}" for number in range(n_trials)]
    assert events(bucket, "proposed") == expected
    assert sorted(events(bucket, "finished")) == expected
    trials = read_trials(bucket)
    assert {record.state for record in trials} == {"complete"}
    assert all([metrics.epoch for metrics in record.history] == list(range(1, N_EPOCHS + 1)) for record in trials)


def test_a_sweep_in_a_bucket_has_all_its_files_there_and_its_report(tmp_path: Path, s3: S3, bucket: Bucket) -> None:
    ended = succeed(*NEW, "--storage", s3.uri, cwd=tmp_path)
    assert f"TensorBoard reads runs/it, a mirror; the sweep itself is in {s3.uri}/it\n" in ended.stdout
    assert_whole(bucket)
    names = bucket.list("")
    of_a_trial = {"config.json", "metrics.jsonl", "model.safetensors", "snapshots.zip"}
    assert of_a_trial <= {name.removeprefix("trials/0002/") for name in names if name.startswith("trials/0002/")}
    assert not [name for name in names if name.endswith("/checkpoint.safetensors")]
    for name in ("manifest.json", "leaderboard.csv", "study.journal", "best/1/model.safetensors", "report/summary.md"):
        assert name in names
    mirror = {str(path.relative_to(tmp_path / "runs" / "it")) for path in (tmp_path / "runs" / "it").rglob("*")}
    assert not {"manifest.json", "ledger.jsonl", "trials/0000/model.safetensors"} & mirror
    assert any(name.startswith("trials/0000/events.out.tfevents") for name in mirror)
    _report_from_elsewhere(tmp_path, s3, bucket)
    _resumed_elsewhere(tmp_path, s3)


def _resumed_elsewhere(tmp_path: Path, s3: S3) -> None:
    """A whole sweep resumed on a machine that has never seen it needs no Ray, and its mirror has every trial."""
    other = tmp_path / "other"
    other.mkdir()
    ended = succeed(*RESUME, "--storage", s3.uri, cwd=other)
    assert f"{N_TRIALS} of {N_TRIALS} trials are finished" in ended.stdout
    assert "Ray" not in ended.stdout
    shown = {path.parent.name for path in (other / "runs" / "it" / "trials").glob("*/events.out.tfevents*")}
    assert shown == {f"{number:04d}" for number in range(N_TRIALS)}
    assert (other / "runs" / "it" / "report" / "summary.md").is_file()


def _report_from_elsewhere(tmp_path: Path, s3: S3, bucket: Bucket) -> None:
    """--report on a machine that has never seen the sweep writes the report and nothing else."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    before = {name: bucket.get(name) for name in bucket.list("") if not name.startswith(("best/", "report/"))}
    succeed("--report", "it", "--storage", s3.uri, "--top-k", "2", cwd=elsewhere)
    assert (elsewhere / "runs" / "it" / "report" / "summary.md").is_file()
    assert {"best/1/metrics.json", "best/2/metrics.json", "report/best_2/samples.png"} <= set(bucket.list(""))
    assert before == {name: bucket.get(name) for name in bucket.list("") if not name.startswith(("best/", "report/"))}


def test_a_driver_that_is_killed_is_followed_on_another_machine(tmp_path: Path, s3: S3, bucket: Bucket) -> None:
    """With kill -9 of the driver and all its workers, and with an older mirror of the sweep on the other machine."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    with start(*NEW, "--storage", s3.uri, cwd=here) as process:
        process.until(lambda: (here / "runs" / "it" / "study.journal").exists(), "mirror")
        shutil.copytree(here, there)
        process.until(has_finished(bucket, 1), "end of a trial")
        process.kill_session()
    n_before = len(bucket.list("ledger/"))
    ended = succeed(*RESUME, "--storage", s3.uri, cwd=there)
    assert re.search(rf"Resuming it: [1-{N_TRIALS}] of {N_TRIALS} trials are finished", ended.stdout)
    assert len(bucket.list("ledger/")) > n_before
    assert_whole(bucket)
    shown = {path.parent.name for path in (there / "runs" / "it" / "trials").glob("*/events.out.tfevents*")}
    assert shown == {f"{number:04d}" for number in range(N_TRIALS)}


def test_a_cut_network_is_waited_out(tmp_path: Path, s3: S3, bucket: Bucket) -> None:
    with start(*NEW, "--storage", s3.uri, cwd=tmp_path) as process:
        process.until(has_finished(bucket, 1), "end of a trial")
        s3.cable.cut()
        try:
            process.until(lambda: "does not answer" in process.stderr(), "word of the cut")
        finally:
            s3.cable.mend()
        ended = process.wait()
    assert ended.code == 0, ended.told
    lines = ended.stderr.splitlines()
    assert [line.partition(" (")[0] for line in lines[:1]] == [f"{s3.uri}/it does not answer"]
    assert re.fullmatch(rf"{s3.uri}/it answers again after \d+ s", lines[1])
    assert len(lines) == 2
    assert_whole(bucket)


def test_ctrl_c_ends_a_sweep_that_waits_for_the_network(tmp_path: Path, s3: S3, bucket: Bucket) -> None:
    with start(*NEW, "--storage", s3.uri, cwd=tmp_path) as process:
        process.until(has_finished(bucket, 1), "end of a trial")
        s3.cable.cut()
        try:
            process.until(lambda: "does not answer" in process.stderr(), "word of the cut")
            process.press_ctrl_c()
            ended = process.wait(60)
        finally:
            s3.cable.mend()
    assert ended.code == 130, ended.told
    assert "Traceback" not in ended.stderr
    succeed(*RESUME, "--storage", s3.uri, cwd=tmp_path)
    assert_whole(bucket)


def test_of_two_drivers_the_first_stops_in_one_line_and_every_trial_ends_once(
    tmp_path: Path, s3: S3, bucket: Bucket
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    with start(*NEW, "--storage", s3.uri, cwd=here) as first:
        first.until(has_finished(bucket, 1), "end of a trial")
        with start(*RESUME, "--storage", s3.uri, cwd=there) as second:
            lost = first.wait()
            ended = second.wait()
    assert lost.code == 2, lost.told
    assert lost.stderr == f"{s3.uri}/it: another driver has taken this sweep over; this one stops\n"
    assert ended.code == 0, ended.told
    assert_whole(bucket)


def test_a_bucket_where_nothing_is_is_one_line(tmp_path: Path, s3: S3) -> None:
    ended = run(*RESUME, "--storage", s3.uri, cwd=tmp_path)
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr == f"{s3.uri}/it: not a sweep, it has no manifest.json; there is no sweep there\n"
    assert not (tmp_path / "runs").exists()


def test_a_sweep_that_is_stopped_before_its_first_trial_leaves_nothing_in_the_bucket(
    tmp_path: Path, s3: S3, bucket: Bucket
) -> None:
    with start(*NEW, "--storage", s3.uri, cwd=tmp_path) as process:
        process.until(lambda: "Starting Ray" in process.stdout(), "start")
        process.send(signal.SIGINT)
        ended = process.wait()
    assert ended.code == 130, ended.told
    assert bucket.list("") == []
    assert not (tmp_path / "runs" / "it").exists()
