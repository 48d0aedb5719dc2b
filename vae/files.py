"""Files and folders on this machine: replace them whole, and tell the user where one cannot be written."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vae.errors import UserError


class Files(Protocol):
    """A trial's files, in a folder or in a bucket."""

    def read(self, name: str) -> bytes | None:
        """The file's bytes; None where there is no such file."""

    def write(self, name: str, content: bytes) -> None:
        """Write the whole file or nothing: a reader sees the old file or the new one."""


@dataclass(frozen=True)
class LocalFiles:
    """A folder on this machine, or one that every machine mounts. A file is written beside and renamed into place."""

    folder: Path

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_bytes(content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def cannot_write(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a UserError: "PATH: cannot write (reason)"."""
    try:
        yield
    except OSError as error:
        elsewhere = error.filename is not None and Path(str(error.filename)).parent != path.parent
        reason = f"{error.strerror}: {error.filename}" if elsewhere else error.strerror or error
        raise UserError(f"{path}: cannot write ({reason})") from error


@contextmanager
def rebuilt(folder: Path) -> Iterator[Path]:
    """Replace a folder as a whole: build a sibling, then rename.

    Fill the empty folder that the block is given; when the block ends, it is `folder`. If the block raises, `folder`
    stays as it was. A folder that is not empty cannot be replaced in one step: a process that dies between the two
    renames leaves the old one beside, where the next rebuild finds it. Raises UserError where it cannot write.
    """
    new, old = (folder.with_name(f".{folder.name}.{age}") for age in ("new", "old"))
    try:
        with cannot_write(folder):
            _recover(folder, new, old)
            new.mkdir(parents=True)
            yield new
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        _bring_back(folder, old)
        shutil.rmtree(new, ignore_errors=True)


def _bring_back(folder: Path, old: Path) -> None:
    if old.exists() and not folder.exists():
        old.rename(folder)


def _recover(folder: Path, new: Path, old: Path) -> None:
    _bring_back(folder, old)
    for leftover in (new, old):
        if leftover.exists():
            shutil.rmtree(leftover)
