"""Training: one trial from its config to its files, an epoch at a time; it goes on from what it finds there."""

import time

import numpy as np
import torch
from torch import Tensor

from vae.config import TrialConfig
from vae.errors import CheckpointError
from vae.files import Files
from vae.model import likelihood
from vae.model.elbo import evaluation_inputs
from vae.model.metrics import EpochMetrics, best
from vae.randomness.streams import EVALUATION_SEED, Stream, generator
from vae.storage.checkpoint import (
    CHECKPOINT_FILE,
    MODEL_FILE,
    Description,
    TrialState,
    pack_checkpoint,
    pack_model,
    unpack_checkpoint,
    unpack_model,
)
from vae.storage.preview import Preview
from vae.storage.snapshots import Snapshots, is_snapshot_epoch
from vae.training.pack import Pack

CHECKPOINT_SECONDS = 30.0  # of training that a crash may cost; writing one takes 13 ms (AMD EPYC, 2026-11-21)
PREVIEW_IMAGES = 8


class Training:
    """A trial in a pack, with its history and its files."""

    def __init__(
        self, pack: Pack, config: TrialConfig, dataset: str, image_shape: tuple[int, int], files: Files
    ) -> None:
        """Raises CheckpointError where the files hold a checkpoint of another config or of other images."""
        self.pack = pack
        self.config = config
        self.dataset = dataset
        self.image_shape = image_shape
        self.files = files
        self.history: list[EpochMetrics] = []
        self.checkpoint_epoch = 0  # the epoch that a crash now would go back to
        self.note = ""  # why the trial was begun anew though it has a checkpoint
        self._saved_at = time.monotonic()
        self._is_between_epochs = True
        self._join()

    def _join(self) -> None:
        found = self._read_checkpoint()
        if found is None:
            self._snapshots = Snapshots(self.files, self.image_shape)
            self.slot = self.pack.join(self.config)
            return
        state, description, self._snapshots = found
        if state.config != self.config:
            raise CheckpointError(f"{CHECKPOINT_FILE}: of config {state.config}, this trial's is {self.config}")
        had, expected = (description.dataset, description.image_shape), (self.dataset, self.image_shape)
        if had != expected:
            raise CheckpointError(
                f"{CHECKPOINT_FILE}: of {had[0]} {had[1]}, this trial's is {expected[0]} {expected[1]}"
            )
        self.slot = self.pack.join(self.config, state)
        self.history = description.history
        self.checkpoint_epoch = state.epoch

    def _read_checkpoint(self) -> tuple[TrialState, Description, Snapshots] | None:
        """What training goes on from; None where there is nothing. A damaged file, such as a power cut leaves, counts
        as absent: the same training makes it again."""
        content = self.files.read(CHECKPOINT_FILE)
        if content is None:
            return None
        try:
            state, description = unpack_checkpoint(content, CHECKPOINT_FILE)
            model = self.files.read(MODEL_FILE)
            if model is not None:
                unpack_model(model, MODEL_FILE)
            return state, description, Snapshots(self.files, self.image_shape, state.epoch)
        except CheckpointError as error:
            self.note = f"trained again from the start: {error}"
            return None

    @property
    def n_epochs(self) -> int:
        """Epochs trained so far, those before a restart included."""
        return len(self.history)

    @property
    def is_done(self) -> bool:
        return self.n_epochs >= self.config.epochs or (self.n_epochs > 0 and not self.history[-1].is_finite)

    def next_epoch(self) -> EpochMetrics:
        """Train one epoch of this trial. What it found is on disk when this returns, if it is the best so far."""
        self.begin_epoch()
        return self.end_epoch(self.pack.epoch([self.slot])[self.slot])

    def begin_epoch(self) -> None:
        """The pack is about to train this trial; until it has, its weights are of no epoch."""
        self._is_between_epochs = False

    def end_epoch(self, metrics: EpochMetrics) -> EpochMetrics:
        """The pack has trained this trial for an epoch: keep its numbers, if it is the best its weights,
        and now and then what the model shows."""
        self.history.append(metrics)
        self._is_between_epochs = True
        if best(self.history, self.config.keep) is metrics:
            self.files.write(MODEL_FILE, pack_model(self.pack.weights(self.slot), self._description()))
        if metrics.is_finite and is_snapshot_epoch(metrics.epoch, self.config.epochs):
            self._snapshots.take(self.pack.model(self.slot), metrics.epoch)
        if metrics.is_finite and (self.is_done or time.monotonic() - self._saved_at > CHECKPOINT_SECONDS):
            self.save()
        return metrics

    def save(self) -> None:
        """Write the checkpoint to train on from, unless it is there already or an epoch broke off half way."""
        if self._is_between_epochs and self.checkpoint_epoch < self.n_epochs and self.history[-1].is_finite:
            self.files.write(CHECKPOINT_FILE, pack_checkpoint(self.pack.state(self.slot), self._description()))
            self.checkpoint_epoch, self._saved_at = self.n_epochs, time.monotonic()

    def leave(self) -> None:
        """Free the pack's slot for the next trial."""
        self.pack.leave(self.slot)

    def _description(self) -> Description:
        return Description(self.config, self.dataset, self.image_shape, self.n_epochs, self.history)

    @torch.no_grad()
    def preview(self) -> Preview:
        """The model as it is now: the first validation images as it sees them, what it makes of them, and samples
        of the same noise at every epoch."""
        model, pack, config = self.pack.model(self.slot), self.pack, self.config
        grey = pack.validation[:PREVIEW_IMAGES]
        factor = torch.tensor(config.noise_factor, device=pack.device, dtype=pack.dtype)
        images = torch.arange(len(grey), device=pack.device)
        _, seen = evaluation_inputs(model, grey, images, None if config.input_noise == "none" else factor)
        draw = generator(EVALUATION_SEED, 0, Stream.SAMPLES)
        z = torch.randn(PREVIEW_IMAGES, config.latent_size, generator=draw).to(seen)
        shown = model.decode(z[: len(grey)] if config.mode == "decoder_only" else model.code(seen))
        every = (seen, *(likelihood.means(config.likelihood, pixels) for pixels in (shown, model.decode(z))))
        return Preview(*(self._grey(x) for x in every))

    def _grey(self, x: Tensor) -> np.ndarray:  # [n, D] in [0, 1] -> uint8 [n, height, width]
        grey: np.ndarray = (x * 255).round().to("cpu", torch.uint8).reshape(-1, *self.image_shape).numpy()
        return grey
