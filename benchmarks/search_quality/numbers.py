"""From sweeps to numbers: regret against trial-epochs, and the trial-epochs until a sweep is near the best."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.search_quality.simulate import Found, Step


@dataclass(frozen=True)
class Run:
    """A sweep by one search, and what it found."""

    search: str
    slots: int
    seed: int
    budget: int
    found: Found

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, line: dict[str, object]) -> "Run":
        content: dict[str, object] = dict(line)
        found: object = content.pop("found")
        assert isinstance(found, dict)
        steps = [Step(**step) for step in found.pop("steps")]
        return cls(**content, found=Found(steps, **found))  # type: ignore[arg-type]


def regret(steps: Iterable[Step], best: float, at: int) -> float:
    """Nats by which the winner after so many trial-epochs is expected to miss the best of the space; infinity before
    the first epoch. The winner is the trial that looks best, its worth is without its luck."""
    return next((best - step.worth for step in reversed(list(steps)) if step.trial_epochs <= at), math.inf)


def epochs_until(steps: Iterable[Step], best: float, within: float) -> float:
    """Trial-epochs after which the winner first is within so many nats of the best; infinity if it never is."""
    return next((step.trial_epochs for step in steps if best - step.worth <= within), math.inf)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, lower and upper quartile, each a value that occurred: some may be infinite."""
    median, low, high = (float(np.quantile(values, q, method="inverted_cdf")) for q in (0.5, 0.25, 0.75))
    return median, low, high


def median_interval(values: Sequence[float], n_draws: int = 2_000) -> tuple[float, float]:
    """Where the median lies with 95 % confidence, by bootstrap over the seeds."""
    draws = np.random.default_rng(0).choice(np.asarray(values), (n_draws, len(values)))
    medians = np.quantile(draws, 0.5, axis=1, method="inverted_cdf")
    low, high = np.quantile(medians, (0.025, 0.975), method="inverted_cdf")
    return float(low), float(high)


def paired(regrets: Mapping[int, float], others: Mapping[int, float]) -> tuple[float, float] | None:
    """The mean over the seeds of both by which the first regret is larger, and its standard error; None for fewer than
    two seeds. Searches of the same seed begin with the same trials, so pairs differ less than sweeps do."""
    differences = [regrets[seed] - others[seed] for seed in sorted(set(regrets) & set(others))]
    if len(differences) < 2:
        return None
    return statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(differences))
