"""Stack: K slots of one shape, as tensors with a leading trial axis; a trial is written into one and taken out again.

Each trial in a stack is exactly as if it were alone: it has its own learning rate, beta, seed, order, noise and step
count and, by zero padding, its own width and latent size.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor

from vae.backend.products import without_tensor_cores
from vae.config import TrialConfig
from vae.model import padding
from vae.model.elbo import mean_distortion_and_rate
from vae.model.network import Vae
from vae.model.shape_class import ShapeClass
from vae.randomness.streams import evaluation_noise
from vae.storage.state import AdamState, TrialState
from vae.training.adam import Shapes, adam_for
from vae.training.loop import TrainingLoop


class Stack:
    """The network of K trials, their Adam, their training loop and their noise for evaluations."""

    def __init__(
        self, train: Tensor, validation: Tensor, shape: ShapeClass, n_slots: int, is_shared: bool, compiles: bool
    ) -> None:
        """train, validation: uint8 [N, D], on the device. is_shared: for any trials of a class, padded to its widths;
        False: for one trial of exactly this shape. Slots are zeros until a trial is seated."""
        device, dtype = train.device, torch.float64 if shape.precision == "float64" else torch.float32
        self.n_slots, self.dtype = n_slots, dtype
        self._validation = validation
        self._has_noise = shape.noise != "none"
        self.network = Vae(train.shape[1], shape, (n_slots,)).to(device, dtype)
        if is_shared:
            self.network.hidden_mask = padding.hidden_mask(shape, n_slots, device, dtype)
            self.network.chosen = padding.chosen_activations(shape, n_slots, device)
        self.adam = adam_for(dict(self.network.named_parameters()), compiles or train.is_cuda)
        self.loop = TrainingLoop(self.network, self.adam, train, shape, compiles)
        self._evaluation_noise = torch.zeros(n_slots, len(validation), shape.latent_size, device=device, dtype=dtype)
        self._plain_shapes: dict[int, Shapes] = {}  # by slot

    def seat(self, slot: int, config: TrialConfig, state: TrialState) -> None:
        """Write everything that is the trial's own into its slot, in place, over what the last trial has left."""
        for name, parameter in self.network.named_parameters():
            padding.place(parameter.data[slot], state.weights[name])
        self.adam.place(slot, config.learning_rate, state.adam)
        self.loop.seat(slot, config)
        padding.place(self._evaluation_noise[slot], evaluation_noise(len(self._validation), config.latent_size))
        if self.network.hidden_mask is not None:
            padding.place(self.network.hidden_mask[slot], torch.ones(1, config.hidden_units))
        if self.network.chosen is not None:
            others = self.network.shape.activations[1:]
            self.network.chosen[:, slot, 0, 0] = torch.tensor([config.activation == name for name in others])
        self._plain_shapes[slot] = {name: tuple(weight.shape) for name, weight in state.weights.items()}

    def train(self, slots: Sequence[int]) -> Tensor:
        """Train these slots' trials for the epoch that each has begun; mean (D, R) of training, float64 [K, 2]."""
        return self.loop.epoch(slots)

    def evaluate(self) -> list[Tensor]:
        """Mean (D, R) of validation, [K, 2] each: from the clean input and, with noise, from the corrupted one."""
        terms = partial(mean_distortion_and_rate, self.network, self._validation, self._evaluation_noise)
        with without_tensor_cores() if self._validation.is_cuda else nullcontext():
            return [terms(), terms(self.loop.noise_factor)] if self._has_noise else [terms()]

    def weights(self, slot: int) -> dict[str, Tensor]:
        """A copy of the plain trial's weights, on the CPU."""
        shapes = self._plain_shapes[slot]
        return {name: padding.take(stack[slot], shapes[name]) for name, stack in self.network.named_parameters()}

    def adam_state(self, slot: int) -> AdamState:
        """A copy of the plain trial's Adam, on the CPU."""
        return self.adam.take(slot, self._plain_shapes[slot])
