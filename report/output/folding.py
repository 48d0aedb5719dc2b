"""Keep TensorBoard quick in a large sweep: it reads a run for each trial, and thousands of them take it minutes.

The driver imports this before Ray starts, as live_events does: neither torch nor matplotlib.
"""

import heapq
import math
from collections.abc import Iterable
from pathlib import Path

from tuning.records import TrialRecord

MANY = 2000  # trials that a sweep is to have; of fewer all keep their events
KEPT = 500  # the best trials, which keep them


def folding_notes(n_trials: int) -> list[str]:
    """A line to say when a sweep of so many trials begins; [] where nothing is folded away."""
    if n_trials < MANY:
        return []
    return [f"TensorBoard shows the running trials and the best {KEPT}; the page and leaderboard.csv have all of them"]


class Folding:
    """Remove the event files of ended trials that are not among the best. Their other files stay as they are."""

    def __init__(self, folder: Path, n_trials: int, past: Iterable[TrialRecord] = ()) -> None:
        """folder: the sweep's. past: the trials of a sweep that is resumed."""
        self._folder, self._is_on = folder, n_trials >= MANY
        self._scores: dict[str, float] = {}  # of the trials that have ended and keep their events
        self._worst_first: list[tuple[float, str, str]] = []  # score, id, folder
        for record in past:
            if record.has_ended:
                self.ended(record)

    def began(self, record: TrialRecord) -> None:
        """Perhaps once more, after it had failed."""
        self._scores.pop(record.trial_id, None)

    def ended(self, record: TrialRecord) -> None:
        if not self._is_on:
            return
        score = -math.inf if record.state == "failed" else record.score
        self._scores[record.trial_id] = score
        heapq.heappush(self._worst_first, (score, record.trial_id, record.folder))
        while len(self._scores) > KEPT:
            score, trial_id, folder = heapq.heappop(self._worst_first)
            if self._scores.get(trial_id) == score:  # and not an entry of the time before it was begun again
                del self._scores[trial_id]
                _remove_events(self._folder / folder)

    def keeps(self, record: TrialRecord) -> bool:
        return not self._is_on or not record.has_ended or record.trial_id in self._scores


def _remove_events(folder: Path) -> None:
    for path in folder.glob("events.out.tfevents.*"):
        path.unlink(missing_ok=True)
