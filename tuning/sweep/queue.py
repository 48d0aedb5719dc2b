"""TrialQueue: which trial Tune is given next, and where each trial stands."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from tuning.records import TrialRecord, grouped, trial_id
from tuning.space.model import SearchSpace

RETRIES = 2  # of a trial whose worker died as the trial was handed over
DEATHS = 2  # of a trial's worker or trainer in a row, without a new epoch between: then the trial goes on alone

Proposal = tuple[int, dict[str, Any]]
"""A configuration: its number, and the values of the searched hyperparameters."""


class Stage(Enum):
    """Where a trial stands in this run of the sweep.

    waiting -> given -> running -> ended; or given -> lost -> waiting, where its worker died before it ran;
    or running -> aside -> waiting, where its worker or trainer died under it again and again.
    """

    WAITING = auto()  # for Tune to ask: left unfinished by an earlier run, lost, or a seed that was not tried yet
    GIVEN = auto()  # to Tune; no worker has taken it on
    RUNNING = auto()  # a worker has taken it on, once or again
    LOST = auto()  # its worker died as it was handed over, and Tune has given it up
    ASIDE = auto()  # it, or a trial that trained with it, may be what kills its trainer: each of them runs alone
    ENDED = auto()


@dataclass
class _Entry:
    record: TrialRecord
    stage: Stage
    n_losses: int = 0
    is_alone: bool = False


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

    @property
    def needs_proposal(self) -> bool:
        """Whether the next trial is of a configuration that has to be proposed."""
        return not self._waiting

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

    def set_aside(self, record: TrialRecord) -> bool:
        """Its worker or trainer died DEATHS times in a row. False: it ran alone by then, so it is what kills."""
        entry = self._entries[record.trial_id]
        if entry.is_alone:
            return False
        entry.stage = Stage.ASIDE
        return True

    @property
    def is_alone(self) -> bool:
        """Whether the trials that wait are to run one at a time."""
        return any(entry.is_alone for entry in self._waiting)

    def take_back(self) -> bool:
        """When all others have ended, let the lost trials wait again, or if there is none those that were set aside.
        False: there is neither, or the sweep was stopped."""
        lost, aside = self._at(Stage.LOST), self._at(Stage.ASIDE)
        n_over = len(self._at(Stage.ENDED)) + len(lost) + len(aside)
        if not (lost or aside) or self.n_to_run or n_over < len(self._entries):
            return False
        for entry in lost or aside:
            entry.is_alone = not lost
            self._wait(entry)
        return True

    def _at(self, stage: Stage) -> list[_Entry]:
        return [entry for entry in self._entries.values() if entry.stage is stage]

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
