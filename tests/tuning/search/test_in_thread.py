"""Proposals that are made beside the driver: the same ones, and nobody waits for them."""

import threading
import time
from pathlib import Path

import pytest

from tests.material.search import record, run_trial, space_for
from tuning.search.in_thread import InThread
from tuning.search.study import Study


def test_nobody_waits_for_a_proposal_that_is_still_being_made() -> None:
    made = threading.Event()

    def propose() -> tuple[int, dict[str, float]]:
        assert made.wait(60)
        return 7, {"beta": 1.0}

    thinking = InThread(propose)
    assert [thinking.is_ready() for _ in range(3)] == [False] * 3
    made.set()
    deadline = time.monotonic() + 60
    while not thinking.is_ready():
        assert time.monotonic() < deadline
    assert thinking.is_ready()
    assert thinking() == (7, {"beta": 1.0})


def test_one_proposal_is_made_at_a_time_and_each_is_given_once() -> None:
    numbers = iter(range(9))
    thinking = InThread(lambda: (next(numbers), {}))
    given = []
    for _ in range(3):
        while not thinking.is_ready():
            pass
        thinking.is_ready()
        given.append(thinking()[0])
    assert [*given, thinking()[0]] == [0, 1, 2, 3]


def test_what_a_sampler_raises_reaches_the_driver() -> None:
    def propose() -> tuple[int, dict[str, float]]:
        raise ValueError("no such distribution")

    thinking = InThread(propose)
    while not thinking.is_ready():
        pass
    with pytest.raises(ValueError, match=r"^no such distribution$"):
        thinking()


def test_a_gaussian_process_proposes_in_a_thread_what_it_would_propose_without_while_results_come_in(
    tmp_path: Path,
) -> None:
    chosen, studies = space_for("gp"), []
    for name in ("beside", "plain"):
        (tmp_path / name).mkdir()
        studies.append(Study(tmp_path / name, chosen, 0))
        for _ in range(6):
            run_trial(chosen, studies[-1])
    beside, plain = studies
    thinking = InThread(beside.propose)
    while not thinking.is_ready():
        pass
    first = thinking()
    assert first == plain.propose()
    trial = record(chosen, *first, elbos=[-120.0, -110.0])
    thinking.is_ready()  # begins with the next one
    for reached in trial.history:
        beside.report(first[0], reached)
    assert thinking()[0] == first[0] + 1
