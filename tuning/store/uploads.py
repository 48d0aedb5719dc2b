"""Uploads: objects that threads put into a bucket while the driver goes on."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

UPLOADERS = 4  # threads


class Uploads:
    """Of one name only the latest content is put, and never an older one after a newer one."""

    def __init__(self, put: Callable[[str, bytes], None]) -> None:
        self._put = put
        self._threads = ThreadPoolExecutor(UPLOADERS, thread_name_prefix="upload")
        self._lock = threading.Lock()
        self._waiting: dict[str, bytes] = {}
        self._running: dict[str, Future[None]] = {}
        self._failure: BaseException | None = None

    def add(self, name: str, content: bytes) -> None:
        """Raises what an earlier upload failed with."""
        self.check()
        with self._lock:
            self._waiting[name] = content
            if name not in self._running:
                self._running[name] = self._threads.submit(self._upload, name)

    def check(self) -> None:
        """Raises what an upload failed with."""
        if self._failure is not None:
            raise self._failure

    def flush(self) -> None:
        """Return once everything is in the bucket. Raises what an upload failed with."""
        while True:
            with self._lock:
                running = list(self._running.values())
            if not running:
                break
            for one in running:
                one.result()
        self.check()

    def _upload(self, name: str) -> None:
        """Put the latest content of a name, until no newer one waits."""
        while True:
            with self._lock:
                content = self._waiting.pop(name, None)
                if content is None:
                    del self._running[name]
                    return
            try:
                self._put(name, content)
            except BaseException as error:  # kept for the driver, which looks at it with its next upload
                self._failure = self._failure or error
