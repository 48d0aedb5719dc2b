"""A Ctrl-C that something swallows."""

import signal
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from vae.cli.interrupt import kept_ctrl_c

pytestmark = pytest.mark.usefixtures("hears_ctrl_c")
lost = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class PressesAsItGoes:
    """Python drops what its __del__ raises."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def _press_in_an_except_clause() -> None:
    with suppress(BaseException):
        signal.raise_signal(signal.SIGINT)


@lost
@pytest.mark.parametrize("press", [PressesAsItGoes, _press_in_an_except_clause])
def test_a_ctrl_c_that_was_swallowed_is_raised_at_the_next_check(press: Callable[[], object]) -> None:
    reached: list[str] = []

    def steps() -> None:
        with kept_ctrl_c() as check:
            check()
            press()
            reached.append("after the press")
            check()
            reached.append("after the check")

    with pytest.raises(KeyboardInterrupt):
        steps()
    assert reached == ["after the press"]


@lost
def test_the_end_of_the_block_is_a_check() -> None:
    with pytest.raises(KeyboardInterrupt), kept_ctrl_c():
        PressesAsItGoes()


def test_one_that_nothing_swallows_is_raised_where_it_comes() -> None:
    reached: list[str] = []

    def steps() -> None:
        with kept_ctrl_c():
            signal.raise_signal(signal.SIGINT)
            reached.append("after the press")

    with pytest.raises(KeyboardInterrupt):
        steps()
    assert reached == []


@pytest.mark.parametrize("before", [signal.default_int_handler, signal.SIG_IGN])
def test_the_handler_before_is_there_again_and_one_that_ignores_is_left(before: Callable[..., None]) -> None:
    kept = signal.signal(signal.SIGINT, before)
    try:
        with kept_ctrl_c() as check:
            if before == signal.SIG_IGN:
                signal.raise_signal(signal.SIGINT)
            check()
        assert signal.getsignal(signal.SIGINT) == before
    finally:
        signal.signal(signal.SIGINT, kept)


def test_in_another_thread_there_is_nothing_to_keep() -> None:
    done = []

    def work() -> None:
        with kept_ctrl_c() as check:
            check()
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
