"""What a process leaves that is killed before it is done: files that have no name yet, a sweep without a manifest."""

import os
import re
from pathlib import Path

from tuning.layout import LOCK_FILE, MIRROR_FILE

# vae.files.LocalFiles writes a file beside, as .NAME.PID; tuning.cluster.checks probes a storage with .check-...
NAMELESS = re.compile(r"\..+\.\d+|\.check-[0-9a-f]{32}.*")


def is_leftover(name: str) -> bool:
    """Whether a file, of whatever folder, has not got its name yet."""
    return NAMELESS.fullmatch(name.rpartition("/")[2]) is not None


def clear(folder: Path) -> None:
    """Remove the leftovers right below a folder that nobody else writes to now."""
    for path in folder.iterdir():
        if is_leftover(path.name):
            path.unlink(missing_ok=True)


def is_abandoned(folder: Path) -> bool:
    """Whether it is that of a sweep which was killed before it had a manifest: a lock, and the note of a mirror where
    the sweep is in a bucket, and nothing else with a name.

    Such a sweep cannot be resumed. Whoever gets the lock may begin in its folder.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    named = {name for name in names if not is_leftover(name)}
    return LOCK_FILE in named and named <= {LOCK_FILE, MIRROR_FILE}
