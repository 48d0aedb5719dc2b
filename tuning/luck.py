"""Luck: how far a seed moves a score, and whether a difference between two configurations is larger than that."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95  # of every interval


@dataclass(frozen=True)
class SeedSpread:
    """The standard deviation between the seeds of one configuration, pooled over all that have several."""

    sd: float
    degrees: int  # of freedom


@dataclass(frozen=True)
class Difference:
    """Of two mean scores, the first minus the second, with its interval at LEVEL. In nats, higher is better."""

    value: float
    low: float
    high: float

    @property
    def is_decided(self) -> bool:
        """Whether it is larger than what seeds do."""
        return self.low > 0 or self.high < 0


def seed_spread(groups: Sequence[Sequence[float]]) -> SeedSpread | None:
    """groups: the scores of each configuration's seeds. None where no configuration has two."""
    several = [scores for scores in groups if len(scores) > 1]
    degrees = sum(len(scores) - 1 for scores in several)
    if not degrees:
        return None
    squares = sum((len(scores) - 1) * statistics.variance(scores) for scores in several)
    return SeedSpread(math.sqrt(squares / degrees), degrees)


def difference(first: Sequence[float], second: Sequence[float], spread: SeedSpread | None = None) -> Difference | None:
    """The scores of two configurations, one for each seed. Where each has several seeds it is Welch's t interval (Welch
    1947): each has a spread of its own. Otherwise it takes the pooled spread for both; None where there is none."""
    value = statistics.fmean(first) - statistics.fmean(second)
    if len(first) > 1 and len(second) > 1:
        shares = [(statistics.variance(scores) / len(scores), len(scores) - 1) for scores in (first, second)]
        variance = sum(share for share, _ in shares)
        # Welch and Satterthwaite; two configurations whose seeds all agree differ by exactly this much.
        degrees = variance**2 / sum(share**2 / n for share, n in shares) if variance else 1.0
    elif spread is not None:
        variance, degrees = spread.sd**2 * (1 / len(first) + 1 / len(second)), float(spread.degrees)
    else:
        return None
    reach = student_t(degrees) * math.sqrt(variance)
    return Difference(value, value - reach, value + reach)


def student_t(degrees: float, level: float = LEVEL) -> float:
    """The t with P(|T| <= t) = level of Student's distribution; degrees of freedom: 1 or more, whole or not."""
    from scipy.special import stdtrit  # brings NumPy, which --status does without

    return float(stdtrit(degrees, (1 + level) / 2))
