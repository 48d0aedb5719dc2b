"""Training: one trial from its config to its files, epoch by epoch. It goes on from the checkpoint that it finds."""

import time

from vae.config import TrialConfig
from vae.errors import CheckpointError
from vae.files import Files
from vae.model.metrics import EpochMetrics, best
from vae.storage.checkpoint import (
    CHECKPOINT_FILE,
    MODEL_FILE,
    Description,
    pack_checkpoint,
    pack_model,
    unpack_checkpoint,
    unpack_model,
)
from vae.storage.preview import Preview, preview_of
from vae.storage.snapshots import SNAPSHOTS_FILE, Snapshots, is_snapshot_epoch
from vae.storage.state import TrialState
from vae.training.pack import Pack

TRAINING_FILES = (CHECKPOINT_FILE, MODEL_FILE, SNAPSHOTS_FILE)  # all that training writes
CHECKPOINT_SECONDS = 30.0  # of training that a crash may cost


class Training:
    """A trial in a pack, with its history and its files."""

    def __init__(
        self,
        pack: Pack,
        config: TrialConfig,
        dataset: str,
        image_shape: tuple[int, int],
        files: Files,
        damaged_is_absent: bool = False,
    ) -> None:
        """damaged_is_absent: a checkpoint or model that cannot be read, such as a power cut leaves, is trained again.

        Raises CheckpointError where the files hold a checkpoint of another config or of other images, or a damaged
        one."""
        self.pack = pack
        self.config = config
        self.dataset = dataset
        self.image_shape = image_shape
        self.files = files
        self.history: list[EpochMetrics] = []
        self.best: EpochMetrics | None = None  # the epoch whose weights model.safetensors holds
        self.checkpoint_epoch = 0  # the epoch that a crash now would go back to
        self.note = ""  # why the trial was begun anew though it has a checkpoint
        self._saved_at = time.monotonic()
        self._is_between_epochs = True
        self._join(damaged_is_absent)

    def _join(self, damaged_is_absent: bool) -> None:
        try:
            found = self._read_checkpoint()
        except CheckpointError as error:
            if not damaged_is_absent:
                raise
            self.note = f"trained again from the start: {error}"
            found = None
        if found is None:
            self._snapshots = Snapshots(self.files, self.image_shape)
            self.slot = self.pack.join(self.config)
            return
        state, description = found
        if state.config != self.config:
            raise CheckpointError(f"{CHECKPOINT_FILE}: of config {state.config}, this trial's is {self.config}")
        had, expected = (description.dataset, description.image_shape), (self.dataset, self.image_shape)
        if had != expected:
            raise CheckpointError(
                f"{CHECKPOINT_FILE}: of {had[0]} {had[1]}, this trial's is {expected[0]} {expected[1]}"
            )
        self._snapshots = Snapshots(self.files, self.image_shape, state.epoch)
        self.slot = self.pack.join(self.config, state)
        self.history = description.history
        self.best = best(self.history, self.config.keep)
        self.checkpoint_epoch = state.epoch

    def _read_checkpoint(self) -> tuple[TrialState, Description] | None:
        """What training goes on from; None where there is nothing. Raises CheckpointError for a damaged checkpoint or
        model."""
        content = self.files.read(CHECKPOINT_FILE)
        if content is None:
            return None
        found = unpack_checkpoint(content, CHECKPOINT_FILE)
        model = self.files.read(MODEL_FILE)
        if model is not None:
            unpack_model(model, MODEL_FILE)
        return found

    @property
    def device_note(self) -> str:
        """Why the device trains slower than it was to; '' where it does not."""
        return self.pack.note

    @property
    def n_epochs(self) -> int:
        """Epochs trained so far, those before a restart included."""
        return len(self.history)

    @property
    def is_done(self) -> bool:
        return self.n_epochs >= self.config.epochs or (self.n_epochs > 0 and not self.history[-1].is_finite)

    def next_epoch(self) -> EpochMetrics:
        """Train this trial for one epoch. If the epoch is the best so far, its model is on disk when this returns."""
        self.begin_epoch()
        return self.end_epoch(self.pack.epoch([self.slot])[self.slot])

    def begin_epoch(self) -> None:
        """Call before each epoch: until it ends, the weights belong to no epoch."""
        self._is_between_epochs = False

    def end_epoch(self, metrics: EpochMetrics) -> EpochMetrics:
        """Call after each epoch: keep its numbers, its weights if it is the best, and at some epochs a snapshot."""
        self.history.append(metrics)
        self._is_between_epochs = True
        self._keep_best(metrics)
        if metrics.is_finite and is_snapshot_epoch(metrics.epoch, self.config.epochs):
            self._snapshots.take(self.pack.model(self.slot), metrics.epoch)
        if metrics.is_finite and (self.is_done or time.monotonic() - self._saved_at > CHECKPOINT_SECONDS):
            self.save()
        return metrics

    def _keep_best(self, metrics: EpochMetrics) -> None:
        """Only the epoch's own metrics go into the model file: with the whole history it would grow every epoch."""
        before = [] if self.best is None else [self.best]
        self.best = best([*before, metrics], self.config.keep)
        if self.best is metrics:
            self.files.write(MODEL_FILE, pack_model(self.pack.weights(self.slot), self._description([metrics])))

    def save(self) -> None:
        """Write the checkpoint to train on from, unless it is there already or an epoch has begun and not ended."""
        if self._is_between_epochs and self.checkpoint_epoch < self.n_epochs and self.history[-1].is_finite:
            self.files.write(
                CHECKPOINT_FILE, pack_checkpoint(self.pack.state(self.slot), self._description(self.history))
            )
            self.checkpoint_epoch, self._saved_at = self.n_epochs, time.monotonic()

    def leave(self) -> None:
        """Free the pack's slot for the next trial."""
        self.pack.leave(self.slot)

    def _description(self, history: list[EpochMetrics]) -> Description:
        return Description(self.config, self.dataset, self.image_shape, self.n_epochs, history)

    def preview(self) -> Preview:
        """What the model shows now."""
        return preview_of(self.pack.model(self.slot), self.config, self.pack.validation, self.image_shape)
