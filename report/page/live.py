"""The page of a sweep that runs: written anew every 30 seconds, beside the driver's own work.

The driver imports this before Ray starts, so it must import neither torch nor matplotlib.
"""

import errno
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace

from report.page.contents import REBUILT_EVERY, Progress, contents, how_it_ended, with_pictures
from report.page.document import PAGE_FILE, page, write_page
from report.page.pictures import Album, Shown
from tuning.records import SweepRecord, TrialRecord
from vae.errors import UserError
from vae.model.metrics import EpochMetrics
from vae.storage.preview import Preview

SHARE = 20  # an hour of the driver has at most an hour / SHARE of writing pages in it


class LivePage:
    """Implements tuning.records.Observer. A thread writes the page; the driver only notes what has changed.

    A page that cannot be written is told once, and never costs the sweep anything: the numbers are in the ledger.
    """

    def __init__(self, sweep: SweepRecord, mirrored: Callable[[str], None], seconds: float = REBUILT_EVERY) -> None:
        """sweep: as it is when the run begins. mirrored: is told of the file when it was written. seconds: between
        two pages; more where writing one takes long."""
        self._sweep = sweep
        self._mirrored = mirrored
        self._seconds = seconds
        self._records = {record.trial_id: record for record in sweep.trials}
        self._previews: dict[str, Shown] = {}
        self._began = time.monotonic()
        self._is_over, self._has_changed, self._has_failed = threading.Event(), False, False
        self._thread = threading.Thread(target=self._follow, name="page", daemon=True)
        self._thread.start()

    def started(self, record: TrialRecord) -> None:
        self._records[record.trial_id] = record
        self._has_changed = True

    def epoch(self, record: TrialRecord, metrics: EpochMetrics, preview: Preview | None) -> None:
        if preview is not None:
            self._previews[record.trial_id] = Shown.of_preview(metrics.epoch, preview)
        self._has_changed = True

    def finished(self, record: TrialRecord) -> None:
        self._has_changed = True

    def close(self) -> None:
        """Write the last page, which says that the sweep was stopped unless all of it has ended."""
        self._is_over.set()
        self._thread.join()
        if self._records:
            self._write(None)

    def _follow(self) -> None:
        pause = min(self._seconds, 5.0)  # the first page comes soon
        while not self._is_over.wait(pause):
            began = time.monotonic()
            if self._has_changed:
                self._has_changed = False
                self._write("running")
            pause = max(self._seconds, SHARE * (time.monotonic() - began))

    def _write(self, progress: Progress | None) -> None:
        wall_seconds = self._sweep.wall_seconds + time.monotonic() - self._began
        trials = [_as_it_is(record) for record in list(self._records.values())]
        sweep = replace(self._sweep, trials=trials, wall_seconds=wall_seconds)
        try:
            data = contents(sweep, self._shown(sweep), Album(), progress or how_it_ended(sweep))
            write_page(sweep.report_folder, page(data))
            self._mirrored(f"{sweep.report_folder.name}/{PAGE_FILE}")
        except UserError:
            pass  # the sweep's storage fails, or has another driver: the sweep itself meets that, and says so
        except OSError as error:
            if error.errno != errno.ENOSPC:  # as above
                self._tell(str(error))
        except Exception:
            self._tell(traceback.format_exc())

    def _tell(self, why: str) -> None:
        if not self._has_failed:
            print(f"No page while the sweep runs: {why}", file=sys.stderr, flush=True)
        self._has_failed = True

    def _shown(self, sweep: SweepRecord) -> dict[str, Shown]:
        """Those of the trials that have pictures in the page; of the other trials, the previews are let go."""
        kept = {record.trial_id for record in with_pictures(sweep.trials)}
        ended = {record.trial_id for record in sweep.trials if record.has_ended}
        for trial_id in (ended - kept).intersection(list(self._previews)):
            del self._previews[trial_id]
        return {trial_id: shown for trial_id, shown in self._previews.copy().items() if trial_id in kept}


def _as_it_is(record: TrialRecord) -> TrialRecord:
    """A record that the driver does not change while a page is made of it."""
    return record if record.has_ended else replace(record, history=record.history.copy())
