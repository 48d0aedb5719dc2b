"""A sweep in simulated time: slots train trials of a landscape side by side, and nothing is started but the search."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Landscape(Protocol):
    """What trials of a configuration look like: benchmarks.search_quality.surrogate.Surrogate."""

    def expected(self, params: Mapping[str, Any]) -> np.ndarray:
        """The ELBO of each epoch, without noise."""

    def trained(self, expected: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
        """Such a curve with the noise of one seed."""

    def epoch_seconds(self, params: Mapping[str, Any]) -> float:
        """How long an epoch takes."""


class Search(Protocol):
    """What proposes trials and stops them."""

    def propose(self) -> tuple[int, dict[str, Any]]:
        """The next trial's number and configuration."""

    def epoch(self, number: int, epoch: int, elbo: float) -> bool:
        """A trial has trained an epoch. Whether it stops here; after its last one it does."""


@dataclass(frozen=True)
class Step:
    """A trial becomes the sweep's best. worth: what its configuration is expected to reach by this epoch, without the
    luck of its seed."""

    trial_epochs: int
    elbo: float
    worth: float


@dataclass
class _Running:
    number: int
    seconds: float
    expected: np.ndarray
    trained: np.ndarray
    n_epochs: int = 0


@dataclass(frozen=True)
class Found:
    """A sweep: each time it found something better, how many trials it began, and how many it trained to the end."""

    steps: list[Step]
    n_trials: int
    n_complete: int


def simulate(search: Search, landscape: Landscape, epochs: int, slots: int, budget: int, seed: int) -> Found:
    """A sweep of `slots` trials at a time until all of them have trained `budget` epochs together.

    A trial that ends frees its slot for the next proposal at once. Two trials whose epochs end at the same time are
    heard in the order of their numbers.
    """
    steps: list[Step] = []
    due: list[tuple[float, int, _Running]] = []
    now, n_trials, n_complete, trained = 0.0, 0, 0, 0
    while trained < budget:
        while len(due) < slots:
            number, params = search.propose()
            expected = landscape.expected(params)[:epochs]
            running = _Running(
                number, landscape.epoch_seconds(params), expected, landscape.trained(expected, (seed, number))
            )
            heapq.heappush(due, (now + running.seconds, number, running))
            n_trials += 1
        now, number, running = heapq.heappop(due)
        elbo = float(running.trained[running.n_epochs])
        running.n_epochs += 1
        trained += 1
        if not steps or elbo > steps[-1].elbo:
            steps.append(Step(trained, elbo, float(running.expected[: running.n_epochs].max())))
        stops = search.epoch(number, running.n_epochs, elbo)
        n_complete += running.n_epochs == epochs
        if not stops:
            heapq.heappush(due, (now + running.seconds, number, running))
    return Found(steps, n_trials, n_complete)
