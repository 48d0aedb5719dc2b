"""Where a sweep is: a folder that driver and workers share, or a bucket with a local mirror.

With a URI such as s3://bucket/sweeps the bucket is the truth. The mirror, a local folder, holds what TensorBoard
reads (events, figures) and what can be made again (study, leaderboard); no sweep ever resumes from it.
"""

import errno
import fcntl
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tuning.errors import StorageError
from tuning.layout import (
    DEFAULT_STORAGE,
    LEDGER_FILE,
    LOCK_FILE,
    MANIFEST_FILE,
    MIRROR_FILE,
    PAGE_FILE,
    REPORT_FOLDER,
    as_typed,
    attempt_folder,
)
from tuning.records import TrialRecord
from tuning.store.attempts import AttemptFiles
from tuning.store.bucket import Bucket, BucketFiles, bucket_at, folders_below
from tuning.store.folder import Folder
from tuning.store.interface import Place
from tuning.store.leftovers import clear, is_abandoned
from vae.files import LocalFiles

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
FREE_BYTES = 64 * 2**20  # a sweep is not started with less
LOOKS = 5  # at a lock that somebody has


@dataclass(frozen=True)
class SweepStorage:
    """One sweep's storage. folder: the sweep itself, or its mirror where `uri` names a bucket that holds the sweep.
    whole: the sweep that this one is a part of; commands are given to the whole."""

    folder: Path
    uri: str | None = None
    whole: "SweepStorage | None" = None

    @property
    def name(self) -> str:
        return f"{self.whole.name}/{self.folder.name}" if self.whole else self.folder.name

    def part(self, name: str) -> "SweepStorage":
        """A sweep below this one, which it belongs to."""
        return SweepStorage(self.folder / name, self.uri and f"{self.uri}/{name}", self)

    @property
    def place(self) -> Place:
        """The sweep's files. Of a bucket always the same object in one process: it knows the driver's claim."""
        return bucket_at(self.uri) if self.uri else Folder(self.folder)

    @property
    def shown(self) -> str:
        """Where the sweep is, as the user would type it."""
        return self.uri or str(as_typed(self.folder))

    @property
    def mirror_note(self) -> str:
        """A line of its own that says what the folder is; '' where it is the sweep itself."""
        if not self.uri:
            return ""
        return f"\nTensorBoard reads {as_typed(self.folder)}, a mirror; the sweep itself is in {self.uri}"

    @property
    def resume_command(self) -> str:
        """The command that resumes this sweep from the current working directory."""
        return self._command("--resume")

    @property
    def report_command(self) -> str:
        """The command that rebuilds its report from the current working directory."""
        return self._command("--report")

    @property
    def page(self) -> str:
        """The sweep's page, as the user would type it; the driver writes it as the sweep goes."""
        return str(as_typed(self.folder / REPORT_FOLDER / PAGE_FILE))

    @property
    def look_command(self) -> str:
        """The command that shows the sweep in TensorBoard."""
        return f"tensorboard --logdir {as_typed(self.folder)} --samples_per_plugin images=100"

    def _command(self, option: str) -> str:
        if self.whole:
            return self.whole._command(option)
        if not self.uri and self.folder.parent == Path(DEFAULT_STORAGE).resolve():
            return f"python sweep.py {option} {self.name}"
        parent = self.uri.rpartition("/")[0] if self.uri else str(as_typed(self.folder.parent))
        return f"python sweep.py {option} {self.name} --storage {shlex.quote(parent)}"

    def trial_files(self, trial_id: str, attempt: int = 1) -> AttemptFiles:
        """Where a worker reads and writes the files of a trial."""
        relative = attempt_folder(trial_id, attempt)
        own = BucketFiles(self.uri, relative) if self.uri else LocalFiles(self.folder / relative)
        return AttemptFiles(self.place, own, trial_id, attempt)

    def publish(self, *folders: str) -> None:
        """Put folders that were rebuilt in the mirror into the bucket, in place of what it has under those names."""
        if not self.uri:
            return
        bucket, mirror = bucket_at(self.uri), Folder(self.folder)
        for folder in folders:
            contents = {
                name: content for name in mirror.list(f"{folder}/") if (content := mirror.get(name)) is not None
            }
            bucket.put_all(contents)
            bucket.delete([name for name in bucket.list(f"{folder}/") if name not in contents])

    def mirrored(self, name: str) -> None:
        """Put one file of the mirror into the bucket, soon."""
        if self.uri and (content := Folder(self.folder).get(name)) is not None:
            bucket_at(self.uri).put_later(name, content)

    def not_mirrored(self, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Those that have ended without events in the mirror, because another machine was the driver's then."""
        if not self.uri:
            return []
        ended = [record for record in trials if record.has_ended]
        return [record for record in ended if not any((self.folder / record.folder).glob("events.out.*"))]

    def bring(self, name: str) -> None:
        """Have a file that only grows in the mirror as far as the bucket has it."""
        if self.uri and (content := self.place.get(name)) is not None:
            known = Folder(self.folder).get(name)
            if known is None or len(known) < len(content):
                LocalFiles(self.folder).write(name, content)


def locate(storage: str | None, name: str, option: str = "--name") -> SweepStorage:
    """The storage of sweep `name` (the value of `option`) under --storage. Raises StorageError for an invalid name."""
    if not NAME.fullmatch(name) or ".." in name:
        raise StorageError(
            f"{option} {name}: allowed are up to 100 letters, digits, '.', '_' and '-', the first a letter or a digit"
        )
    storage = storage or DEFAULT_STORAGE
    scheme, is_uri, path = storage.partition("://")
    if is_uri and scheme == "file" and path.startswith("/"):
        return SweepStorage(Path(path).resolve() / name)
    if not is_uri:
        return SweepStorage(Path(os.path.expanduser(storage)).resolve() / name)  # Path.expanduser raises for ~nobody
    uri = f"{storage.rstrip('/')}/{name}"
    try:
        bucket_at(uri).reach()
    except StorageError as error:
        raise StorageError(f"--storage {storage}: cannot be reached ({error})") from None
    return SweepStorage(Path(DEFAULT_STORAGE).resolve() / name, uri)


def refuse_existing(storage: SweepStorage) -> None:
    """Raises StorageError where something of the sweep's name exists already."""
    in_bucket = storage.place.list("") if storage.uri else []
    if in_bucket and MANIFEST_FILE not in in_bucket:
        raise StorageError(
            f"--name {storage.name}: {storage.uri} has {in_bucket[0]} and no {MANIFEST_FILE}: another driver begins "
            "that sweep now, or was killed as it began it; choose another --name, or remove what is there"
        )
    is_there = os.path.lexists(storage.folder) and not is_abandoned(storage.folder)
    if in_bucket or is_there:
        where = str(storage.folder.parent) if is_there else (storage.uri or "").rpartition("/")[0]
        raise StorageError(
            f"--name {storage.name}: a sweep of that name is in {where}; "
            f"resume it with --resume {storage.name}, or choose another --name"
        )


@contextmanager
def created(storage: SweepStorage, expected_bytes: int) -> Iterator[None]:
    """Make a new sweep's folder or claim its name in the bucket, and hold it for this driver alone. If no trial is
    proposed, what this driver has made is removed again. Raises StorageError."""
    _create(storage, expected_bytes)
    lock = _lock(storage)
    try:
        refuse_existing(storage)  # with the lock, once more: another driver may have begun, and ended, since
    except StorageError:
        lock.close()
        raise
    try:
        with writing(storage, f"go on with: {storage.resume_command}"):
            clear(storage.folder)
            if storage.uri:
                _make_mirror(storage)
                bucket_at(storage.uri).claim(is_new=True)
            yield
    finally:
        if _has_no_trial(storage):
            _remove_made(storage)
        if storage.uri:
            bucket_at(storage.uri).release()
        lock.close()


@contextmanager
def held(storage: SweepStorage) -> Iterator[None]:
    """Hold an existing sweep for this driver alone. Whatever of the sweep is read inside is what it is now: no other
    driver can add to it. Nothing is removed. Raises StorageError."""
    with writing(storage, f"go on with: {storage.resume_command}"):
        lock = _lock(storage)
        try:
            clear(storage.folder)
            if storage.uri:
                bucket_at(storage.uri).claim(is_new=False)
            yield
        finally:
            if storage.uri:
                bucket_at(storage.uri).release()
            lock.close()


@contextmanager
def held_part(part: SweepStorage) -> Iterator[None]:
    """Hold a part of a sweep that this driver holds; the part is made where there is none. Raises StorageError."""
    with writing(part, f"go on with: {part.resume_command}"):
        part.folder.mkdir(exist_ok=True)
    if part.uri:
        _make_mirror(part)
    with held(part):
        yield


@contextmanager
def writing(storage: SweepStorage, afterwards: str) -> Iterator[None]:
    """Turn an OSError (a full or missing disk) into a StorageError that says what to do afterwards."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{storage.folder}: {error.strerror or error}; put that right, then {afterwards}") from error


def open_existing(storage: SweepStorage) -> None:
    """Check that the storage holds a sweep. Raises StorageError."""
    if not storage.uri and os.path.isfile(storage.folder / MIRROR_FILE):
        raise StorageError((storage.folder / MIRROR_FILE).read_text(errors="replace").strip())
    if not has_begun(storage):
        names = _sweeps_beside(storage)
        known = f"sweeps there: {', '.join(names)}" if names else "there is no sweep there"
        raise StorageError(f"{storage.uri or storage.folder}: not a sweep, it has no {MANIFEST_FILE}; {known}")
    if storage.uri:
        _make_mirror(storage)


def has_begun(storage: SweepStorage) -> bool:
    """Whether there is a sweep: it has a manifest."""
    if storage.uri:
        return storage.place.get(MANIFEST_FILE) is not None
    return os.path.isfile(storage.folder / MANIFEST_FILE)  # False in a folder it may not read


def is_held(storage: SweepStorage) -> bool | None:
    """Whether a driver runs the sweep now; None where only the driver knows: in a bucket, or without locks."""
    if storage.uri:
        return None
    try:
        with (storage.folder / LOCK_FILE).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return True if error.errno == errno.EWOULDBLOCK else False if error.errno == errno.ENOENT else None
    return False


def sweeps_in(storage: str | None) -> list[SweepStorage]:
    """Every sweep below --storage, by name. Raises StorageError for a bucket that cannot be reached."""
    return [locate(storage, name) for name in _sweeps_beside(locate(storage, "any"))]


def _sweeps_beside(storage: SweepStorage) -> list[str]:
    if storage.uri:
        parent = storage.uri.rpartition("/")[0]
        return [name for name in folders_below(parent) if Bucket(f"{parent}/{name}").get(MANIFEST_FILE) is not None]
    with suppress(OSError):
        return sorted(path.name for path in storage.folder.parent.iterdir() if os.path.isfile(path / MANIFEST_FILE))
    return []


def _create(storage: SweepStorage, expected_bytes: int) -> None:
    """Make the folder after checking that it can be written and has room."""
    refuse_existing(storage)
    parent, before = storage.folder.parent, _existing_parent(storage.folder)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=parent, prefix=".check-", buffering=0) as probe:
            probe.write(b"\0" * 4096)
            os.fsync(probe.fileno())
        needed = FREE_BYTES if storage.uri else max(FREE_BYTES, expected_bytes)
        free = shutil.disk_usage(parent).free
        if free < needed:
            raise OSError(f"{free / 2**20:,.0f} MiB are free, the sweep needs about {needed / 2**20:,.0f} MiB")
        storage.folder.mkdir(exist_ok=is_abandoned(storage.folder))
    except OSError as error:
        _remove_empty(parent, before)
        raise StorageError(f"--storage {parent}: cannot hold a sweep ({_short(error)})") from None


def _make_mirror(storage: SweepStorage) -> None:
    """Have a mirror that says what it is, for people and for a --resume that forgets --storage."""
    if os.path.lexists(storage.folder / MANIFEST_FILE):
        raise StorageError(
            f"{storage.folder}: a sweep of its own, where the mirror of {storage.uri} would be; "
            "move it away, or work in another directory"
        )
    parent = (storage.uri or "").rpartition("/")[0]
    note = f"{storage.folder}: only a mirror, for TensorBoard; the sweep is in {storage.uri}: add --storage {parent}"
    with writing(storage, "try again"):
        LocalFiles(storage.folder, synced=False).write(MIRROR_FILE, f"{note}\n".encode())


def _lock(storage: SweepStorage) -> TextIO:
    """Lock the sweep for this driver until the file is closed or the process ends. Raises StorageError."""
    file = (storage.folder / LOCK_FILE).open("a")
    try:
        _flock(file)
    except OSError as error:
        file.close()
        if error.errno == errno.EWOULDBLOCK:
            raise StorageError(f"{storage.folder}: another process runs this sweep; stop that one first") from None
        raise StorageError(
            f"{storage.folder}: its file system cannot lock files ({error.strerror}), so a second driver could not be "
            "kept away; mount it with locks (Lustre: -o flock; NFS: version 4), or use --storage with a bucket or "
            "another folder"
        ) from None
    return file


def _flock(file: TextIO) -> None:
    """Raises OSError. One who only looks whether the sweep runs has the lock for a moment, see is_held."""
    for _ in range(LOOKS):
        with suppress(BlockingIOError):
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.05)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _has_no_trial(storage: SweepStorage) -> bool:
    if storage.uri:
        return bucket_at(storage.uri).has_only_claim
    ledger = storage.folder / LEDGER_FILE
    return not ledger.exists() or not ledger.stat().st_size


def _remove_made(storage: SweepStorage) -> None:
    """Remove a sweep that this driver has created: the folder, and of a bucket the objects that it put there."""
    if storage.uri:
        with suppress(StorageError):  # a bucket that does not answer keeps a claim without trials
            bucket_at(storage.uri).delete_made()
    shutil.rmtree(storage.folder)


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if os.path.exists(parent))


def _remove_empty(path: Path, keep: Path) -> None:
    """Remove empty folders upwards from `path`, but not `keep`."""
    while path != keep and path.is_relative_to(keep) and os.path.isdir(path) and not any(path.iterdir()):
        path.rmdir()
        path = path.parent


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
