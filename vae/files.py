"""A trial's folder: whole files, written beside and renamed into place."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """A trial's folder, wherever it is."""

    def read(self, name: str) -> bytes | None:
        """The file's bytes, None where there is no such file."""

    def write(self, name: str, content: bytes) -> None:
        """Whole or not at all: a reader sees the old file or the new one."""


@dataclass(frozen=True)
class LocalFiles:
    """A folder on this machine, or one that every machine mounts."""

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
