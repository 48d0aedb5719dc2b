"""TrialQueue: which trial Tune is given next, and where each trial stands."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from tuning.records import TrialRecord, grouped, trial_id
from tuning.space.model import SearchSpace

RETRIES = 2  # of a trial whose worker or node died; it goes on from its checkpoint

Proposal = tuple[int, dict[str, Any]]
"""A configuration: its number, and the values of the searched hyperparameters."""


class Stage(Enum):
    """Where a trial stands in this run of the sweep.

    waiting -> given -> running -> ended; or given -> lost -> waiting, where its worker died before it ran.
    """

    WAITING = auto()  # for Tune to ask: left unfinished by an earlier run, lost, or a seed that was not tried yet
    GIVEN = auto()  # to Tune; no worker has taken it on
    RUNNING = auto()  # a worker has taken it on, once or again
    LOST = auto()  # its worker died as it was handed over, and Tune has given it up
    ENDED = auto()


@dataclass
class _Entry:
    record: TrialRecord
    stage: Stage
    n_losses: int = 0


class TrialQueue:
    """The trials of a sweep in the order in which Tune is to have them: those that wait, then new proposals."""

    def __init__(
        self, space: SearchSpace, seed: int, propose: Callable[[], Proposal], past: Sequence[TrialRecord]
    ) -> None:
        """propose: the next configuration, of which each of the space's repeats becomes a trial."""
        self._space = space
        self._seed = seed
        self._propose = propose
        self._entries: dict[str, _Entry] = {}
        self._waiting: deque[_Entry] = deque()
        # What an earlier run began comes first. A driver that died between the seeds of its last configuration
        # had not come to all of them: the others are next.
        self._add(record for record in past if not record.has_ended)
        self._entries |= {record.trial_id: _Entry(record, Stage.ENDED) for record in past if record.has_ended}
        for configuration in grouped(past):
            if len(configuration.records) < space.repeats:
                self._add(self._trials(configuration.number, configuration.params))

    @property
    def n_to_run(self) -> int:
        """Trials that Tune is yet to be given."""
        return len(self._waiting) + max(0, self._space.n_runs - len(self._entries))

    def next(self) -> TrialRecord:
        """Give Tune the next trial."""
        if not self._waiting:
            self._add(self._trials(*self._propose()))
        entry = self._waiting.popleft()
        entry.stage = Stage.GIVEN
        return entry.record

    def began(self, record: TrialRecord) -> None:
        """A worker has taken the trial on."""
        self._entries[record.trial_id].stage = Stage.RUNNING

    def ended(self, record: TrialRecord) -> None:
        self._entries[record.trial_id].stage = Stage.ENDED

    def lose(self, record: TrialRecord) -> bool:
        """Tune has given the trial up. True: no worker had taken it on, and it may have another try."""
        entry = self._entries[record.trial_id]
        if entry.stage is not Stage.GIVEN or entry.n_losses >= RETRIES:
            return False
        entry.stage = Stage.LOST
        entry.n_losses += 1
        return True

    def take_back(self) -> bool:
        """Let the lost trials wait again when all others have ended. False: none is lost, or the sweep was stopped."""
        lost = [entry for entry in self._entries.values() if entry.stage is Stage.LOST]
        n_ended = sum(entry.stage is Stage.ENDED for entry in self._entries.values())
        if not lost or self.n_to_run or n_ended + len(lost) < len(self._entries):
            return False
        for entry in lost:
            self._wait(entry)
        return True

    def _add(self, records: Iterable[TrialRecord]) -> None:
        """Let these trials wait, those of them that the queue has not."""
        for record in records:
            if record.trial_id not in self._entries:
                self._entries[record.trial_id] = entry = _Entry(record, Stage.WAITING)
                self._wait(entry)

    def _wait(self, entry: _Entry) -> None:
        entry.stage = Stage.WAITING
        self._waiting.append(entry)

    def _trials(self, number: int, params: dict[str, Any]) -> list[TrialRecord]:
        """All trials of a configuration, each with a seed of its own. The seeds are the same for all configurations."""
        space = self._space
        configs = [space.config(params, self._seed + i) for i in range(space.repeats)]
        return [
            TrialRecord(trial_id(number, repeat, space.repeats), params, config, metric=space.metric)
            for repeat, config in enumerate(configs, start=1)
        ]
