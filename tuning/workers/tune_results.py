"""TuneResults: one trial's epochs as results for Tune, each epoch told once and in order."""

import time
from typing import TYPE_CHECKING, Any

from tuning.records import score
from vae.model.metrics import EpochMetrics
from vae.storage.preview import Preview

if TYPE_CHECKING:  # it brings torch; a device that replays recorded curves does without
    from vae.training.trial import Training


class TuneResults:
    """A trial in training, and how many of its epochs the driver has been told.

    A result costs the driver some milliseconds, however short the epoch was. So it may carry several epochs: it comes
    when the scheduler can decide upon the trial, at its end, and otherwise after `report_seconds`.

    The driver and the checkpoint need not agree after a stop: the checkpoint may hold an epoch that was still
    in training then, and the driver may know epochs that the checkpoint lacks. Epochs that only the checkpoint
    has are told first. A trial that has ended tells its last epoch again, so that the driver hears of its end.
    """

    def __init__(
        self,
        training: "Training",
        n_known: int,
        preview_epochs: frozenset[int] | None,
        metric: str,
        deciding_epochs: frozenset[int] | None = None,
        report_seconds: float = 0.0,
    ) -> None:
        """n_known: epochs the driver has. preview_epochs: those that come with images; None: all. metric:
        SearchSpace.metric. deciding_epochs: each ends a result, because the scheduler may stop the trial there; None:
        all. report_seconds: between two results, where nothing is to be decided."""
        self.training = training
        self._n_told = min(n_known, training.n_epochs)
        self._preview_epochs = preview_epochs
        self._metric = metric
        self._deciding_epochs = deciding_epochs
        self._report_seconds = report_seconds
        self._told_at = time.monotonic()
        self._previews: dict[int, Preview] = {}  # of epochs that are yet to be told

    @property
    def wants_epoch(self) -> bool:
        """Whether an epoch has to be trained before the next result."""
        return not (self.training.is_done or self._is_due)

    @property
    def _is_due(self) -> bool:
        if self._n_told == self.training.n_epochs:
            return False
        return self._last_to_tell in self._deciding or time.monotonic() - self._told_at >= self._report_seconds

    @property
    def _last_to_tell(self) -> int:
        """The epoch that the next result ends with: the first to be decided upon, or the last that is trained."""
        untold = range(self._n_told + 1, self.training.n_epochs + 1)
        return next((epoch for epoch in untold if epoch in self._deciding), self.training.n_epochs)

    @property
    def _deciding(self) -> frozenset[int] | range:
        return range(1, self.training.n_epochs + 1) if self._deciding_epochs is None else self._deciding_epochs

    def keep_preview(self) -> None:
        """Call before an epoch is trained: the weights of an epoch that is told later are gone then."""
        if self._n_told < self.training.n_epochs:
            self._take_preview()

    def _take_preview(self) -> None:
        """Of the last epoch, whose weights are the model's now."""
        metrics = self.training.history[-1]
        shows = self._preview_epochs is None or metrics.epoch in self._preview_epochs
        if shows and metrics.is_finite and metrics.epoch not in self._previews:
            self._previews[metrics.epoch] = self.training.preview()

    def next(self) -> dict[str, Any]:
        """The fields of EpochMetrics of the result's last epoch, and `score`, `preview` (Preview or None),
        `checkpoint_epoch`, `note` (Training.note), `device_note` (Training.device_note), `done`; `earlier`: a list of
        the epochs before it that the driver has not been told, each with its preview."""
        training, first = self.training, self._n_told + 1
        self._n_told = self._last_to_tell
        self._told_at = time.monotonic()
        is_latest = self._n_told == training.n_epochs
        if is_latest:
            self._take_preview()
        *earlier, (metrics, preview) = [
            self._told(epoch) for epoch in range(min(first, self._n_told), self._n_told + 1)
        ]
        return {
            **metrics.as_dict(),
            "earlier": earlier,
            "score": score(metrics, self._metric),
            "preview": preview,
            "checkpoint_epoch": training.checkpoint_epoch,
            "note": training.note,
            "device_note": training.device_note,
            "done": is_latest and training.is_done,
        }

    def _told(self, epoch: int) -> tuple[EpochMetrics, Preview | None]:
        return self.training.history[epoch - 1], self._previews.pop(epoch, None)

    def save(self) -> None:
        """Write a checkpoint of a trial that is interrupted; one that is done has all its files."""
        if not self.training.is_done:
            self.training.save()
