"""A Ctrl-C that is not lost in the code that it comes in."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def kept_ctrl_c() -> Iterator[Callable[[], None]]:
    """Yields a check: it raises KeyboardInterrupt where one was raised before and came to nothing.

    Python drops an error that is raised in `__del__` or in a callback of weakref, and libraries have `except` clauses
    that catch all. So check between two steps, and before a step that cannot be undone. The block's end checks too.
    """
    is_pressed = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_pressed
        is_pressed = True
        raise KeyboardInterrupt

    def check() -> None:
        if is_pressed:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before == signal.SIG_IGN:
        yield check
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield check
        check()
    finally:
        signal.signal(signal.SIGINT, before)
