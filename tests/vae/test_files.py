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
from vae.files import LocalFiles
from vae.storage.checkpoint import CHECKPOINT_FILE, Description, TrialState, pack_checkpoint, unpack_checkpoint


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
