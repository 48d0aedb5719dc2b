"""Limit torch to one thread where more would slow the work down."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Within, torch runs each operation in one thread, so sums come out the same on every machine.

    An evaluation is many small operations. After each, all of torch's threads would wait for the slowest.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
