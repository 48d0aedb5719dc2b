"""The median rule decides as Ray's does, and no decision takes longer for the trials that came before."""

import math
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import MedianStoppingRule

from tuning.search.median_rule import MedianRule


class Trial:
    def __init__(self, number: int) -> None:
        self.trial_id = f"tune-{number}"


def both(grace: int, least: int) -> tuple[MedianRule, MedianStoppingRule]:
    """Ours, and Ray's without pauses."""
    same: dict[str, Any] = {"time_attr": "epoch", "metric": "score", "grace_period": grace}
    rays = MedianStoppingRule(**same, mode="max", min_samples_required=least, min_time_slice=math.inf, hard_stop=True)
    return MedianRule(**same, min_samples_required=least), rays


@settings(max_examples=150, deadline=None)
@given(
    st.permutations([number for number in range(7) for _ in range(12)]),
    st.integers(1, 4),
    st.integers(1, 5),
    st.lists(st.sampled_from([-104.0, -103.7, -103.1, -102.9, 1e-9, -1e9]) | st.floats(-120, -80), min_size=84),
)
def test_every_decision_is_that_of_rays_rule_to_the_last_digit(
    order: Sequence[int], grace: int, least: int, scores: Sequence[float]
) -> None:
    ours, rays = both(grace, least)
    trials, reached = [Trial(number) for number in range(7)], [0] * 7
    stopped: set[int] = set()
    for position, number in enumerate(order):
        if number in stopped:
            continue
        reached[number] += 1
        result = {"epoch": reached[number], "score": scores[position]}
        if reached[number] == 12:
            for rule in (ours, rays):
                rule.on_trial_complete(None, trials[number], result)
            continue
        decision = ours.on_trial_result(None, trials[number], result)
        assert decision == rays.on_trial_result(None, trials[number], result)
        if decision == "STOP":
            stopped.add(number)


def seconds_of_a_result(rule: Any, n_before: int) -> float:
    """The median of some, after so many trials of ten epochs."""
    for number in range(n_before):
        for epoch in range(1, 11):
            rule.on_trial_complete(None, Trial(number), {"epoch": epoch, "score": -100.0 - (number * 7919 % 1000) / 9})
    last, seconds = Trial(n_before), []
    for epoch in range(1, 11):
        started = time.perf_counter()
        rule.on_trial_result(None, last, {"epoch": epoch, "score": -50.0})
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)[5]


@pytest.mark.parametrize("n_before", [3_000])
def test_a_result_takes_no_longer_after_thousands_of_trials(n_before: int) -> None:
    """Ray's rule takes 10 ms and more here, and as much again for each 3,000 trials."""
    assert seconds_of_a_result(both(1, 1)[0], n_before) < 0.001
