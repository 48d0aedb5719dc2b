"""The report of a sweep while it runs: TensorBoard's events, and the page.

The driver imports this before Ray starts, so it must import neither torch nor matplotlib.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from report.output.folding import folding_notes
from report.output.live_events import SweepEvents
from report.page.contents import n_planned
from report.page.live import LivePage
from tuning.records import SweepRecord, TrialRecord
from vae.model.metrics import EpochMetrics


def catch_up(sweep: SweepRecord, modes: Collection[str], without_events: Iterable[TrialRecord]) -> None:
    """Write the events of a sweep that is whole, those that are not in its folder yet."""
    SweepEvents(sweep.folder, sweep.search, modes, without_events, sweep.trials).close()


class LiveReport:
    """Implements tuning.records.Observer."""

    def __init__(
        self,
        sweep: SweepRecord,
        modes: Collection[str],
        without_events: Iterable[TrialRecord],
        mirrored: Callable[[str], None],
    ) -> None:
        """sweep: as it is when the run begins. modes, without_events: see SweepEvents. mirrored: see LivePage."""
        planned = n_planned(sweep)
        self.notes = folding_notes(planned)
        self._events = SweepEvents(sweep.folder, sweep.search, modes, without_events, sweep.trials, planned)
        self._page = LivePage(sweep, mirrored)

    def started(self, record: TrialRecord) -> None:
        self._events.started(record)
        self._page.started(record)

    def epoch(self, record: TrialRecord, metrics: EpochMetrics, preview: Any) -> None:
        self._events.epoch(record, metrics, preview)
        self._page.epoch(record, metrics, preview)

    def finished(self, record: TrialRecord) -> None:
        self._events.finished(record)
        self._page.finished(record)

    def close(self) -> None:
        self._events.close()
        self._page.close()
