"""InThread: proposals of a sampler that thinks for seconds, made beside the driver, which has other trials to serve."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

AT_ONCE_SECONDS = 0.05  # the first proposals are random, and made by then


class InThread:
    """Ask `is_ready` until it is, then call for the proposal."""

    def __init__(self, propose: Callable[[], tuple[int, dict[str, Any]]]) -> None:
        self._propose = propose
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="proposal")
        self._coming: Future[tuple[int, dict[str, Any]]] | None = None

    def is_ready(self) -> bool:
        """Whether there is a proposal. The first to ask has it made, from the results that there are by then."""
        if self._coming is None:
            self._coming = self._thread.submit(self._propose)
        try:
            self._coming.exception(timeout=AT_ONCE_SECONDS)
        except TimeoutError:
            return False
        return True

    def __call__(self) -> tuple[int, dict[str, Any]]:
        """The proposal. Raises what the sampler has raised."""
        coming = self._coming or self._thread.submit(self._propose)
        self._coming = None
        return coming.result()
