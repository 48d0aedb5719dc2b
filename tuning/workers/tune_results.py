"""Seat: a trial in training, and how much of it the driver has been told."""

from typing import Any

from tuning.records import score
from vae.training.trial import Training


class Seat:
    """Turns what a Training has into Tune results, each epoch once and in order.

    A checkpoint may hold epochs that the driver has not been told of: the one that was in training when the
    sweep was stopped, say. Those are told first. A trial that had ended before its end was written down
    tells its last epoch again.
    """

    def __init__(self, training: Training, n_known: int, preview_epochs: frozenset[int] | None, metric: str) -> None:
        """n_known: epochs the driver has. preview_epochs: those that come with images; None: all.
        metric: SearchSpace.metric."""
        self.training = training
        self._n_told = min(n_known, training.n_epochs)
        self._preview_epochs = preview_epochs
        self._metric = metric

    @property
    def wants_epoch(self) -> bool:
        """Whether the next result needs an epoch to be trained."""
        return self._n_told == self.training.n_epochs and not self.training.is_done

    def result(self) -> dict[str, Any]:
        """The next one: the trial's fields of EpochMetrics, `score`, `preview` (Preview or None), `checkpoint_epoch`,
        `note` (Training.note), `done`."""
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
            "done": is_latest and training.is_done,
        }

    def save(self) -> None:
        """Let a trial that is interrupted go on from here when the sweep is resumed."""
        if not self.training.is_done:
            self.training.save()
