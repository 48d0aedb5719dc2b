"""What fresh seeds say of the best configurations of a search: their mean, its spread, and how much luck there was."""

from collections.abc import Sequence
from dataclasses import dataclass

from tuning.layout import CONFIRM_FOLDER
from tuning.luck import LEVEL, Difference, SeedSpread, difference, seed_spread
from tuning.records import Configuration, SweepRecord, configurations

FOLDER = CONFIRM_FOLDER  # of the confirmation, in the sweep's own
HOW = f"Welch's t interval at {LEVEL:.0%}, each pair by itself".replace("%", " %")


@dataclass(frozen=True)
class Confirmed:
    """A configuration of the search whose fresh seeds have all ended.

    rank: by the mean of the fresh seeds, from 1; rank_in_search: by the search. first: as the search found it; fresh:
    its trials in the confirmation, whose numbers there are others. Scores are nats per image, higher is better.
    """

    rank: int
    rank_in_search: int
    first: Configuration
    fresh: Configuration

    @property
    def name(self) -> str:
        """As the search calls it."""
        return self.first.name

    @property
    def mean(self) -> float:
        return self.fresh.mean

    @property
    def sd(self) -> float:
        return self.fresh.sd or 0.0

    @property
    def shrinkage(self) -> float:
        """How much of its first score fresh seeds do not find again: the winner's curse."""
        return self.first.mean - self.fresh.mean


def confirmed(sweep: SweepRecord) -> list[Confirmed]:
    """By the mean of their fresh seeds, best first. A configuration of which a seed has not ended, or has failed, is
    not confirmed: its mean would be over other seeds than those of the others."""
    if sweep.confirmation is None:
        return []
    content = sweep.confirmation.manifest
    names, n_seeds = dict(enumerate(content["confirms"])), content["space"]["repeats"]
    found = {one.name: (rank, one) for rank, one in enumerate(configurations(sweep.trials), start=1)}
    sound = [
        (found[name], fresh)
        for fresh in configurations(sweep.confirmation.trials)
        if (name := names.get(fresh.number)) in found
        and (fresh.n == n_seeds and fresh.has_ended and not fresh.is_failed)
    ]
    return [Confirmed(rank, before, first, fresh) for rank, ((before, first), fresh) in enumerate(sound, start=1)]


def spread_of_seeds(sweep: SweepRecord) -> SeedSpread | None:
    """How far a seed moves a score of this sweep: by its confirmation, or else by its own repeats."""
    fresh = sweep.confirmation.trials if sweep.confirmation else []
    return _spread(configurations(fresh)) or _spread(configurations(sweep.trials))


def _spread(found: Sequence[Configuration]) -> SeedSpread | None:
    return seed_spread([one.scores for one in found if one.has_ended and not one.is_failed])


def noise_line(found: Sequence[Confirmed]) -> str:
    """Which of them the first cannot be told apart from; '' of fewer than two."""
    return told_apart([(str(one.rank), one.fresh.scores) for one in found])


def told_apart(best_first: Sequence[tuple[str, Sequence[float]]]) -> str:
    """The same of the scores of several seeds each, by name. Those of fewer than two seeds are left out."""
    several = [(name, scores) for name, scores in best_first if len(scores) > 1]
    if len(several) < 2 or several[0] != best_first[0]:
        return ""
    (best, scores), *others = several
    compared = [(name, gap) for name, theirs in others if (gap := difference(scores, theirs))]
    undecided = [name for name, gap in compared if not gap.is_decided]
    if undecided:
        *before, last = undecided
        several_names = f"{best} cannot be told apart from {', '.join(before)} and {last}"
        which = several_names if before else f"{best} and {last} cannot be told apart"
        return f"{which}: the interval of their difference includes 0 ({HOW})."
    (second, gap), *_ = compared
    lead = f"of {second} by {gap.value:.2f} nats, {interval(gap)}"
    return f"{best} is ahead of all others by more than a seed does: {lead} ({HOW})."


def interval(gap: Difference) -> str:
    return f"{gap.low:.2f} to {gap.high:.2f}"
