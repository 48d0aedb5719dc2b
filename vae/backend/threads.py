"""Limit torch to one thread where more would slow the work down, and share work among Python's threads."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")
Advance = Callable[[int], None]  # called with the number of steps that were done since the last call


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


class StoppedError(Exception):
    """Of a job whose result nobody waits for any more."""


def side_by_side(
    work: Callable[[Job, Advance], Result], jobs: Sequence[Job], n_threads: int, advance: Advance
) -> list[Result]:
    """The results of work(job, told) in the order of the jobs; each works in a thread and tells `told` of its steps.

    Torch works outside Python's lock, and each thread with one of its own: a result is what it would be alone. The
    error of a job is raised at once, and so is Ctrl-C: the other jobs end at their next step. `advance` is called in
    this thread.
    """
    steps: SimpleQueue[int | Future[Result]] = SimpleQueue()  # a number of steps, or a job that has ended
    is_over = Event()

    def told(n: int) -> None:
        if is_over.is_set():
            raise StoppedError
        steps.put(n)

    pool = ThreadPoolExecutor(n_threads)
    # From here on and not in each job alone: a job that ends would give torch's threads back to those that go on.
    with one_torch_thread():
        try:
            futures = [pool.submit(work, job, told) for job in jobs]
            for future in futures:
                future.add_done_callback(steps.put)
            n_left = len(futures)
            while n_left:
                step = steps.get()
                if isinstance(step, int):
                    advance(step)
                else:
                    step.result()
                    n_left -= 1
            return [future.result() for future in futures]
        finally:
            is_over.set()
            pool.shutdown(wait=False, cancel_futures=True)
