"""vae/files.py."""

import multiprocessing
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vae import files as files_module
from vae.config import TrialConfig
from vae.errors import UserError
from vae.files import LocalFiles, cannot_write, rebuilt
from vae.storage.checkpoint import CHECKPOINT_FILE, Description, pack_checkpoint, unpack_checkpoint
from vae.storage.state import TrialState


def test_files_are_read_as_written_and_none_where_there_is_none(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path / "a" / "b")
    assert files.read(CHECKPOINT_FILE) is None
    files.write(CHECKPOINT_FILE, b"one")
    files.write(CHECKPOINT_FILE, b"two")
    assert files.read(CHECKPOINT_FILE) == b"two"
    assert [path.name for path in files.folder.iterdir()] == [CHECKPOINT_FILE]


def _write_for_ever(folder: Path, contents: list[bytes]) -> None:
    files = LocalFiles(folder)
    while True:
        for content in contents:
            files.write(CHECKPOINT_FILE, content)


@pytest.fixture
def start_writer(tmp_path: Path) -> Iterator[Callable[[list[bytes]], Any]]:
    """Starts a process that writes the contents in turn until it is killed."""
    started: list[Any] = []

    def start(contents: list[bytes]) -> Any:
        writer = multiprocessing.get_context("fork").Process(
            target=_write_for_ever, args=(tmp_path, contents), daemon=True
        )
        writer.start()
        started.append(writer)
        return writer

    yield start
    for writer in started:
        writer.kill()
        writer.join()


def long_checkpoint(epoch: int, padding: int) -> bytes:
    """A few hundred kB, and of another length for each padding, so that a mixture of two cannot pass."""
    config = TrialConfig(latent_size=2, hidden_units=300 + padding)
    state = TrialState.initial(64, config)
    return pack_checkpoint(state, Description(config, "digits", (8, 8), epoch))


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_reader_in_another_process_never_sees_half_a_file(
    tmp_path: Path, start_writer: Callable[[list[bytes]], Any]
) -> None:
    contents = [long_checkpoint(1, 0), long_checkpoint(2, 50)]
    start_writer(contents)
    wait_for(tmp_path / CHECKPOINT_FILE)
    seen = set()
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        content = LocalFiles(tmp_path).read(CHECKPOINT_FILE)
        assert content in contents
        seen.add(content)
    assert len(seen) == 2  # it was being written all the while


def test_a_writer_killed_at_any_moment_leaves_a_file_that_loads(
    tmp_path: Path, start_writer: Callable[[list[bytes]], Any]
) -> None:
    contents = [long_checkpoint(1, 0), long_checkpoint(2, 50)]
    LocalFiles(tmp_path).write(CHECKPOINT_FILE, contents[0])
    for attempt in range(25):
        writer = start_writer(contents)
        time.sleep(0.01 + 0.0013 * attempt)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
        state, _ = unpack_checkpoint((tmp_path / CHECKPOINT_FILE).read_bytes(), CHECKPOINT_FILE)
        assert state.epoch in (1, 2)


def _write_with_little_room(folder: Path, n_bytes: int, content: bytes) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
    try:
        LocalFiles(folder).write(CHECKPOINT_FILE, content)
    except OSError:
        os._exit(3)
    os._exit(0)


def test_a_write_that_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    old, new = long_checkpoint(1, 0), long_checkpoint(2, 50)
    LocalFiles(tmp_path).write(CHECKPOINT_FILE, old)
    writer = multiprocessing.get_context("fork").Process(target=_write_with_little_room, args=(tmp_path, 10_000, new))
    writer.start()
    writer.join()
    assert writer.exitcode == 3
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]
    assert (tmp_path / CHECKPOINT_FILE).read_bytes() == old


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 kB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system takes root")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(full_disk: Path) -> None:
    old, new = long_checkpoint(1, 0), long_checkpoint(2, 50)
    assert len(old) < 500_000 < len(old) + len(new)
    LocalFiles(full_disk).write(CHECKPOINT_FILE, old)
    with pytest.raises(OSError, match="No space left on device"):
        LocalFiles(full_disk).write(CHECKPOINT_FILE, new)
    assert [path.name for path in full_disk.iterdir()] == [CHECKPOINT_FILE]
    assert (full_disk / CHECKPOINT_FILE).read_bytes() == old


def test_a_file_is_synced_before_it_has_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut between any two of these leaves the old file or the new one, never an empty one."""
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        target = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        order.append(f"sync {'folder' if target.is_dir() else target.stat().st_size}")
        fsync(descriptor)

    def noted_replace(path: Path, target: Any) -> Path:
        order.append("rename")
        return replace(path, target)

    monkeypatch.setattr(files_module.os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    LocalFiles(tmp_path / "0000").write("model.safetensors", b"weights")
    assert order == ["sync 7", "rename", "sync folder"]
    order.clear()
    LocalFiles(tmp_path / "0000", synced=False).write("leaderboard.csv", b"rank")
    assert order == ["rename"]
    assert sorted(path.name for path in (tmp_path / "0000").iterdir()) == ["leaderboard.csv", "model.safetensors"]


# ---------------------------------------------------------------- a file that cannot be written is the user's error


def write_into(path: Path, content: bytes = b"numbers") -> None:
    with cannot_write(path):
        LocalFiles(path.parent).write(path.name, content)


def test_a_file_that_cannot_be_written_is_one_line_with_its_path_and_the_reason(full_disk: Path) -> None:
    with pytest.raises(UserError, match=r"^/.*/numbers\.json: cannot write \(No space left on device\)$"):
        write_into(full_disk / "numbers.json", bytes(600_000))


def test_where_another_file_is_in_the_way_the_reason_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write") as caught:
        write_into(tmp_path / "file" / "numbers.json")
    path = tmp_path / "file"
    assert str(caught.value) == f"{path / 'numbers.json'}: cannot write (File exists: {path})"


def test_an_error_without_words_of_the_system_keeps_its_own(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"numbers: cannot write \(no such bucket\)$"),
        cannot_write(tmp_path / "numbers"),
    ):
        raise OSError("no such bucket")


def test_a_file_that_can_be_written_and_another_error_pass(tmp_path: Path) -> None:
    write_into(tmp_path / "numbers.json")
    assert (tmp_path / "numbers.json").read_bytes() == b"numbers"
    with pytest.raises(ZeroDivisionError, match="division"), cannot_write(tmp_path):
        print(1 / 0)


# ---------------------------------------------------------------- a folder that is replaced as a whole


def _build(folder: Path, content: str) -> None:
    with rebuilt(folder) as beside:
        (beside / content).touch()


def _fail_half_way(folder: Path) -> None:
    with rebuilt(folder) as beside:
        (beside / "new").touch()
        raise ArithmeticError("half way")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    _build(tmp_path / "best", "old")
    _build(tmp_path / "best", "new")
    assert _names(tmp_path / "best") == ["new"]
    assert _names(tmp_path) == ["best"]


def test_until_the_end_the_old_folder_is_there(tmp_path: Path) -> None:
    _build(tmp_path / "best", "old")
    with rebuilt(tmp_path / "best") as beside:
        (beside / "new").touch()
        assert _names(tmp_path / "best") == ["old"]


def test_a_rebuild_that_fails_leaves_the_old_folder_and_nothing_beside(tmp_path: Path) -> None:
    _build(tmp_path / "best", "old")
    with pytest.raises(ArithmeticError, match="half way"):
        _fail_half_way(tmp_path / "best")
    assert _names(tmp_path / "best") == ["old"]
    assert _names(tmp_path) == ["best"]


def test_when_the_new_folder_cannot_take_its_place_the_old_one_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _build(tmp_path / "best", "old")
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == ".best.new":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UserError, match="Input/output error"):
        _build(tmp_path / "best", "new")
    assert _names(tmp_path / "best") == ["old"]
    assert _names(tmp_path) == ["best"]


@pytest.mark.parametrize("left", [[".best.new"], [".best.old"], [".best.old", ".best.new"], ["best", ".best.old"]])
def test_what_a_killed_rebuild_left_is_used_or_cleared(tmp_path: Path, left: list[str]) -> None:
    for name in left:
        (tmp_path / name).mkdir()
        (tmp_path / name / name.strip(".")).touch()
    with pytest.raises(ArithmeticError, match="half way"):
        _fail_half_way(tmp_path / "best")
    expected = {"best": "best", ".best.old": "best.old"}
    kept = next((expected[name] for name in ("best", ".best.old") if name in left), None)
    assert _names(tmp_path) == (["best"] if kept else [])
    if kept:
        assert _names(tmp_path / "best") == [kept]


def test_a_place_that_cannot_be_written_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        _build(tmp_path / "file" / "best", "new")
