"""How a command ends: its exit codes, and what happens when nobody reads its output any more."""

import os
import sys
from collections.abc import Callable

FAULT = 2  # the user's to mend
INTERRUPTED = 130  # by Ctrl-C, as a shell counts it: 128 + SIGINT
CLOSED_PIPE = 141  # 128 + SIGPIPE


def exit_code(main: Callable[[], int]) -> int:
    """Run a command. Where its output's reader has gone, as in `| head`, it ends without a word, as by SIGPIPE."""
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()  # here and not as Python ends, which would print what it could not write
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still in the buffer
        return CLOSED_PIPE
