"""Work in processes beside this one, which begin with a copy of all that it has in memory."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Generic, TypeVar

import torch

Result = TypeVar("Result")

MOST_WAITING = 2**14  # jobs, of two bytes each: half of what a pipe holds; more are done here
PATIENCE = 300.0  # seconds without an answer, until a job is done here


class Beside(Generic[Result]):
    """Use it as a context manager: the processes begin with the block and end with it, whatever they are doing.

    Only what a job returns goes from process to process. A job without an answer, because it failed or because its
    process died, is done again here, where its error has a traceback. Make it before there are threads in this
    process: a lock that a thread holds at that moment stays held in the copies.
    """

    def __init__(self, jobs: Sequence[Callable[[], Result]], n_processes: int) -> None:
        """n_processes: 1 (and any number where a process cannot be copied safely) does each job here, when its result
        is asked for."""
        self._jobs = jobs
        self._n_processes = min(n_processes, len(jobs)) if n_processes > 1 and sys.platform == "linux" else 0
        self._answers: SimpleQueue[tuple[int, Result] | None] = SimpleQueue()
        self._found: dict[int, Result] = {}
        self._processes: list[Any] = []
        self._n_reading = 0

    def __enter__(self) -> "Beside[Result]":
        try:
            if self._n_processes:
                self._begin()
        except BaseException:  # Ctrl-C above all
            self._end()
            raise
        return self

    def _begin(self) -> None:
        """All processes take their jobs from one pipe; each answers through a pipe of its own."""
        waiting, end = os.pipe()
        os.write(end, b"".join(place.to_bytes(2) for place in range(min(len(self._jobs), MOST_WAITING))))
        os.close(end)
        context, answers = get_context("fork"), []
        with _no_ctrl_c():
            for _ in range(self._n_processes):
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(self._jobs, waiting, theirs), daemon=True)
                process.start()
                theirs.close()
                self._processes.append(process)
                answers.append(ours)
        os.close(waiting)
        self._n_reading = len(answers)
        for answer in answers:  # threads only now, after the last copy
            Thread(target=self._read, args=(answer,), daemon=True).start()

    def result(self, place: int) -> Result:
        """Of the job at this place; waits for it. Raises its error."""
        while place not in self._found and self._n_reading:
            try:
                answer = self._answers.get(timeout=PATIENCE)
            except Empty:
                break
            if answer is None:
                self._n_reading -= 1
            else:
                self._found[answer[0]] = answer[1]
        if place not in self._found:
            self._found[place] = self._jobs[place]()
        return self._found[place]

    def _read(self, answer: "Connection[Any, Any]") -> None:
        try:
            while True:
                self._answers.put(answer.recv())
        except (EOFError, OSError):
            self._answers.put(None)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Processes that begin here never hear of Ctrl-C: the one that they belong to ends them. It hears it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(jobs: Sequence[Callable[[], Any]], waiting: int, answer: "Connection[Any, Any]") -> None:
    """Do jobs as long as one is waiting. One that fails is left to the process that asked for it."""
    torch.set_num_threads(1)  # torch's other threads were not copied; one would wait for them for ever
    while place := os.read(waiting, 2):
        try:
            result = jobs[int.from_bytes(place)]()
        except Exception:
            continue
        answer.send((int.from_bytes(place), result))
