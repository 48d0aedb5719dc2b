"""Timeline: how long a run's start takes, from the command to the first epoch, for the manifest."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuning.records import TrialRecord
from vae.model.metrics import EpochMetrics

_IMPORTED = time.monotonic()


def since_command() -> float:
    """Seconds since this process began; where the system does not tell, since this module was loaded."""
    try:
        began_in_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began_in_ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return time.monotonic() - _IMPORTED


class Timeline:
    """An Observer that tells once, with the first epoch, when each part of the start was over."""

    def __init__(self, ray_ready: float, tell: Callable[[dict[str, float]], None]) -> None:
        """ray_ready: seconds since the command. tell: is given each moment, in the same."""
        self._tell = tell
        self._moments = {"ray": ray_ready, "run": since_command()}
        self._is_told = False

    def started(self, record: TrialRecord) -> None:
        """A worker has its images, torch and its first trial: it begins to train."""
        self._moments.setdefault("training", since_command())

    def epoch(self, record: TrialRecord, metrics: EpochMetrics, preview: Any) -> None:
        if not self._is_told:
            self._is_told = True
            self._moments["first_epoch"] = since_command()
            self._tell({name: round(seconds, 2) for name, seconds in self._moments.items()})

    def finished(self, record: TrialRecord) -> None:
        pass
