"""Place: what a sweep asks of its storage, whether that is a folder (folder.py) or a bucket (bucket.py)."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol


class Lines(Protocol):
    """A file that grows line by line."""

    def append(self, lines: bytes) -> None:
        """Add one line or several. In a folder it outlives this process; in a bucket only `keep` makes it last."""

    def keep(self) -> None:
        """Return once every line is on storage."""

    def keep_later(self) -> None:
        """Have every line on storage soon, without waiting for it."""


class Place(Protocol):
    """One sweep's files by name, relative and with '/': "manifest.json", "trials/0003/config.json", ..."""

    @property
    def signature(self) -> dict[str, Any]:
        """What this driver adds to each of its events, so that nobody takes another driver's event for its own."""

    def where(self, name: str = "") -> str:
        """The file as an error message names it."""

    def append(self, event: bytes, at_once: bool = True) -> None:
        """Add a line to the ledger. `at_once`: it is on storage on return; otherwise before the next such event.

        Raises StorageError where another driver has taken the sweep over.
        """

    def events(self) -> Iterator[tuple[str, bytes]]:
        """The ledger's complete lines, each with where it stands. Raises StorageError for a ledger with a gap."""

    def lines(self, name: str, so_far: bytes) -> Lines:
        """A file to add lines to; so_far: its content up to now."""

    def get(self, name: str) -> bytes | None:
        """The file's bytes, or None if it does not exist."""

    def get_all(self, names: Sequence[str]) -> Iterator[bytes | None]:
        """The bytes of each of these files, in their order."""

    def put(self, name: str, content: bytes) -> None:
        """Write the whole file or nothing; it is on storage on return."""

    def put_later(self, name: str, content: bytes) -> None:
        """Write the whole file soon, without waiting for storage: for what can be made again from the ledger."""

    def list(self, prefix: str) -> list[str]:
        """The names that begin with `prefix`, a folder with its '/', in alphabetical order."""

    def delete(self, names: Sequence[str]) -> None:
        """Remove files that nothing needs any more; a missing one is no error."""

    def close(self, patient: bool = True) -> None:
        """Return once all that was to be written is on storage. Not `patient`: without what a bucket that does not
        answer now lacks, which the resumed sweep makes again."""
