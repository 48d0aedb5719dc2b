"""Torch's own threads, for work that has better ones or none to spare."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Each operation in one thread: the sums then come out the same on every machine.

    Nor do an evaluation's small operations wait for four threads to meet after each of them: on a machine that has
    other work too, an importance-weighted bound took 325 s with torch's four threads, 5 s with one (4 cores of an
    AMD EPYC, 2026-11-21).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
