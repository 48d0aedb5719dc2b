"""Show how far a long task is: a bar with the time left on a terminal, otherwise a line every ten seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[[int], None]  # called with the number of steps that were done since the last call
PERIOD = 10.0  # seconds


@contextmanager
def countdown(what: str, total: int) -> Iterator[Advance]:
    """Yields what to call after each step of `total`. It shows on stderr, so that stdout can be piped."""
    if not sys.stderr.isatty():
        yield Lines(what, total, lambda line: print(line, file=sys.stderr, flush=True))
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TimeRemainingColumn(), TextColumn("left"), transient=True, console=Console(stderr=True)
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda n: progress.advance(task, n)


class Lines:
    """Say how far the task is, at most once in a PERIOD; a shorter task is silent."""

    def __init__(self, what: str, total: int, say: Callable[[str], None]) -> None:
        self._what, self._total, self._say = what, total, say
        self._done = 0
        self._started = self._said = time.monotonic()

    def __call__(self, n: int) -> None:
        self._done += n
        now = time.monotonic()
        if now - self._said >= PERIOD and 0 < self._done < self._total:
            self._said = now
            left = (now - self._started) * (self._total - self._done) / self._done
            self._say(f"{self._what}: {self._done:,} of {self._total:,}, {left:.0f} s left")
