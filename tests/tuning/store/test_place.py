import contextlib
import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from tests.material.paths import REPOSITORY
from tuning.errors import StorageError
from tuning.layout import LEDGER_FILE, MANIFEST_FILE
from tuning.records import TrialRecord
from tuning.store import place as place_module
from tuning.store.ledger import Ledger
from tuning.store.place import SweepStorage, created, held, held_part, is_held, locate, open_existing, refuse_existing
from vae.config import TrialConfig

NO_BYTES = 0


def propose(storage: SweepStorage) -> None:
    """What makes a sweep worth keeping: a trial in its ledger."""
    ledger = Ledger(storage.place)
    ledger.proposed(TrialRecord("0000", {}, TrialConfig()))
    ledger.close()


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a file system takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


# ---------------------------------------------------------------- names and places


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/x",
        "a\\b",
        "a..b",
        "-x",
        ".x",
        "a b",
        " a",
        "a\n",
        "~",
        "a*",
        "\N{SNOWMAN}",
        "x" * 101,
    ],
)
def test_a_name_that_is_no_plain_folder_name_is_refused(name: str) -> None:
    with pytest.raises(StorageError, match=f"--name {re.escape(name)}: allowed are up to 100 letters, digits"):
        locate(None, name)
    with pytest.raises(StorageError, match="allowed are up to 100 letters, digits"):
        locate("s3://bucket/sweeps", name)


@pytest.mark.parametrize("name", ["a", "beta_study-20260101-120000", "v1.2", "0", "x" * 100])
def test_a_plain_name_is_a_folder_of_the_storage(tmp_path: Path, name: str) -> None:
    assert locate(str(tmp_path), name) == SweepStorage(tmp_path / name)
    assert locate(f"file://{tmp_path}/", name) == SweepStorage(tmp_path / name)


def test_the_default_storage_is_runs_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate(None, "x").folder == tmp_path / "runs" / "x"
    assert locate("here/../there", "x").folder == tmp_path / "there" / "x"


def test_a_home_is_found_and_a_home_of_nobody_is_a_plain_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert locate("~/sweeps", "x").folder == tmp_path / "sweeps" / "x"
    assert locate("~nobody-of-that-name/sweeps", "x").folder == tmp_path / "~nobody-of-that-name" / "sweeps" / "x"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("foo://bucket", "Unable to recognise URL"),
        ("s3://", "Unable to recognise URL"),
        ("file://relative/path", "not a bucket; allowed: s3://, gs://, az://, or a folder"),
        ("https://host/path", "not a bucket; allowed: s3://, gs://, az://, or a folder"),
        ("a b://x", "relative URL without a base"),
    ],
)
def test_a_bucket_that_cannot_be_is_one_line(uri: str, reason: str) -> None:
    with pytest.raises(StorageError, match=rf"--storage {re.escape(uri)}: cannot be reached \(.*{reason}") as refused:
        locate(uri, "x")
    assert "\n" not in str(refused.value)


def test_a_name_that_exists_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(
        StorageError, match=f"--name x: a sweep of that name is in {tmp_path}; resume it with --resume x"
    ):
        refuse_existing(SweepStorage(tmp_path / "x"))
    refuse_existing(SweepStorage(tmp_path / "y"))


def test_a_file_or_a_broken_link_of_the_name_is_in_the_way_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(StorageError, match="a sweep of that name is in"):
            refuse_existing(SweepStorage(tmp_path / name))


# ---------------------------------------------------------------- making, holding, leaving nothing


def test_a_sweep_that_has_proposed_a_trial_keeps_its_folder(tmp_path: Path) -> None:
    storage = SweepStorage(tmp_path / "deep" / "runs" / "x")
    with contextlib.suppress(KeyboardInterrupt), created(storage, NO_BYTES):
        propose(storage)
        raise KeyboardInterrupt
    assert below(storage.folder) == ["driver.lock", LEDGER_FILE, "trials", "trials/0000", "trials/0000/config.json"]


@pytest.mark.parametrize("leaves", [None, LEDGER_FILE, MANIFEST_FILE])
def test_a_sweep_that_fails_before_its_first_trial_leaves_no_folder(tmp_path: Path, leaves: str | None) -> None:
    storage = SweepStorage(tmp_path / "x")
    with pytest.raises(ZeroDivisionError, match="division"), created(storage, NO_BYTES):  # noqa: PT012
        if leaves:
            (storage.folder / leaves).write_text("" if leaves == LEDGER_FILE else "{}")
        print(1 / 0)
    assert below(tmp_path) == []


def test_a_resumed_sweep_keeps_its_folder_whatever_happens(tmp_path: Path) -> None:
    storage = SweepStorage(tmp_path / "x")
    with created(storage, NO_BYTES):
        (storage.folder / MANIFEST_FILE).write_text("{}")
        propose(storage)
    before = below(tmp_path)
    with pytest.raises(ZeroDivisionError, match="division"), held(storage):
        print(1 / 0)
    assert below(tmp_path) == before


def test_what_a_killed_driver_left_half_written_is_gone_when_the_sweep_is_held(tmp_path: Path) -> None:
    storage = SweepStorage(tmp_path / "x")
    with created(storage, NO_BYTES):
        (storage.folder / MANIFEST_FILE).write_text("{}")
        propose(storage)
    before = below(tmp_path)
    for name in (".leaderboard.csv.4711", f".check-{'0a' * 16}", f".check-{'0a' * 16}.f00d"):
        (storage.folder / name).write_text("half")
    (storage.folder / ".notes").write_text("of the user")
    with held(storage):
        assert below(tmp_path) == sorted([*before, "x/.notes"])


@pytest.mark.parametrize("left", [["driver.lock"], ["driver.lock", f".check-{'0a' * 16}"]])
def test_the_name_of_a_sweep_that_was_killed_before_it_had_a_manifest_is_free(tmp_path: Path, left: list[str]) -> None:
    """Neither could it be resumed, nor would its name be free, and each message would name the other way out."""
    storage = SweepStorage(tmp_path / "x")
    storage.folder.mkdir()
    for name in left:
        (storage.folder / name).write_text("")
    refuse_existing(storage)
    with created(storage, NO_BYTES):
        propose(storage)
    assert below(storage.folder) == ["driver.lock", LEDGER_FILE, "trials", "trials/0000", "trials/0000/config.json"]


def test_a_sweep_that_another_driver_began_and_ended_before_the_lock_was_there_is_not_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = SweepStorage(tmp_path / "x")
    lock = place_module._lock

    def late(of: SweepStorage) -> TextIO:
        storage.place.put(MANIFEST_FILE, b"{}")
        propose(storage)
        return lock(of)

    monkeypatch.setattr(place_module, "_lock", late)
    with pytest.raises(StorageError, match="a sweep of that name is in"), created(storage, NO_BYTES):
        pass
    assert storage.place.get(MANIFEST_FILE) == b"{}"
    monkeypatch.undo()
    with held(storage):  # its lock is free again
        pass


def test_a_folder_that_appears_in_the_meantime_is_not_taken_over(tmp_path: Path) -> None:
    storage = SweepStorage(tmp_path / "x")
    storage.folder.mkdir()
    (storage.folder / "precious").write_text("")
    with pytest.raises(StorageError, match="a sweep of that name is in"), created(storage, NO_BYTES):
        pass
    assert below(tmp_path) == ["x", "x/precious"]


@pytest.mark.parametrize("place", ["file/x", "file/deep/down/x", "x" * 300 + "/x"])
def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    storage = SweepStorage(tmp_path / place)
    refuse_existing(storage)
    with (
        pytest.raises(StorageError, match=rf"^--storage {storage.folder.parent}: cannot hold a sweep \(.*\)$"),
        created(storage, NO_BYTES),
    ):
        pass
    assert below(tmp_path) == ["file"]


def test_a_read_only_place_is_refused(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    storage = SweepStorage(small_disk / "deep" / "runs" / "x")
    with (
        pytest.raises(StorageError, match=r"cannot hold a sweep \(.*Read-only file system"),
        created(storage, NO_BYTES),
    ):
        pass


def test_a_place_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o000)
    storage = SweepStorage(tmp_path / "closed" / "runs" / "x")
    me = os.geteuid()
    if not me:
        os.seteuid(65534)  # root may write everywhere
    try:
        refuse_existing(storage)
        with (
            pytest.raises(StorageError, match=r"cannot hold a sweep \(.*Permission denied"),
            created(storage, NO_BYTES),
        ):
            pass
        with pytest.raises(StorageError, match="not a sweep"):
            open_existing(storage)
    finally:
        os.seteuid(me)


def test_a_full_disk_is_refused_and_nothing_is_left_on_it(small_disk: Path) -> None:
    storage = SweepStorage(small_disk / "deep" / "runs" / "x")
    with (
        pytest.raises(StorageError, match=r"cannot hold a sweep \(1 MiB are free, the sweep needs about 64 MiB\)"),
        created(storage, NO_BYTES),
    ):
        pass
    (small_disk / "ballast").write_bytes(b"\0" * os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize)
    with (
        pytest.raises(StorageError, match=r"cannot hold a sweep \(.*No space left on device\)"),
        created(storage, NO_BYTES),
    ):
        pass
    assert below(small_disk) == ["ballast"]


def test_a_sweep_larger_than_the_disk_is_refused_before_it_starts(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"MiB are free, the sweep needs about 1,073,741,824 MiB"),
        created(SweepStorage(tmp_path / "new" / "x"), 2**50),
    ):
        pass
    assert below(tmp_path) == []


def test_the_file_that_probes_a_storage_is_taken_away(tmp_path: Path) -> None:
    storage = SweepStorage(tmp_path / "x")
    with created(storage, NO_BYTES):
        assert [path.name for path in tmp_path.iterdir()] == ["x"]


# ---------------------------------------------------------------- one driver at a time

HOLDER = """
import sys, time
from pathlib import Path
from typing import TextIO
sys.path.insert(0, sys.argv[2])
from tuning.store.place import SweepStorage, held
with held(SweepStorage(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_sweep_that_another_process_runs_is_refused_until_that_is_killed(tmp_path: Path) -> None:
    storage = SweepStorage(tmp_path / "x")
    with created(storage, NO_BYTES):
        propose(storage)
    command = [sys.executable, "-c", HOLDER, str(storage.folder), str(REPOSITORY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(StorageError, match=f"{storage.folder}: another process runs this sweep; stop that one"),
            held(storage),
        ):
            pass
        process.kill()
        process.wait()
        with held(storage):
            pass


def test_a_sweep_held_by_another_process_is_not_swept_away_by_the_one_refused(tmp_path: Path) -> None:
    storage = SweepStorage(tmp_path / "x")
    with created(storage, NO_BYTES):
        (storage.folder / MANIFEST_FILE).write_text("{}")
        with pytest.raises(StorageError, match="another process"), held(storage):
            pass
        with pytest.raises(StorageError, match="a sweep of that name is in"), created(storage, NO_BYTES):
            pass
        assert (storage.folder / MANIFEST_FILE).exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_apart_from_another_driver(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_locks(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    storage = SweepStorage(tmp_path / "x")
    with created(storage, NO_BYTES):
        propose(storage)
    monkeypatch.setattr(place_module.fcntl, "flock", without_locks)
    told = (
        rf"{storage.folder}: its file system cannot lock files \({os.strerror(number)}\), .* bucket or another folder$"
    )
    with pytest.raises(StorageError, match=told), held(storage):
        pass


def test_a_sweep_with_models_and_an_empty_ledger_is_kept(tmp_path: Path) -> None:
    storage = SweepStorage(tmp_path / "x")
    storage.place.put(MANIFEST_FILE, b"{}")
    storage.place.put(LEDGER_FILE, b"")
    storage.trial_files("0000").write("model.safetensors", b"weights")
    with pytest.raises(ZeroDivisionError, match="division"), held(storage):
        print(1 / 0)
    assert storage.trial_files("0000").read("model.safetensors") == b"weights"


def test_what_another_driver_adds_until_the_lock_is_there_is_read(tmp_path: Path) -> None:
    """sweep.py once read the ledger, then waited for the lock: two trials were proposed twice."""
    source = (REPOSITORY / "sweep.py").read_text()
    resume = source[source.index("def resume(") : source.index("def sweep(")]
    assert 0 < resume.index("storage.held(") < resume.index("resumed(")


# ---------------------------------------------------------------- commands that go on with a sweep


def test_a_command_names_the_storage_where_it_is_not_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    usual, other = SweepStorage(tmp_path / "runs" / "x"), SweepStorage(tmp_path / "my disk" / "x")
    mirrored = SweepStorage(tmp_path / "runs" / "x", "s3://bucket/sweeps/x")
    assert usual.resume_command == "python sweep.py --resume x"
    assert usual.report_command == "python sweep.py --report x"
    assert other.report_command == "python sweep.py --report x --storage 'my disk'"
    assert mirrored.resume_command == "python sweep.py --resume x --storage s3://bucket/sweeps"
    outside = SweepStorage(tmp_path.parent / "mnt" / "x")  # a job runs far from it: no way back through ../../..
    assert outside.resume_command == f"python sweep.py --resume x --storage {tmp_path.parent}/mnt"


# ---------------------------------------------------------------- what is a sweep


def test_what_is_no_sweep_cannot_be_opened_and_those_there_are_named(tmp_path: Path) -> None:
    for name in ("beta", "alpha"):
        (tmp_path / name).mkdir()
        (tmp_path / name / MANIFEST_FILE).write_text("{}")
    (tmp_path / "photos").mkdir()
    for name in ("photos", "nothing"):
        with pytest.raises(
            StorageError, match=f"{name}: not a sweep, it has no manifest.json; sweeps there: alpha, beta"
        ):
            open_existing(SweepStorage(tmp_path / name))
    open_existing(SweepStorage(tmp_path / "beta"))


def test_where_there_is_no_sweep_at_all_the_message_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"it has no manifest\.json; there is no sweep there"):
        open_existing(SweepStorage(tmp_path / "nowhere" / "x"))


# ---------------------------------------------------------------- files of a trial


def test_workers_write_to_the_folder(tmp_path: Path) -> None:
    SweepStorage(tmp_path / "x").trial_files("0007").write("model.safetensors", b"weights")
    assert (tmp_path / "x" / "trials" / "0007" / "model.safetensors").read_bytes() == b"weights"


def test_a_part_of_a_sweep_is_below_it_and_its_commands_are_those_of_the_whole(tmp_path: Path) -> None:
    whole = SweepStorage(tmp_path / "runs" / "x", "s3://bucket/sweeps/x")
    part = whole.part("confirm")
    assert (part.folder, part.uri, part.name) == (whole.folder / "confirm", "s3://bucket/sweeps/x/confirm", "x/confirm")
    assert part.resume_command == whole.resume_command
    assert part.report_command == whole.report_command


def test_a_part_is_made_when_it_is_held_and_the_whole_is_not_let_go(tmp_path: Path) -> None:
    whole = SweepStorage(tmp_path / "x")
    whole.folder.mkdir()
    with held(whole), held_part(whole.part("confirm")):
        assert is_held(whole)
        assert is_held(whole.part("confirm"))
    assert not is_held(whole.part("confirm"))
