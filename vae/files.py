"""A trial's folder: each file is written whole under another name, then renamed into place."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """A trial's files, in a folder or in a bucket."""

    def read(self, name: str) -> bytes | None:
        """The file's bytes, or None if it does not exist."""

    def write(self, name: str, content: bytes) -> None:
        """Write the whole file or nothing: a reader sees the old file or the new one."""


@dataclass(frozen=True)
class LocalFiles:
    """A folder on this machine or on a shared file system. synced: a file survives a power cut once it is written."""

    folder: Path
    synced: bool = True

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
            with beside.open("wb") as file:
                file.write(content)
                if (
                    self.synced
                ):  # first the content, then the name: a power cut must not leave the name of an empty file
                    file.flush()
                    os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        if self.synced:
            _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
