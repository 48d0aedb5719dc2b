"""The files of a trial's attempts: each writes to a place of its own, and goes on from the one before."""

from pathlib import Path

import pytest

from tests.material.s3 import fixture_s3, fixture_s3_server  # noqa: F401 - fixtures
from tuning.store.place import SweepStorage

NAMES = ("checkpoint", "model", "snapshots")


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> SweepStorage:
    if request.param == "folder":
        return SweepStorage(tmp_path / "it")
    return SweepStorage(tmp_path / "it", f"{request.getfixturevalue('s3').uri}/it")


def test_the_next_attempt_has_what_the_one_before_left_and_removes_it_there(storage: SweepStorage) -> None:
    first, second = (storage.trial_files("0003", attempt) for attempt in (1, 2))
    first.write("model", b"epoch 3")
    first.write("checkpoint", b"epoch 5")
    assert second.read("checkpoint") == b"epoch 5"
    second.take_over(NAMES)
    assert storage.place.list("trials/") == ["trials/0003/attempt-2/checkpoint", "trials/0003/attempt-2/model"]
    assert [second.read(name) for name in NAMES] == [b"epoch 5", b"epoch 3", None]


def test_what_an_attempt_that_was_cut_off_still_writes_changes_no_later_one(storage: SweepStorage) -> None:
    first, second = (storage.trial_files("0003", attempt) for attempt in (1, 2))
    first.write("model", b"epoch 3")
    second.take_over(NAMES)
    second.write("model", b"epoch 9")
    first.write("model", b"epoch 4")
    assert second.read("model") == b"epoch 9"
    third = storage.trial_files("0003", 3)
    third.take_over(NAMES)
    assert third.read("model") == b"epoch 9"
    assert storage.place.list("trials/") == ["trials/0003/attempt-3/model"]


def test_an_attempt_that_ended_before_it_wrote_anything_is_passed_over(storage: SweepStorage) -> None:
    storage.trial_files("0003", 1).write("model", b"epoch 3")
    assert storage.trial_files("0003", 4).read("model") == b"epoch 3"
    assert storage.trial_files("0003", 4).read("checkpoint") is None


def test_taking_over_twice_keeps_what_was_written_since(storage: SweepStorage) -> None:
    """As when the trainer of a trial that was retried died and came back."""
    storage.trial_files("0003", 1).write("model", b"epoch 3")
    second = storage.trial_files("0003", 2)
    second.take_over(NAMES)
    second.write("model", b"epoch 9")
    second.take_over(NAMES)
    assert second.read("model") == b"epoch 9"


def test_a_first_attempt_takes_nothing_over(storage: SweepStorage) -> None:
    first = storage.trial_files("0003")
    first.write("model", b"epoch 3")
    first.take_over(NAMES)
    assert storage.place.list("trials/") == ["trials/0003/model"]


def test_what_a_killed_writer_left_half_written_goes_when_the_attempt_begins_again(storage: SweepStorage) -> None:
    """As when a trainer dies with the broker: another one takes the same attempt on."""
    first = storage.trial_files("0003")
    first.write("model", b"epoch 3")
    storage.place.put("trials/0003/.model.4711", b"half")
    first.take_over(NAMES)
    assert storage.place.list("trials/") == ["trials/0003/model"]


def test_what_a_killed_writer_left_half_written_goes_with_the_next_attempt(storage: SweepStorage) -> None:
    """A worker that dies between writing a file and renaming it leaves it beside."""
    storage.trial_files("0003", 1).write("model", b"epoch 3")
    storage.trial_files("0003", 2).write("model", b"epoch 4")
    for left in ("trials/0003/.model.4711", "trials/0003/attempt-2/.checkpoint.4711"):
        storage.place.put(left, b"half")
    storage.place.put("trials/0003/.notes", b"of the user")
    storage.trial_files("0003", 3).take_over(NAMES)
    assert storage.place.list("trials/") == ["trials/0003/.notes", "trials/0003/attempt-3/model"]
