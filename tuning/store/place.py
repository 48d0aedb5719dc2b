"""Where a sweep's files are: a folder that driver and workers share, or a bucket and a local folder.

The driver's files (ledger, study, leaderboard, events, report) are always in a local folder. With a URI
such as s3://bucket/sweeps the workers write models and checkpoints to the URI, and the driver copies
its own files there as it goes, so that the sweep can be resumed on another machine.
"""

import fcntl
import glob
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from pyarrow import fs

from tuning.errors import StorageError
from tuning.layout import LEDGER_FILE, LOCK_FILE, MANIFEST_FILE, trial_folder
from vae.files import Files, LocalFiles

DEFAULT_STORAGE = "runs"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
FREE_BYTES = 64 * 2**20  # a sweep is not started with less


@dataclass(frozen=True)
class BucketFiles:
    """The files of one trial in a bucket."""

    uri: str

    def read(self, name: str) -> bytes | None:
        filesystem, path = fs.FileSystem.from_uri(self.uri)
        try:
            with filesystem.open_input_stream(f"{path}/{name}") as stream:
                content: bytes = stream.read()
        except FileNotFoundError:
            return None
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write the whole file or nothing: a bucket shows an object only once it is complete."""
        filesystem, path = fs.FileSystem.from_uri(self.uri)
        filesystem.create_dir(path, recursive=True)
        with filesystem.open_output_stream(f"{path}/{name}") as stream:
            stream.write(content)


@dataclass(frozen=True)
class SweepStorage:
    """One sweep's place. folder: holds the driver's files. uri: holds the workers' files, if they are elsewhere."""

    folder: Path
    uri: str | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def resume_command(self) -> str:
        """The command that resumes this sweep from the current working directory."""
        if not self.uri and self.folder.parent == Path(DEFAULT_STORAGE).resolve():
            return f"python sweep.py --resume {self.name}"
        parent = self.uri.rpartition("/")[0] if self.uri else os.path.relpath(self.folder.parent)
        return f"python sweep.py --resume {self.name} --storage {shlex.quote(parent)}"

    def trial_files(self, trial_id: str) -> Files:
        """Where a worker reads and writes the files of a trial."""
        relative = trial_folder(trial_id)
        return BucketFiles(f"{self.uri}/{relative}") if self.uri else LocalFiles(self.folder / relative)

    def push(self) -> None:
        """Copy the driver's files to the bucket, if the sweep has one."""
        if self.uri:
            filesystem, path = fs.FileSystem.from_uri(self.uri)
            filesystem.create_dir(path, recursive=True)
            fs.copy_files(str(self.folder), path, destination_filesystem=filesystem)

    def pull(self) -> None:
        """Copy the bucket's files here, for a report or to resume on another machine."""
        if self.uri:
            filesystem, path = fs.FileSystem.from_uri(self.uri)
            self.folder.mkdir(parents=True, exist_ok=True)
            fs.copy_files(path, str(self.folder), source_filesystem=filesystem)


def locate(storage: str | None, name: str, option: str = "--name") -> SweepStorage:
    """The place of sweep `name` (the value of `option`) under --storage. Raises StorageError for an invalid name."""
    if not NAME.fullmatch(name) or ".." in name:
        raise StorageError(
            f"{option} {name}: allowed are up to 100 letters, digits, '.', '_' and '-', the first a letter or a digit"
        )
    storage = storage or DEFAULT_STORAGE
    if "://" not in storage:
        return SweepStorage(Path(os.path.expanduser(storage)).resolve() / name)  # Path.expanduser raises for ~nobody
    uri = f"{storage.rstrip('/')}/{name}"
    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
        filesystem.get_file_info(path)
    except (OSError, ValueError) as error:
        raise StorageError(f"--storage {storage}: cannot be reached ({_short(error)})") from None
    if isinstance(filesystem, fs.LocalFileSystem):
        return SweepStorage(Path(path))
    return SweepStorage(Path(DEFAULT_STORAGE).resolve() / name, uri)


def refuse_existing(storage: SweepStorage) -> None:
    """Raises StorageError where something of the sweep's name exists already."""
    if os.path.lexists(storage.folder) or _in_bucket(storage):  # Path.exists raises in a folder it may not read
        raise StorageError(
            f"--name {storage.name}: a sweep of that name is in {storage.folder.parent}; "
            f"resume it with --resume {storage.name}, or choose another --name"
        )


@contextmanager
def held(storage: SweepStorage, expected_bytes: int, is_new: bool) -> Iterator[None]:
    """Hold the sweep's folder for this driver alone. A new folder is made, and removed again if the sweep fails
    before it proposes a trial. Raises StorageError."""
    if is_new and not os.path.isfile(storage.folder / MANIFEST_FILE):
        _create(storage, expected_bytes)
    lock = _lock(storage)
    try:
        with writing(storage, f"go on with: {storage.resume_command}"):
            yield
    finally:
        ledger = storage.folder / LEDGER_FILE
        if is_new and (not ledger.exists() or not ledger.stat().st_size):
            shutil.rmtree(storage.folder)
        lock.close()


@contextmanager
def writing(storage: SweepStorage, afterwards: str) -> Iterator[None]:
    """Turn an OSError (a full or missing disk) into a StorageError that says what to do afterwards."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{storage.folder}: {error.strerror or error}; put that right, then {afterwards}") from error


def _create(storage: SweepStorage, expected_bytes: int) -> None:
    """Make the folder after checking that it can be written and has room."""
    refuse_existing(storage)
    parent, before = storage.folder.parent, _existing_parent(storage.folder)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=parent, prefix=".check-", buffering=0) as probe:
            probe.write(b"\0" * 4096)
            os.fsync(probe.fileno())
        free, needed = shutil.disk_usage(parent).free, max(FREE_BYTES, expected_bytes)
        if free < needed:
            raise OSError(f"{free / 2**20:,.0f} MiB are free, the sweep needs about {needed / 2**20:,.0f} MiB")
        storage.folder.mkdir()
    except OSError as error:
        _remove_empty(parent, before)
        raise StorageError(f"--storage {parent}: cannot hold a sweep ({_short(error)})") from None


def open_existing(storage: SweepStorage) -> None:
    """Check that the place holds a sweep; copy it from its bucket first. Raises StorageError."""
    if storage.uri and not os.path.exists(storage.folder) and _in_bucket(storage):
        storage.pull()
    if not os.path.isfile(storage.folder / MANIFEST_FILE):
        found = glob.glob(f"*/{MANIFEST_FILE}", root_dir=storage.folder.parent)  # [] in a folder it may not read
        names = sorted(os.path.dirname(path) for path in found)
        known = f"sweeps there: {', '.join(names)}" if names else "there is no sweep there"
        raise StorageError(f"{storage.folder}: not a sweep, it has no {MANIFEST_FILE}; {known}")


def _lock(storage: SweepStorage) -> TextIO:
    """Lock the sweep for this driver until the file is closed or the process ends. Raises StorageError."""
    file = (storage.folder / LOCK_FILE).open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StorageError(f"{storage.folder}: another process runs this sweep; stop that one first") from None
    return file


def _in_bucket(storage: SweepStorage) -> bool:
    if not storage.uri:
        return False
    filesystem, path = fs.FileSystem.from_uri(storage.uri)
    info: Any = filesystem.get_file_info(f"{path}/{MANIFEST_FILE}")
    return bool(info.type == fs.FileType.File)


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if os.path.exists(parent))


def _remove_empty(path: Path, keep: Path) -> None:
    """Remove empty folders upwards from `path`, but not `keep`."""
    while path != keep and path.is_relative_to(keep) and os.path.isdir(path) and not any(path.iterdir()):
        path.rmdir()
        path = path.parent


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
