"""Folder: a sweep's place on a disk that the driver and all workers see."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tuning.errors import StorageError
from tuning.layout import LEDGER_FILE
from vae.files import LocalFiles


class Folder:
    """Implements tuning.store.interface.Place. The ledger is one file, fsynced with every line that is wanted at once:
    with it those before are on storage too."""

    signature: dict[str, Any] = {}  # noqa: RUF012 - the folder's lock keeps other drivers away

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ledger: BinaryIO | None = None

    def where(self, name: str = "") -> str:
        return str(self._folder / name)

    def append(self, event: bytes, at_once: bool = True) -> None:
        if self._ledger is None:
            drop_torn_line(self._folder / LEDGER_FILE)
            self._ledger = (self._folder / LEDGER_FILE).open("ab")
        self._ledger.write(event)
        self._ledger.flush()
        if at_once:
            os.fsync(self._ledger.fileno())

    def events(self) -> Iterator[tuple[str, bytes]]:
        return numbered_lines(self.where(LEDGER_FILE), self.get(LEDGER_FILE))

    def lines(self, name: str, so_far: bytes) -> "FolderLines":
        return FolderLines(self._folder / name)

    def get(self, name: str) -> bytes | None:
        try:
            return LocalFiles(self._folder).read(name)
        except OSError as error:
            raise StorageError(f"{self.where(name)}: cannot be read ({error.strerror or error})") from None

    def get_all(self, names: Sequence[str]) -> Iterator[bytes | None]:
        return map(self.get, names)

    def put(self, name: str, content: bytes) -> None:
        LocalFiles(self._folder).write(name, content)

    def put_later(self, name: str, content: bytes) -> None:
        LocalFiles(self._folder, synced=False).write(name, content)

    def list(self, prefix: str) -> list[str]:
        paths = (self._folder / prefix).rglob("*")
        return sorted(path.relative_to(self._folder).as_posix() for path in paths if path.is_file())

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def close(self, patient: bool = True) -> None:
        if self._ledger is not None:
            os.fsync(self._ledger.fileno())
            self._ledger.close()
            self._ledger = None


class FolderLines:
    """Implements tuning.store.interface.Lines; holds no file open, because thousands of trials have one each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        drop_torn_line(path)

    def append(self, lines: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(lines)

    def keep(self) -> None:
        with contextlib.suppress(FileNotFoundError), self._path.open("rb+") as file:
            os.fsync(file.fileno())

    def keep_later(self) -> None:
        self.keep()


def numbered_lines(where: str, content: bytes | None) -> Iterator[tuple[str, bytes]]:
    """Each complete line, with its file and number; a last line that a crash cut off is left out."""
    for number, line in enumerate((content or b"").split(b"\n")[:-1], start=1):
        yield f"{where}: line {number}", line


def drop_torn_line(path: Path) -> None:
    """Remove what a crash left after the last complete line, so that the next line starts on its own."""
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        with path.open("rb+") as file:
            file.truncate(content.rfind(b"\n") + 1)
