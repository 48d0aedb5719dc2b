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
    """A folder on this machine or on a shared file system."""

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
