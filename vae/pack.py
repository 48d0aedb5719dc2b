"""Pack: trials that train on one device, an epoch at a time. The project's only training loop.

A pack holds one trial, alone (lead = ()); the model, the objective and the noise already take a
leading axis of trials, so that a pack of many is the same loop over stacked tensors.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vae import objective
from vae.checkpoint import TrialState
from vae.config import TrialConfig
from vae.evaluate import mean_distortion_and_rate
from vae.metrics import EpochMetrics
from vae.model import Vae, as_float
from vae.optim import AdamState, FusedAdam
from vae.streams import epoch_noise, epoch_order, evaluation_noise


@dataclass
class _Slot:
    """What the trial in a slot brings."""

    config: TrialConfig
    epoch: int
    model: Vae
    adam: FusedAdam
    evaluation_noise: Tensor  # [N_validation, L]


class Pack:
    """One device's resident images and the trial that trains on them."""

    def __init__(self, train: Tensor, validation: Tensor, device: str = "cpu", dtype: torch.dtype = torch.float32):
        """train, validation: uint8 [N, D], moved to the device once."""
        self.device = torch.device(device)
        self.dtype = dtype
        self.train = train.to(self.device)
        self.validation = validation.to(self.device)
        self._slot: _Slot | None = None

    def join(self, config: TrialConfig, state: TrialState | None = None) -> None:
        """Take in a trial: a new one, or one that goes on from `state`."""
        n_pixels = self.train.shape[1]
        state = state or TrialState.initial(n_pixels, config)
        model = Vae(n_pixels, config).to(self.device, self.dtype)
        model.load_state_dict(state.weights)
        adam = FusedAdam(dict(model.named_parameters()), config.learning_rate, state.adam)
        noise = evaluation_noise(len(self.validation), config.latent_size).to(self.device, self.dtype)
        self._slot = _Slot(config, state.epoch, model, adam, noise)

    def leave(self) -> None:
        """Free the slot for the next trial."""
        self._slot = None

    @property
    def model(self) -> Vae:
        return self._taken().model

    def weights(self) -> dict[str, Tensor]:
        """A copy of the plain trial's weights, on the CPU."""
        return _copy(self._taken().model.state_dict())

    def state(self) -> TrialState:
        """A copy of all that the plain trial needs to go on elsewhere, on the CPU."""
        slot = self._taken()
        adam: AdamState = slot.adam.state()
        return TrialState(slot.config, _copy(slot.model.state_dict()), adam, slot.epoch)

    def epoch(self) -> EpochMetrics:
        """Train for one pass over the images, then evaluate on the validation split."""
        slot = self._taken()
        started = time.perf_counter()
        slot.epoch += 1
        train = self._train(slot)
        validation = mean_distortion_and_rate(slot.model, self.validation, slot.evaluation_noise)
        return EpochMetrics.of(
            slot.epoch,
            slot.config.beta,
            tuple(train.tolist()),
            tuple(validation.tolist()),
            time.perf_counter() - started,
        )

    def _train(self, slot: _Slot) -> Tensor:
        """One epoch of gradient steps; the mean (D, R) over its images, float64 [2]."""
        config, n_images = slot.config, len(self.train)
        order = epoch_order(n_images, config.seed, slot.epoch).to(self.device)
        noise = epoch_noise(n_images, config.latent_size, config.seed, slot.epoch).to(self.device, self.dtype)
        total = torch.zeros(2, dtype=torch.float64, device=self.device)
        grey = self.train.new_empty(config.batch_size, self.train.shape[1])
        for start in range(0, n_images, config.batch_size):
            visited = order[start : start + config.batch_size]
            batch = torch.index_select(self.train, 0, visited, out=grey[: len(visited)])
            x = as_float(batch, self.dtype)
            posterior, logits = slot.model(x, noise[start : start + len(visited)])
            distortion = objective.distortion(logits, x)
            rate = objective.rate(posterior)
            objective.weighted_loss(distortion, rate, config.beta).mean(-1).backward()  # type: ignore[no-untyped-call]
            slot.adam.step()
            total += torch.stack([distortion, rate], -1).detach().sum(0, dtype=torch.float64)
        return total / n_images

    def _taken(self) -> _Slot:
        assert self._slot is not None, "no trial has joined this pack"
        return self._slot


def _copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
