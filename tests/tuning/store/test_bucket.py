"""A sweep's place in a bucket, against a real S3 server on loopback."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import obstore
import pytest

from tests.material.epochs import of_elbo
from tests.material.ledgers import finish, new_trial, train
from tests.material.paths import REPOSITORY
from tests.material.s3 import S3, fixture_s3, fixture_s3_server  # noqa: F401 - fixtures
from tuning.errors import StorageError
from tuning.store import bucket as bucket_module
from tuning.store.bucket import Bucket
from tuning.store.ledger import Ledger, read_trials
from tuning.store.place import (
    SweepStorage,
    locate,
)


@pytest.fixture
def uri(s3: S3) -> str:
    return f"{s3.uri}/x"


def a_driver(uri: str, said: list[str] | None = None, is_new: bool = False) -> Bucket:
    """The bucket as one driver has it who has claimed the sweep."""
    bucket = Bucket(uri, [].append if said is None else said.append)
    bucket.claim(is_new)
    return bucket


def in_a_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def until(happened: Callable[[], Any], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ---------------------------------------------------------------- whole objects


def test_an_object_is_read_as_it_was_put(uri: str) -> None:
    bucket = Bucket(uri)
    assert bucket.get("trials/0000/model.safetensors") is None
    for content in (b"", b"\0\xff" * 70_000, b"short"):
        bucket.put("trials/0000/model.safetensors", content)
        assert bucket.get("trials/0000/model.safetensors") == content
    bucket.put("trials/0001/config.json", b"{}")
    assert bucket.list("trials/") == ["trials/0000/model.safetensors", "trials/0001/config.json"]
    bucket.delete(["trials/0000/model.safetensors", "never/there"])
    assert bucket.list("") == ["trials/0001/config.json"]


def test_the_files_of_a_trial_are_objects_below_its_name(uri: str, tmp_path: Path) -> None:
    files = SweepStorage(tmp_path / "x", uri).trial_files("0007")
    assert files.read("checkpoint.safetensors") is None
    files.write("checkpoint.safetensors", b"weights")
    assert Bucket(uri).get("trials/0007/checkpoint.safetensors") == b"weights"


def test_of_many_uploads_of_one_name_the_last_one_stays(uri: str) -> None:
    bucket = a_driver(uri)
    for number in range(50):
        bucket.put_later("leaderboard.csv", str(number).encode())
    bucket.close()
    assert bucket.get("leaderboard.csv") == b"49"


def test_a_bucket_that_does_not_exist_or_whose_server_is_away_is_one_line(s3: S3) -> None:
    with pytest.raises(StorageError, match=r"^--storage s3://no-such-bucket/x: cannot be reached \(.*NoSuchBucket"):
        locate("s3://no-such-bucket/x", "x")
    s3.cable.cut()
    try:
        with pytest.raises(StorageError, match=r"--storage s3://.*: cannot be reached \(.*\)$") as refused:
            locate(s3.uri, "x")
    finally:
        s3.cable.mend()
    assert "\n" not in str(refused.value)


# ---------------------------------------------------------------- the ledger as a sequence of objects


def test_what_a_driver_writes_is_read_in_order(uri: str) -> None:
    bucket = a_driver(uri)
    ledger, records = Ledger(bucket), [new_trial(number) for number in range(3)]
    for record in records:
        ledger.proposed(record)
    train(ledger, records[0])
    finish(ledger, records[0])
    train(ledger, records[1], 2)
    finish(ledger, records[1], "failed", "RuntimeError: x")
    train(ledger, records[2], 1)
    ledger.close()
    assert read_trials(Bucket(uri)) == records
    names = bucket.list("ledger/")
    assert names == [f"ledger/{number:08d}.jsonl" for number in range(1, len(names) + 1)]
    assert len(names) <= 1 + 2 * len(records) + 1  # the claim, two for each trial, and what was left at the end


def test_a_proposal_and_an_end_are_in_the_bucket_at_once(uri: str) -> None:
    """As kill -9 after each would find it."""
    bucket = a_driver(uri)
    ledger, record = Ledger(bucket), new_trial(0)
    ledger.proposed(record)
    assert [found.trial_id for found in read_trials(Bucket(uri))] == ["0000"]
    train(ledger, record)
    finish(ledger, record)
    assert read_trials(Bucket(uri)) == [record]


def test_the_metrics_of_a_trial_are_in_the_bucket_before_its_end(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, order = a_driver(uri), []
    put = obstore.put
    monkeypatch.setattr(
        bucket_module.obstore, "put", lambda store, name, *a, **k: order.append(name) or put(store, name, *a, **k)
    )
    ledger, record = Ledger(bucket), new_trial(0)
    ledger.proposed(record)
    ledger.started(record)
    record.history.append(of_elbo(1))
    ledger.epoch(record, of_elbo(1))
    finish(ledger, record)
    named = [name for name in order if "metrics" in name or name.startswith("ledger/")]
    assert named[-2:] == ["trials/0000/metrics.jsonl", "ledger/00000003.jsonl"]


def test_what_a_checkpoint_repeats_goes_up_with_it(uri: str) -> None:
    bucket = a_driver(uri)
    ledger, record = Ledger(bucket), new_trial(0)
    ledger.proposed(record)
    train(ledger, record, 2)
    until(lambda: len(read_trials(Bucket(uri))[0].history) == 2)


def test_a_trial_that_goes_on_adds_to_the_metrics_that_it_had(uri: str) -> None:
    first, record = Ledger(a_driver(uri)), new_trial(0)
    first.proposed(record)
    train(first, record, 2)
    first.close()
    (again,) = read_trials(Bucket(uri))
    second = Ledger(a_driver(uri))
    train(second, again)
    finish(second, again)
    assert [one.epoch for one in read_trials(Bucket(uri))[0].history] == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("ledger/00000003.jsonl", None, "ledger/00000003.jsonl: missing; the ledger goes on to ledger/00000004.jsonl"),
        ("ledger/00000002.jsonl", b"{\n", "ledger/00000002.jsonl: line 1 is not JSON"),
        ("ledger/00000002.jsonl", b"3\n", "ledger/00000002.jsonl: line 1 is not one of its events"),
        ("trials/0000/metrics.jsonl", b"[]\n", "trials/0000/metrics.jsonl: line 1 is not an epoch's metrics"),
    ],
)
def test_a_damaged_object_is_named(uri: str, name: str, content: bytes | None, told: str) -> None:
    bucket = a_driver(uri)
    ledger = Ledger(bucket)
    for number in range(3):
        ledger.proposed(new_trial(number))
    ledger.close()
    bucket.delete([name])
    if content is not None:
        bucket.put(name, content)
    with pytest.raises(StorageError, match=told):
        read_trials(Bucket(uri))


def test_a_long_ledger_is_read_from_a_digest_and_the_objects_after_it(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Across a resume too, and after a digest was lost."""
    monkeypatch.setattr(bucket_module, "DIGEST_EVERY", 4)
    first = a_driver(uri, is_new=True)
    ledger, records = Ledger(first), [new_trial(number) for number in range(12)]
    for record in records[:5]:
        ledger.proposed(record)
    ledger.close()
    second = a_driver(uri)
    assert read_trials(second) == records[:5]
    ledger = Ledger(second)
    for record in records[5:]:
        ledger.proposed(record)
    ledger.close()
    assert second.list("digests/") == [f"digests/{number:08d}.jsonl" for number in (4, 8, 12)]
    asked: list[str] = []
    reader = Bucket(uri)
    get = reader.get
    monkeypatch.setattr(reader, "get", lambda name: asked.append(name) or get(name))
    assert read_trials(reader) == records
    assert [name for name in sorted(asked) if not name.startswith("trials/")] == [
        "digests/00000012.jsonl",
        "ledger/00000013.jsonl",
        "ledger/00000014.jsonl",
    ]
    second.delete(["digests/00000012.jsonl"])
    assert read_trials(Bucket(uri)) == records


# ---------------------------------------------------------------- two drivers


def test_the_driver_that_a_second_one_has_followed_stops_with_its_next_event(uri: str) -> None:
    first = a_driver(uri)
    ledger = Ledger(first)
    ledger.proposed(new_trial(0))
    second = Ledger(a_driver(uri))
    with pytest.raises(StorageError, match=f"{uri}: another driver has taken this sweep over; this one stops"):
        ledger.proposed(new_trial(1))
    second.proposed(new_trial(1))
    assert [record.trial_id for record in read_trials(Bucket(uri))] == ["0000", "0001"]


def test_the_driver_that_has_lost_a_sweep_writes_nothing_more(uri: str) -> None:
    first = a_driver(uri)
    ledger = Ledger(first)
    ledger.proposed(new_trial(0))
    a_driver(uri)
    with pytest.raises(StorageError, match="another driver"):
        ledger.proposed(new_trial(1))
    before = first.list("")
    with pytest.raises(StorageError, match="another driver"):
        first.put("leaderboard.csv", b"old")
    ledger.close()
    assert first.list("") == before


def test_of_many_drivers_that_come_at_once_each_number_has_one_writer(uri: str) -> None:
    """Each claims and proposes until it is told to stop: every event is there once and none is written over."""
    stopped: list[str] = []
    written: list[str] = []

    def drive(number: int) -> None:
        try:
            ledger = Ledger(a_driver(uri))
            for trial in range(number * 100, number * 100 + 5):
                ledger.proposed(new_trial(trial))
                written.append(f"{trial:04d}")
        except StorageError as error:
            stopped.append(str(error))

    for thread in [in_a_thread(lambda n=n: drive(n)) for n in range(8)]:
        thread.join(60)
    found = [record.trial_id for record in read_trials(Bucket(uri))]
    assert sorted(found) == sorted(written)
    assert len(found) >= 5
    assert stopped
    assert all("another driver has taken this sweep over" in line for line in stopped)


def test_two_new_sweeps_of_one_name_do_not_both_begin(uri: str) -> None:
    a_driver(uri, is_new=True)
    with pytest.raises(StorageError, match="another driver has taken this sweep over"):
        a_driver(uri, is_new=True)


def test_a_server_that_ignores_conditions_is_refused(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put = obstore.put
    monkeypatch.setattr(
        bucket_module.obstore, "put", lambda store, name, content, mode="overwrite": put(store, name, content)
    )
    with pytest.raises(StorageError, match="its server ignores conditional writes"):
        a_driver(uri)


def test_a_put_whose_answer_was_lost_is_known_as_its_own(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt arrives, its answer does not, and the second meets the first one's object."""
    bucket, put = a_driver(uri), obstore.put

    def lossy(store: Any, name: str, content: bytes, **mode: Any) -> Any:
        put(store, name, content, **mode)
        monkeypatch.setattr(bucket_module.obstore, "put", put)
        raise obstore.exceptions.GenericError("the connection was lost")

    monkeypatch.setattr(bucket_module.obstore, "put", lossy)
    ledger, record = Ledger(bucket), new_trial(0)
    monkeypatch.setattr(bucket, "put_later", lambda *_: None)
    ledger.proposed(record)
    ledger.proposed(new_trial(1))
    assert len(read_trials(Bucket(uri))) == 2


WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.material.ledgers import finish, new_trial, train
from tuning.store.bucket import Bucket
from tuning.store.ledger import Ledger, read_trials
bucket = Bucket(sys.argv[2])
bucket.claim(False)
past, ledger = read_trials(bucket), Ledger(bucket)
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    record = past[number] if number < len(past) else new_trial(number)
    if number >= len(past):
        ledger.proposed(record)
    if record.state == "running":
        train(ledger, record)
        finish(ledger, record)
ledger.close()
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_writer_killed_again_and_again_finishes_every_trial_exactly_once(uri: str) -> None:
    n_trials, n_kills = 60, 5
    for attempt in range(n_kills + 1):
        command = [sys.executable, "-c", WRITER, str(REPOSITORY), uri, str(n_trials)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            if attempt < n_kills:
                time.sleep(0.05 + 0.03 * attempt)
                process.kill()
        found = read_trials(Bucket(uri))
        assert all(len(record.history) == 3 for record in found if record.state == "complete")
    assert process.returncode == 0
    lines = [json.loads(line) for _, line in Bucket(uri).events()]
    for event in ("proposed", "finished"):
        assert [line["trial"] for line in lines if line["event"] == event] == [f"{n:04d}" for n in range(n_trials)]


# ---------------------------------------------------------------- a network that is cut


def test_a_cut_network_is_waited_out_and_told_of_in_one_line_each_way(s3: S3, uri: str) -> None:
    said: list[str] = []
    bucket = a_driver(uri, said)
    ledger = Ledger(bucket)
    s3.cable.cut()
    try:
        writing = in_a_thread(lambda: ledger.proposed(new_trial(0)))
        until(lambda: said)
        writing.join(3.0)  # several attempts later
        assert writing.is_alive()
        assert len(said) == 1
    finally:
        s3.cable.mend()
    writing.join(30)
    assert not writing.is_alive()
    assert said[0].startswith(f"{uri} does not answer (")
    assert said[0].endswith("): the sweep waits for it; Ctrl-C stops the sweep")
    assert said[1].startswith(f"{uri} answers again after ")
    assert len(said) == 2
    assert [record.trial_id for record in read_trials(Bucket(uri))] == ["0000"]


WAITER = """
import sys
sys.path.insert(0, sys.argv[1])
import signal
signal.signal(signal.SIGINT, lambda *_: None)  # as Ray Tune's handler, which only sets a flag
from tuning.store.bucket import Bucket
bucket = Bucket(sys.argv[2])
bucket.claim(False)
bucket.put_later("leaderboard.csv", b"old")
print("ready", flush=True)
sys.stdin.readline()
bucket.put_later("leaderboard.csv", b"new")
try:
    bucket.append(b"{}\\n")
except KeyboardInterrupt:
    print("interrupted", flush=True)
    bucket.close()
"""


def test_ctrl_c_ends_the_wait_for_a_cut_network_and_leaves_no_thread_waiting(s3: S3, uri: str) -> None:
    command = [sys.executable, "-c", WAITER, str(REPOSITORY), uri]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, preexec_fn=_hear_ctrl_c) as process:
        assert process.stdout.readline() == "ready\n"
        s3.cable.cut()
        try:
            process.stdin.write("go\n")
            process.stdin.flush()
            assert "does not answer" in process.stderr.readline()
            time.sleep(1.0)
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted\n"
            assert process.wait(20) == 0
        finally:
            process.kill()
            s3.cable.mend()


def test_a_sweep_that_was_stopped_does_not_wait_for_a_bucket_that_does_not_answer(s3: S3, uri: str) -> None:
    """Ctrl-C may come while only an upload waits: Tune then ends the sweep, and its last lines cannot be written."""
    bucket = a_driver(uri, is_new=True)
    bucket.append(b'{"event": "started"}\n', at_once=False)
    s3.cable.cut()
    try:
        bucket.put_later("leaderboard.csv", b"old")
        time.sleep(1.0)
        closing = in_a_thread(lambda: bucket.close(patient=False))
        closing.join(30)
        assert not closing.is_alive()
        bucket.put_later("leaderboard.csv", b"new")  # is dropped
    finally:
        s3.cable.mend()
    assert Bucket(uri).list("") == ["ledger/00000001.jsonl"]


def test_a_sweep_that_was_stopped_writes_its_last_lines_to_a_bucket_that_answers(uri: str) -> None:
    bucket = a_driver(uri, is_new=True)
    bucket.append(b'{"event": "started"}\n', at_once=False)
    bucket.put_later("leaderboard.csv", b"new")
    bucket.close(patient=False)
    assert Bucket(uri).list("") == ["leaderboard.csv", "ledger/00000001.jsonl", "ledger/00000002.jsonl"]


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
