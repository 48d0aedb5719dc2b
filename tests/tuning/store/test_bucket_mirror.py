"""A sweep whose place is a bucket: its storage on this machine, a mirror, and on others; against a real S3 server."""

from pathlib import Path

import pytest

from tests.material.ledgers import new_trial
from tests.material.s3 import S3, fixture_s3, fixture_s3_server  # noqa: F401 - fixtures
from tuning.errors import StorageError
from tuning.layout import MANIFEST_FILE, MIRROR_FILE
from tuning.store import bucket as bucket_module
from tuning.store.bucket import Bucket, bucket_at
from tuning.store.ledger import Ledger, read_trials
from tuning.store.place import (
    SweepStorage,
    created,
    held,
    locate,
    open_existing,
    refuse_existing,
)

NO_BYTES = 0


@pytest.fixture
def storage(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepStorage:
    monkeypatch.chdir(tmp_path)
    return locate(s3.uri, "x")


def propose(storage: SweepStorage, number: int = 0) -> None:
    Ledger(storage.place).proposed(new_trial(number))
    storage.place.put(MANIFEST_FILE, b"{}")


def elsewhere(storage: SweepStorage, tmp_path: Path) -> SweepStorage:
    """The same sweep on another machine."""
    bucket_at.cache_clear()
    return SweepStorage(tmp_path / "elsewhere" / "x", storage.uri)


def test_a_new_sweep_has_a_mirror_that_says_what_it_is(storage: SweepStorage) -> None:
    with created(storage, NO_BYTES):
        propose(storage)
    note = (storage.folder / MIRROR_FILE).read_text()
    assert note.startswith(f"{storage.folder}: only a mirror, for TensorBoard; the sweep is in {storage.uri}")
    with pytest.raises(
        StorageError, match=r"only a mirror, for TensorBoard; the sweep is in s3://.*: add --storage s3://"
    ):
        open_existing(SweepStorage(storage.folder))


def test_a_sweep_that_fails_before_its_first_trial_leaves_nothing_of_its_own(storage: SweepStorage) -> None:
    with pytest.raises(ZeroDivisionError, match="division"), created(storage, NO_BYTES):  # noqa: PT012
        storage.place.put(MANIFEST_FILE, b"{}")
        Bucket(storage.uri).put("notes.txt", b"somebody else's")
        print(1 / 0)
    assert Bucket(storage.uri).list("") == ["notes.txt"]
    assert not storage.folder.exists()


def test_a_resumed_sweep_keeps_everything_whatever_happens(storage: SweepStorage) -> None:
    with created(storage, NO_BYTES):
        storage.place.put(MANIFEST_FILE, b"{}")
        storage.trial_files("0000").write("model.safetensors", b"weights")
        propose(storage)
    before = set(storage.place.list(""))
    with pytest.raises(ZeroDivisionError, match="division"), held(storage):
        print(1 / 0)
    assert before <= set(storage.place.list(""))
    assert storage.folder.exists()


def test_a_sweep_in_the_bucket_is_not_started_anew_from_another_machine(storage: SweepStorage, tmp_path: Path) -> None:
    with created(storage, NO_BYTES):
        propose(storage)
    there = elsewhere(storage, tmp_path)
    with pytest.raises(StorageError, match="--name x: a sweep of that name is in s3://"):
        refuse_existing(there)
    with pytest.raises(StorageError, match="a sweep of that name is in"), created(there, NO_BYTES):
        pass
    assert not there.folder.exists()


def test_a_name_that_a_killed_driver_has_only_claimed_is_told_with_what_to_remove(storage: SweepStorage) -> None:
    """It could not be resumed either, and each message named the other way out."""
    holds = created(storage, NO_BYTES)
    holds.__enter__()
    bucket = Bucket(storage.uri)
    claim = bucket.list("")
    fault = rf"--name x: {storage.uri} has {claim[0]} and no manifest\.json: .* choose another --name, or remove"
    with pytest.raises(StorageError, match=fault):
        refuse_existing(storage)
    bucket.delete(claim)
    refuse_existing(storage)


def test_a_machine_with_an_older_mirror_resumes_the_buckets_longer_history(
    storage: SweepStorage, tmp_path: Path
) -> None:
    """Once 34 ledger lines became 4: the old mirror was pushed over the bucket."""
    with created(storage, NO_BYTES):
        propose(storage)
    there = elsewhere(storage, tmp_path)
    open_existing(there)
    with held(there):
        for number in range(1, 5):
            propose(there, number)
    bucket_at.cache_clear()
    with held(storage):
        assert len(read_trials(storage.place)) == 5
        propose(storage, 5)
    assert [record.trial_id for record in read_trials(Bucket(storage.uri))] == [f"{n:04d}" for n in range(6)]


def test_the_ended_trials_that_a_mirror_does_not_show_are_named(storage: SweepStorage) -> None:
    records = [new_trial(number) for number in range(3)]
    records[0].state = records[1].state = "complete"
    shown = storage.folder / records[0].folder / "events.out.tfevents.1"
    shown.parent.mkdir(parents=True)
    shown.write_bytes(b"")
    assert storage.not_mirrored(records) == [records[1]]
    assert SweepStorage(storage.folder).not_mirrored(records) == []


def test_where_a_sweep_of_its_own_lies_no_mirror_is_made(storage: SweepStorage) -> None:
    bucket = Bucket(storage.uri)
    bucket.put(MANIFEST_FILE, b"{}")
    storage.folder.mkdir(parents=True)
    (storage.folder / MANIFEST_FILE).write_text("mine")
    with pytest.raises(StorageError, match="a sweep of its own, where the mirror of s3://"):
        open_existing(storage)
    assert [path.name for path in storage.folder.iterdir()] == [MANIFEST_FILE]


def test_a_report_takes_the_place_of_the_one_before_and_touches_nothing_else(storage: SweepStorage) -> None:
    bucket = Bucket(storage.uri)
    for name in ("report/old.png", "report/sheet.png", "reports/other", "ledger/00000001.jsonl"):
        bucket.put(name, b"before")
    for name in ("report/sheet.png", "report/rank_1/a.png", "ledger.jsonl"):
        (storage.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (storage.folder / name).write_bytes(b"now")
    storage.publish("best", "report")
    assert {name: bucket.get(name) for name in bucket.list("")} == {
        "ledger/00000001.jsonl": b"before",
        "report/rank_1/a.png": b"now",
        "report/sheet.png": b"now",
        "reports/other": b"before",
    }


def test_the_names_of_the_sweeps_that_there_are_stand_in_the_refusal(storage: SweepStorage, s3: S3) -> None:
    for name in ("beta", "alpha"):
        Bucket(f"{s3.uri}/{name}").put(MANIFEST_FILE, b"{}")
    Bucket(f"{s3.uri}/photos").put("a.png", b"")
    with pytest.raises(StorageError, match=r"x: not a sweep, it has no manifest\.json; sweeps there: alpha, beta"):
        open_existing(storage)


def test_keys_of_the_users_aws_files_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_PROFILE", "lab")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (tmp_path / "credentials").write_text("[lab]\naws_access_key_id = mine\naws_secret_access_key = hidden\n")
    (tmp_path / "config").write_text("[profile lab]\nregion = eu-west-3\n")
    config = bucket_module.open_store("s3://bucket/x").config
    assert (config["access_key_id"], config["region"]) == ("mine", "eu-west-3")
