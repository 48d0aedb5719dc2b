"""The live view: a table on a terminal, plain lines elsewhere."""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tuning.records import TrialRecord, ranked_by
from tuning.view.console import CONSOLE
from vae.cli.format import duration, number, shown
from vae.model.metrics import EpochMetrics

LINE_SECONDS = 10.0  # between plain lines
SHOWN_RUNNING = 16
NO_RANK = (math.inf, "")


class Progress:
    """An Observer that shows how far the sweep has come. Use it as a context manager around the run.

    The driver tells it of every trial, and rich draws the table in a thread of its own. So what a line says is counted
    as it happens: the thread walks over nothing that grows, and a line costs the same after ten thousand trials.
    """

    def __init__(
        self,
        n_trials: int,
        slots: int,
        varied: Sequence[str],
        past: Sequence[TrialRecord] = (),
        metric: str = "val_elbo",
    ) -> None:
        """varied: the searched hyperparameters; each has a column. metric: SearchSpace.metric."""
        self._n_trials = n_trials
        self._slots = slots
        self._varied = list(varied)
        self._ranked_by = ranked_by(metric)
        self._records = {record.trial_id: record for record in past}
        self._ended: Counter[str] = Counter(record.state for record in past if record.has_ended)
        self._n_before = self._ended.total()
        self._running: dict[str, TrialRecord] = {}
        self._best: TrialRecord | None = None
        self._rank_of_best = NO_RANK
        for record in past:
            self._consider(record)
        self._console = Console(stderr=CONSOLE.stderr)
        self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=2, transient=True)
        self._began = self._said = time.monotonic()

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
        self.say(self.summary())

    def say(self, line: str) -> None:
        """Print a plain line, above the table where there is one."""
        self._console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def started(self, record: TrialRecord) -> None:
        self._records[record.trial_id] = record
        self._running[record.trial_id] = record
        self._consider(record)

    def waits(self, trial_id: str) -> None:
        """A trial lost its worker, and does not run until it is started again."""
        self._running.pop(trial_id, None)

    def epoch(self, record: TrialRecord, metrics: EpochMetrics, preview: Any) -> None:
        self._consider(record)
        self._line()

    def finished(self, record: TrialRecord) -> None:
        self._running.pop(record.trial_id, None)
        self._ended[record.state] += 1
        self._consider(record)
        if record.state == "failed":
            self.say(f"trial {record.trial_id} failed: {record.error}")
        self._line()

    def _line(self) -> None:
        if not self._console.is_terminal and time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            self.say(self.summary())

    def summary(self) -> str:
        """One line: the trials by state, the best so far, the speed, the time left."""
        counts = Counter(self._ended)
        n_done = self._n_done()
        parts = [f"{n_done}/{self._n_trials} trials"]
        counts["running"] = len(self._running)  # not those of a resumed sweep that still wait for their turn
        parts += [f"{counts[state]} {state}" for state in ("complete", "pruned", "failed", "running") if counts[state]]
        if best := self._best:
            value = number(getattr(best.best, self._ranked_by))
            parts.append(f"best {self._ranked_by} {value} (trial {best.trial_id}: {self._params(best)})")
        if n_done > self._n_before:
            parts.append(f"{self._per_minute():.1f} trials/min")
        if n_done < self._n_trials and math.isfinite(self.seconds_left()):
            parts.append(f"{duration(self.seconds_left())} left")
        return ", ".join(parts)

    def _n_done(self) -> int:
        return self._ended.total()

    def _consider(self, record: TrialRecord) -> None:
        """Look whether the trial is the best one now. Only where the best one fell behind are all looked at."""
        rank = _rank(record)
        if rank < self._rank_of_best:
            self._best, self._rank_of_best = record, rank
        elif record is self._best and rank > self._rank_of_best:
            self._best = min(self._records.values(), key=_rank)
            self._rank_of_best = _rank(self._best)
            if self._rank_of_best >= NO_RANK:
                self._best, self._rank_of_best = None, NO_RANK

    def _per_minute(self) -> float:
        return 60 * (self._n_done() - self._n_before) / (time.monotonic() - self._began)

    def seconds_left(self) -> float:
        """By the mean time of the trials that have ended in this run; inf before the first has."""
        n_new = self._n_done() - self._n_before
        if not n_new:
            return math.inf
        elapsed = time.monotonic() - self._began
        half_done = len(self._running) / 2  # a running trial is half done on average
        return elapsed / (n_new + half_done) * max(0.0, self._n_trials - self._n_done() - half_done)

    def _params(self, record: TrialRecord) -> str:
        return " ".join(f"{name}={shown(record.params[name])}" for name in self._varied if name in record.params)

    def _table(self) -> Table:
        table = Table(title=self.summary(), title_justify="left", title_style="", expand=False)
        for column in ("trial", "epoch", self._ranked_by, "best", *self._varied):
            table.add_column(column, justify="right")
        for record in list(self._running.values())[:SHOWN_RUNNING]:
            last = number(getattr(record.history[-1], self._ranked_by)) if record.history else ""
            best = number(getattr(record.best, self._ranked_by)) if record.best else ""
            epochs = f"{len(record.history)}/{record.config.epochs}"
            table.add_row(record.trial_id, epochs, last, best, *settings(record.params, self._varied))
        return table


def _rank(record: TrialRecord) -> tuple[float, str]:
    """Lower is better, as tuning.records.ranked has it; NO_RANK or more of a trial that failed or has no epoch."""
    has_rank = record.state != "failed" and record.best is not None
    return (-record.score, record.trial_id) if has_rank else NO_RANK


def settings(params: Mapping[str, Any], varied: Sequence[str]) -> list[str]:
    """A cell for each searched hyperparameter; '-' for a conditional one that the trial has not."""
    return [shown(params[name]) if name in params else "-" for name in varied]
