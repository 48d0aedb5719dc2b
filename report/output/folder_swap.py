"""A folder that is rebuilt whole: beside, then into place."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vae.errors import UserError


@contextmanager
def rebuilt(folder: Path) -> Iterator[Path]:
    """An empty folder to fill; when the block ends it is `folder`. If the block raises, `folder` stays as it was.

    A folder that is not empty cannot be replaced in one step: a process that dies between the two
    renames leaves the old one beside, where the next rebuild finds it. Raises UserError where it cannot write.
    """
    new, old = (folder.with_name(f".{folder.name}.{age}") for age in ("new", "old"))
    try:
        _recover(folder, new, old)
        new.mkdir(parents=True)
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot write ({error.strerror or error})") from error
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
