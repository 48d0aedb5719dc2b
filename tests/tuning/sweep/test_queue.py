"""The queue of a sweep's trials: in which order Tune has them, and what becomes of one that is lost."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.material.search import record, space
from tuning.records import TrialRecord
from tuning.space.model import SearchSpace
from tuning.sweep.queue import RETRIES, Proposal, TrialQueue

SEED = 7


def proposals(first: int = 0) -> Iterator[Proposal]:
    number = first
    while True:
        yield number, {"beta": 0.5 + number / 10}
        number += 1


def queue_of(chosen: SearchSpace, past: list[TrialRecord] | None = None, first: int = 0) -> TrialQueue:
    """first: the number of the first configuration that is proposed anew."""
    source = proposals(first)
    return TrialQueue(chosen, SEED, lambda: next(source), past or [])


def of(**changes: Any) -> SearchSpace:
    return space(search={"beta": {"type": "float", "low": 0.25, "high": 4.0}}, **changes)


def run_all(queue: TrialQueue) -> list[str]:
    """Give out and end all that there is; the ids in their order."""
    ids = []
    for _ in range(queue.n_to_run):
        trial = queue.next()
        ids.append(trial.trial_id)
        queue.began(trial)
        queue.ended(trial)
    return ids


def test_a_new_sweep_gives_out_what_is_proposed() -> None:
    queue = queue_of(of(trials=3))
    assert queue.n_to_run == 3
    assert run_all(queue) == ["0000", "0001", "0002"]
    assert queue.n_to_run == 0


def test_each_configuration_is_tried_with_the_same_seeds_before_the_next_is_proposed() -> None:
    queue = queue_of(of(trials=2, repeats=3, scheduler={"type": "none"}))
    trials = [queue.next() for _ in range(queue.n_to_run)]
    assert [trial.trial_id for trial in trials] == ["0000-1", "0000-2", "0000-3", "0001-1", "0001-2", "0001-3"]
    assert [trial.config.seed for trial in trials] == [SEED, SEED + 1, SEED + 2] * 2
    assert [trial.params["beta"] for trial in trials] == [0.5] * 3 + [0.6] * 3


def test_a_resumed_sweep_gives_out_first_what_an_earlier_run_began() -> None:
    chosen = of(trials=5)
    past = [record(chosen, n, {"beta": 1.0}, [-100.0], state) for n, state in enumerate(("running", "pruned"))]
    past += [record(chosen, 2, {"beta": 1.0}, [], "running")]
    queue = queue_of(chosen, past, first=3)
    assert queue.n_to_run == 4
    assert queue.next() is past[0]
    assert queue.next() is past[2]
    assert run_all(queue) == ["0003", "0004"]


def test_a_driver_that_died_between_the_seeds_of_a_configuration_is_followed_by_one_that_tries_the_others() -> None:
    chosen = of(trials=2, repeats=3, scheduler={"type": "none"})
    first = queue_of(chosen)
    past = [first.next(), first.next()]
    past[0].state = "complete"
    queue = queue_of(chosen, past, first=1)
    assert queue.n_to_run == 5
    assert run_all(queue) == ["0000-2", "0000-3", "0001-1", "0001-2", "0001-3"]


def test_a_sweep_of_which_every_trial_has_ended_has_nothing_to_run_until_it_is_extended() -> None:
    past = [record(of(trials=2), n, {"beta": 1.0}, [-100.0], "complete") for n in range(2)]
    assert queue_of(of(trials=2), past).n_to_run == 0
    assert run_all(queue_of(of(trials=3), past, first=2)) == ["0002"]


def test_a_trial_that_is_lost_before_a_worker_took_it_on_is_given_out_again_when_all_others_have_ended() -> None:
    queue = queue_of(of(trials=3))
    lost, other = queue.next(), queue.next()
    assert queue.lose(lost)
    queue.began(other)
    queue.ended(other)
    assert not queue.take_back()  # the third trial was never proposed: the sweep was stopped
    third = queue.next()
    queue.began(third)
    assert not queue.take_back()  # the third trial runs: the sweep was stopped
    queue.ended(third)
    assert queue.n_to_run == 0
    assert queue.take_back()
    assert queue.n_to_run == 1
    assert queue.next() is lost
    queue.ended(lost)
    assert not queue.take_back()


def test_several_lost_trials_are_given_out_again_in_the_order_of_their_proposal() -> None:
    queue = queue_of(of(trials=3))
    trials = [queue.next() for _ in range(3)]
    for trial in (trials[2], trials[0]):
        assert queue.lose(trial)
    queue.ended(trials[1])
    assert queue.take_back()
    assert run_all(queue) == ["0000", "0002"]


def test_a_trial_that_a_worker_took_on_is_not_lost_but_failed() -> None:
    queue = queue_of(of(trials=1))
    trial = queue.next()
    queue.began(trial)
    assert not queue.lose(trial)


@pytest.mark.parametrize("n_losses", range(RETRIES + 1))
def test_a_trial_may_be_lost_a_few_times_only(n_losses: int) -> None:
    queue = queue_of(of(trials=1))
    for _ in range(n_losses):
        assert queue.lose(queue.next())
        assert queue.take_back()
    assert queue.lose(queue.next()) == (n_losses < RETRIES)


def test_trials_whose_trainer_died_again_and_again_run_alone_when_all_others_have_ended() -> None:
    queue = queue_of(of(trials=4))
    trials = [queue.next() for _ in range(4)]
    for trial in trials:
        queue.began(trial)
    for trial in trials[:2]:
        assert queue.set_aside(trial)
    queue.ended(trials[2])
    assert not queue.take_back()  # the fourth runs
    queue.ended(trials[3])
    assert not queue.is_alone
    assert queue.take_back()
    assert queue.is_alone
    assert [queue.next() for _ in range(queue.n_to_run)] == trials[:2]
    queue.ended(trials[0])
    assert not queue.set_aside(trials[1])  # it was alone: it is what kills
    queue.ended(trials[1])
    assert not queue.take_back()


def test_lost_trials_run_before_those_that_run_alone() -> None:
    queue = queue_of(of(trials=2))
    suspect, lost = queue.next(), queue.next()
    queue.began(suspect)
    assert queue.set_aside(suspect)
    assert queue.lose(lost)
    assert queue.take_back()
    assert not queue.is_alone
    assert run_all(queue) == [lost.trial_id]
    assert queue.take_back()
    assert queue.is_alone
    assert run_all(queue) == [suspect.trial_id]
