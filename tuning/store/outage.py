"""Outage: wait for a bucket that does not answer, and tell the user so."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tuning.errors import StorageError

FIRST_SECONDS, MOST_SECONDS = 0.5, 15.0  # between two attempts, doubling
AGAIN_SECONDS = 300.0  # between two lines that say it still does not answer


class Outage:
    """Shared by all threads that use one bucket: they wait together, and one line tells of it."""

    def __init__(self, where: str, say: Callable[[str], None]) -> None:
        self._where = where
        self._say = say
        self._lock = threading.Lock()
        self._began: float | None = None  # None: the bucket answers
        self._said = 0.0
        self._given_up = threading.Event()

    @property
    def is_given_up(self) -> bool:
        return self._given_up.is_set()

    def give_up(self) -> None:
        """Let no thread wait any longer."""
        self._given_up.set()

    def wait(self, reason: str, n_failed: int) -> None:
        """Return when it is time for the next attempt. Raises StorageError once the user has given up.

        Ctrl-C must end the wait at once: during a sweep Ray Tune's own handler would only set a flag, which
        nobody reads until this returns.
        """
        self._tell(reason)
        try:
            with _interruptible():
                self._given_up.wait(min(MOST_SECONDS, FIRST_SECONDS * 2 ** min(n_failed, 10)))
        except KeyboardInterrupt:
            self.give_up()
            raise
        if self.is_given_up:
            raise StorageError(f"{self._where}: does not answer ({reason})")

    def over(self) -> None:
        """The bucket has answered."""
        if self._began is None:
            return
        with self._lock:
            if self._began is not None:
                self._say(f"{self._where} answers again after {time.monotonic() - self._began:.0f} s")
                self._began = None

    def _tell(self, reason: str) -> None:
        with self._lock:
            now = time.monotonic()
            if self._began is None:
                self._began = self._said = now
                self._say(f"{self._where} does not answer ({reason}): the sweep waits for it; Ctrl-C stops the sweep")
            elif now - self._said > AGAIN_SECONDS:
                self._said = now
                self._say(f"{self._where} has not answered for {(now - self._began) / 60:.0f} min ({reason})")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have Ctrl-C raise KeyboardInterrupt here; only the main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
