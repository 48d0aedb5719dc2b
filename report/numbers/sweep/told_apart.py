"""Whether two configurations can be told apart, in words: is their difference larger than what a seed does?"""

from collections.abc import Sequence

from tuning.confirmed import Confirmed, interval, spread_of_seeds
from tuning.luck import LEVEL, difference
from tuning.records import SweepRecord

PERCENT = f"{100 * LEVEL:.0f} %"


def verdict(sweep: SweepRecord, first: Sequence[float], second: Sequence[float]) -> str:
    """'a seed moves 0.20: not decided (95 % interval -0.20 to 0.44)' of the scores of two configurations, one for each
    seed; '' where the sweep has no configuration with several seeds."""
    spread = spread_of_seeds(sweep)
    gap = difference(first, second, spread)
    if spread is None or gap is None:
        return ""
    word = "decided" if gap.is_decided else "not decided"
    return f"a seed moves {spread.sd:.2f}: {word} ({PERCENT} interval {interval(gap)})"


def shrinkage_line(one: Confirmed) -> str:
    """How the first score of a configuration compares with what fresh seeds find, which may have trained for longer."""
    less = "less" if one.shrinkage >= 0 else "more"
    curse = ", the winner's curse" if one.shrinkage > 0 else ""
    gap = f"{abs(one.shrinkage):.2f} nats {less}"
    before, now = (max(len(record.history) for record in of.records) for of in (one.first, one.fresh))
    longer = f" (after {now} epochs, not {before})" if now > before else ""
    return f"The search had it at rank {one.rank_in_search}; fresh seeds find {gap} than the search did{curse}{longer}."
