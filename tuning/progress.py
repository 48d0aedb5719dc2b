"""The live view: a table that follows the sweep on a terminal, plain lines elsewhere."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tuning.records import TrialRecord, ranked
from vae.metrics import EpochMetrics

LINE_SECONDS = 10.0  # between plain lines
SHOWN_RUNNING = 16


class Progress:
    """An Observer that shows how far the sweep is. Use as a context manager around the run."""

    def __init__(self, n_trials: int, slots: int, varied: Sequence[str], past: Sequence[TrialRecord] = ()) -> None:
        """varied: the hyperparameters worth a column."""
        self._n_trials = n_trials
        self._slots = slots
        self._varied = list(varied)
        self._records = {record.trial_id: record for record in past}
        self._n_before = sum(record.state != "running" for record in past)
        self._running: dict[str, TrialRecord] = {}
        self._console = Console()
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
        """A plain line, above the table where there is one."""
        self._console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def started(self, record: TrialRecord) -> None:
        self._records[record.trial_id] = record
        self._running[record.trial_id] = record

    def epoch(self, record: TrialRecord, metrics: EpochMetrics, preview: Any) -> None:
        self._line()

    def finished(self, record: TrialRecord) -> None:
        self._running.pop(record.trial_id, None)
        if record.state == "failed":
            self.say(f"trial {record.trial_id} failed: {record.error}")
        self._line()

    def _line(self) -> None:
        if not self._console.is_terminal and time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            self.say(self.summary())

    def summary(self) -> str:
        """One line: how many of each state, the best so far, the speed, the time left."""
        counts: Counter[str] = Counter(record.state for record in self._records.values())
        n_done = self._n_done()
        parts = [f"{n_done}/{self._n_trials} trials"]
        counts["running"] = len(self._running)  # a resumed sweep has some that wait for their turn
        parts += [f"{counts[state]} {state}" for state in ("complete", "pruned", "failed", "running") if counts[state]]
        if best := self._best():
            parts.append(f"best val_elbo {best.val_elbo:.2f} (trial {best.trial_id}: {self._params(best)})")
        if n_done > self._n_before:
            parts.append(f"{self._per_minute():.1f} trials/min")
        if n_done < self._n_trials and math.isfinite(self.seconds_left()):
            parts.append(f"{duration(self.seconds_left())} left")
        return ", ".join(parts)

    def _n_done(self) -> int:
        return sum(record.state != "running" for record in self._records.values())

    def _best(self) -> TrialRecord | None:
        best = ranked(list(self._records.values()))[:1]
        return best[0] if best and best[0].best and best[0].state != "failed" else None

    def _per_minute(self) -> float:
        return 60 * (self._n_done() - self._n_before) / (time.monotonic() - self._began)

    def seconds_left(self) -> float:
        """From the mean time of the trials that have ended in this run; inf before the first."""
        n_new = self._n_done() - self._n_before
        if not n_new:
            return math.inf
        elapsed = time.monotonic() - self._began
        half_done = len(self._running) / 2  # those that run are half done on average
        return elapsed / (n_new + half_done) * max(0.0, self._n_trials - self._n_done() - half_done)

    def _params(self, record: TrialRecord) -> str:
        values = record.config.model_dump()
        return " ".join(f"{name}={shown(values[name])}" for name in self._varied)

    def _table(self) -> Table:
        table = Table(title=self.summary(), title_justify="left", title_style="", expand=False)
        for column in ("trial", "epoch", "val_elbo", "best", *self._varied):
            table.add_column(column, justify="right")
        for record in list(self._running.values())[:SHOWN_RUNNING]:
            last = f"{record.history[-1].val_elbo:.2f}" if record.history else ""
            best = f"{record.val_elbo:.2f}" if record.best else ""
            values = record.config.model_dump()
            epochs = f"{len(record.history)}/{record.config.epochs}"
            table.add_row(record.trial_id, epochs, last, best, *(shown(values[name]) for name in self._varied))
        return table


def best_table(records: Sequence[TrialRecord], varied: Sequence[str], n_rows: int) -> Table:
    """The best trials, as the sweep ends with them."""
    table = Table(title="Best trials by val_elbo (nats per image, beta = 1, validation split)", title_justify="left")
    for column in ("rank", "trial", "state", "val_elbo", "rate", "distortion", "epoch", *varied):
        table.add_column(column, justify="right")
    for rank, record in enumerate(ranked(records)[:n_rows], start=1):
        best = record.best
        if best is None or record.state == "failed":
            continue
        numbers = [f"{value:.2f}" for value in (best.val_elbo, best.val_rate, best.val_distortion)]
        values = record.config.model_dump()
        row = [str(rank), record.trial_id, record.state, *numbers, str(best.epoch)]
        table.add_row(*row, *(shown(values[name]) for name in varied))
    return table


def shown(value: Any) -> str:
    """A hyperparameter's value, short enough for a column."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """'42 s', '7 min', '3 h 05 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
