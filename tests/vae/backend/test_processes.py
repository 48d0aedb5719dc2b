"""Jobs in processes beside this one."""

import multiprocessing
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from vae.backend.processes import Beside

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every job is done here")


def _pid_and(value: int) -> tuple[int, int]:
    return os.getpid(), value


def _failing() -> int:
    raise ValueError(f"of process {os.getpid()}")


def _killed_unless_in(pid: int) -> int:
    if os.getpid() != pid:
        os.kill(os.getpid(), signal.SIGKILL)
    return 7


def _long(begun: Path) -> bytes:
    begun.touch()
    time.sleep(600)
    return b""


def test_jobs_are_done_by_other_processes_and_answered_by_their_place() -> None:
    with Beside([partial(_pid_and, value) for value in range(5)], 2) as beside:
        found = [beside.result(place) for place in (4, 0, 1, 2, 3)]
    assert [value for _, value in found] == [4, 0, 1, 2, 3]
    assert os.getpid() not in {pid for pid, _ in found}


def test_there_may_be_more_jobs_than_a_byte_counts() -> None:
    with Beside([partial(_pid_and, value) for value in range(600)], 2) as beside:
        assert [beside.result(place)[1] for place in range(600)] == list(range(600))


def test_an_answer_may_be_larger_than_a_pipe_while_nobody_asks_for_it() -> None:
    with Beside([partial(bytes, 10**7), partial(bytes, 10**7)], 2) as beside:
        assert [len(beside.result(place)) for place in (1, 0)] == [10**7, 10**7]


def test_a_job_that_fails_is_done_again_here_where_its_error_is_raised() -> None:
    with Beside([_failing, partial(_pid_and, 1)], 2) as beside:
        assert beside.result(1)[1] == 1
        with pytest.raises(ValueError, match=f"of process {os.getpid()}"):
            beside.result(0)


def test_the_job_of_a_process_that_was_killed_is_done_here() -> None:
    with Beside([partial(_killed_unless_in, os.getpid())] * 3, 2) as beside:
        assert [beside.result(place) for place in range(3)] == [7, 7, 7]


def test_of_one_process_every_job_is_done_here_and_only_once() -> None:
    done: list[int] = []
    with Beside([partial(done.append, 1), partial(done.append, 2)], 1) as beside:
        beside.result(1)
        beside.result(1)
        assert done == [2], "a job that nobody asks for is not done"


def _press_ctrl_c_when_all_work(folder: Path) -> None:
    with Beside([partial(_long, folder / name) for name in "ab"], 2):
        while len(list(folder.iterdir())) < 2:
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("hears_ctrl_c")
def test_ctrl_c_ends_what_is_being_done(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        _press_ctrl_c_when_all_work(tmp_path)
    assert multiprocessing.active_children() == []
    assert time.monotonic() - began < 60


def test_ctrl_c_is_not_heard_by_the_other_processes(capfd: pytest.CaptureFixture[str]) -> None:
    """A terminal sends it to all of them; here only they get it."""
    with Beside([partial(time.sleep, 0.5), partial(_pid_and, 1)], 2) as beside:
        for process in multiprocessing.active_children():
            assert process.pid
            os.kill(process.pid, signal.SIGINT)
        assert beside.result(0) is None
        assert beside.result(1)[0] != os.getpid()
    assert capfd.readouterr().err == ""
