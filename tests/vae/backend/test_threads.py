"""Work that is shared among threads."""

import os
import signal
import threading
import time

import pytest
import torch

from vae.backend.threads import Advance, side_by_side


def test_the_results_stand_in_the_order_of_the_jobs_and_every_step_is_told() -> None:
    steps: list[int] = []

    def work(job: int, told: Advance) -> int:
        time.sleep(0.02 * (4 - job))  # the last one ends first
        told(job)
        return job * job

    assert side_by_side(work, [1, 2, 3, 4], 4, steps.append) == [1, 4, 9, 16]
    assert sorted(steps) == [1, 2, 3, 4]


def test_each_job_has_one_thread_of_torch_even_when_others_have_ended() -> None:
    torch.set_num_threads(2)
    is_first_over = threading.Event()

    def work(job: str, told: Advance) -> int:
        if job == "first":
            return torch.get_num_threads()
        is_first_over.wait(10)
        return torch.get_num_threads()

    def after(_: int) -> None:
        is_first_over.set()

    threading.Timer(0.1, is_first_over.set).start()
    assert side_by_side(work, ["first", "second"], 2, after) == [1, 1]
    assert torch.get_num_threads() == 2


def test_the_error_of_a_job_is_raised_at_once_and_ends_the_others() -> None:
    steps: list[int] = []

    def work(job: str, told: Advance) -> None:
        if job == "fails":
            raise RuntimeError("no space left")
        for step in range(1000):
            steps.append(step)
            told(1)
            time.sleep(0.01)

    with pytest.raises(RuntimeError, match="no space left"):
        side_by_side(work, ["long", "fails"], 2, lambda _: None)
    time.sleep(0.2)
    n_steps = len(steps)
    time.sleep(0.1)
    assert len(steps) == n_steps < 1000


@pytest.mark.usefixtures("hears_ctrl_c")
def test_ctrl_c_ends_it_at_once_and_no_other_job_begins() -> None:
    begun: list[int] = []

    def work(job: int, told: Advance) -> None:
        begun.append(job)
        while True:
            told(1)
            time.sleep(0.01)

    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        side_by_side(work, [1, 2, 3, 4], 2, lambda _: None)
    time.sleep(0.2)
    assert sorted(begun) == [1, 2]
