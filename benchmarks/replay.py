"""Replay: a device that returns recorded learning curves instead of training, to measure everything around a trial.

The driver, Ray, Tune, Optuna, the ledger and the event files are the real ones. Only the epochs are recorded: a trial
has the curve of the recorded configuration that is nearest to its own.
"""

import math
import time
from typing import Any

from benchmarks.curves import recorded
from tuning.workers.sweep_context import SweepContext
from tuning.workers.tune_results import TuneResults
from tuning.workers.tune_worker import Device, VaeTrial
from vae.config import TrialConfig
from vae.model.metrics import EpochMetrics
from vae.storage.preview import Preview


class RecordedTraining:
    """As much of vae.training.trial.Training as a result needs. It writes no files, so nothing is ever kept of it."""

    checkpoint_epoch = 0
    note = device_note = ""

    def __init__(self, config: TrialConfig, epochs_per_second: float) -> None:
        self._epochs = recorded().history(recorded().nearest(config.model_dump()), config.beta)[: config.epochs]
        self._seconds = 1 / epochs_per_second
        self._began = time.monotonic()
        self.history: list[EpochMetrics] = []

    @property
    def n_epochs(self) -> int:
        return len(self.history)

    @property
    def is_done(self) -> bool:
        return len(self.history) >= len(self._epochs)

    def next_epoch(self) -> None:
        """Return when the epoch would have been trained."""
        due_at = self._began + (self.n_epochs + 1) * self._seconds
        time.sleep(max(0.0, due_at - time.monotonic()))
        self.history.append(self._epochs[self.n_epochs])

    def preview(self) -> Preview | None:
        """None: images are not recorded."""

    def save(self) -> None:
        pass


class Replay:
    """Implements Device."""

    def __init__(self, context: SweepContext, epochs_per_second: float = math.inf) -> None:
        self._context = context
        self._epochs_per_second = epochs_per_second
        self._training: RecordedTraining | None = None
        self._results: TuneResults | None = None

    def join(
        self, trial_id: str, config: dict[str, Any], n_known: int, attempt: int = 1, report_seconds: float = 0.0
    ) -> None:
        self._training, context = RecordedTraining(TrialConfig(**config), self._epochs_per_second), self._context
        training: Any = self._training
        self._results = TuneResults(
            training, n_known, frozenset(), context.metric, context.deciding_epochs, report_seconds
        )

    def result(self) -> dict[str, Any]:
        assert self._results is not None, "no trial has joined"
        assert self._training is not None, "no trial has joined"
        while self._results.wants_epoch:
            self._training.next_epoch()
        return self._results.next()

    def leave(self, keep: bool) -> None:
        self._results = None


class ReplayedTrial(VaeTrial):
    """A worker whose trials are replayed, as fast as they can be."""

    epochs_per_second = math.inf

    def device(self, context: SweepContext, broker: str | None) -> Device:
        return Replay(context, self.epochs_per_second)


def replayed(epochs_per_second: float) -> type[ReplayedTrial]:
    """A worker whose trials take as long as they would on a device that trains so many epochs of one a second."""
    return type("ReplayedTrial", (ReplayedTrial,), {"epochs_per_second": epochs_per_second})
