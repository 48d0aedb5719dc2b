"""TuneResults: one trial's epochs as results for Tune, each told once and in order."""

from typing import Any

from tuning.records import score
from vae.training.trial import Training


class TuneResults:
    """A trial in training, and how many of its epochs the driver has been told.

    The driver and the checkpoint need not agree after a stop: the checkpoint may hold an epoch that was still
    in training then, and the driver may know epochs that the checkpoint lacks. Epochs that only the checkpoint
    has are told first. A trial that has ended tells its last epoch again, so that the driver hears of its end.
    """

    def __init__(self, training: Training, n_known: int, preview_epochs: frozenset[int] | None, metric: str) -> None:
        """n_known: epochs the driver has. preview_epochs: those whose results come with images; None: all.
        metric: SearchSpace.metric."""
        self.training = training
        self._n_told = min(n_known, training.n_epochs)
        self._preview_epochs = preview_epochs
        self._metric = metric

    @property
    def wants_epoch(self) -> bool:
        """Whether an epoch has to be trained before the next result."""
        return self._n_told == self.training.n_epochs and not self.training.is_done

    def next(self) -> dict[str, Any]:
        """The trial's fields of EpochMetrics, and `score`, `preview` (Preview or None), `checkpoint_epoch`, `note`
        (Training.note), `device_note` (Training.device_note), `done`."""
        training = self.training
        self._n_told = min(self._n_told + 1, training.n_epochs)
        metrics, is_latest = training.history[self._n_told - 1], self._n_told == training.n_epochs
        shows = self._preview_epochs is None or metrics.epoch in self._preview_epochs
        return {
            **metrics.as_dict(),
            "score": score(metrics, self._metric),
            "preview": training.preview() if is_latest and shows and metrics.is_finite else None,
            "checkpoint_epoch": training.checkpoint_epoch,
            "note": training.note,
            "device_note": training.device_note,
            "done": is_latest and training.is_done,
        }

    def save(self) -> None:
        """Write a checkpoint of a trial that is interrupted; one that is done has all its files."""
        if not self.training.is_done:
            self.training.save()
