"""Pack: trials that train together on one device as one batched model. The project's only training loop.

Each trial in a pack is exactly as if it were alone: its own learning rate, beta, seed, order, noise and
step count and, by zero padding, its own width and latent size. A pack of one slot is a trial alone: no
leading axis, no padding, torch's fused Adam. Axes: K slots, N images, B of a batch, D pixels, L latents.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vae.config import TrialConfig
from vae.model import padding
from vae.model.elbo import mean_distortion_and_rate
from vae.model.metrics import EpochMetrics, Terms, has_rate
from vae.model.network import Vae
from vae.model.shape_class import ShapeClass
from vae.randomness.streams import evaluation_noise
from vae.storage.state import TrialState
from vae.training.adam import adam_for
from vae.training.loop import Step
from vae.training.prefetch import Ahead

DRAWING_THREADS = 8  # one draws a trial's epoch of MNIST in 4.5 ms (AMD EPYC, 2026-11-21); not yet tuned on a GPU


@dataclass
class _Occupant:
    """The trial in a slot, and how far it has come."""

    config: TrialConfig
    epoch: int


class Pack:
    """One device's resident images and the trials that train on them, all of one shape class."""

    def __init__(
        self,
        train: Tensor,
        validation: Tensor,
        device: str = "cpu",
        shape: ShapeClass | None = None,
        n_slots: int = 1,
    ) -> None:
        """train, validation: uint8 [N, D], moved to the device once. shape: the class of the trials, whose
        widths the slots have; None: one slot, of each trial's own exact shape. n_slots: to begin with."""
        assert shape is not None or n_slots == 1, "several slots need a shape class"
        self.device = torch.device(device)
        self.train = train.to(self.device)
        self.validation = validation.to(self.device)
        self.n_slots = n_slots
        self._lead = () if shape is None else (n_slots,)
        self._occupants: dict[int, _Occupant] = {}
        self._ahead = Ahead(len(train), n_threads=DRAWING_THREADS if self.device.type == "cuda" else 0)
        if shape is not None:
            self._build(shape)

    def _build(self, shape: ShapeClass) -> None:
        """Empty slots: zeros everywhere."""
        self.shape = shape
        self.dtype = torch.float64 if shape.precision == "float64" else torch.float32
        self.stack = Vae(self.train.shape[1], shape, self._lead).to(self.device, self.dtype)
        self.stack.hidden_mask = padding.hidden_mask(shape, self._lead, self.device, self.dtype)
        parameters = dict(self.stack.named_parameters())
        self.adam = adam_for(parameters, len(self._lead), self.device)
        self._evaluation_noise = torch.zeros(
            *self._lead, len(self.validation), shape.latent_size, device=self.device, dtype=self.dtype
        )
        self.step = Step(self.stack, self.adam, self.train, shape)

    @property
    def free_slots(self) -> list[int]:
        return [slot for slot in range(self.n_slots) if slot not in self._occupants]

    def join(self, config: TrialConfig, state: TrialState | None = None) -> int:
        """Take in a trial, a new one or one that goes on from `state`; its slot.

        A pack that is full doubles its slots; a pack without a shape class has one, which the new trial takes over.
        """
        if not self._lead:
            self._occupants.clear()
            self._build(ShapeClass.alone(config))
        elif not self.free_slots:
            self._grow()
        slot = self.free_slots[0]
        self._seat(slot, config, state or TrialState.initial(self.train.shape[1], config))
        return slot

    def _grow(self) -> None:
        """Twice the slots; every trial stays in its own, as it is. Where the memory is short, nothing changes."""
        wider = Pack(self.train, self.validation, str(self.device), self.shape, 2 * self.n_slots)
        for slot, trial in self._occupants.items():
            wider._seat(slot, trial.config, self.state(slot))
        wider._ahead = self._ahead
        vars(self).update(vars(wider))

    def _seat(self, slot: int, config: TrialConfig, state: TrialState) -> None:
        """Write everything that is the trial's own into its slot, in place."""
        assert not self._lead or ShapeClass.of(config) == self.shape, "a trial of another shape class"
        for name, parameter in self.stack.named_parameters():
            padding.place(self._at(parameter.data, slot), state.weights[name])
        self.adam.place(slot, config.learning_rate, state.adam)
        self.step.seat(slot, config)
        noise = evaluation_noise(len(self.validation), config.latent_size)
        padding.place(self._at(self._evaluation_noise, slot), noise)
        if self.stack.hidden_mask is not None:
            padding.place(self._at(self.stack.hidden_mask, slot), torch.ones(1, config.hidden_units))
        self._occupants[slot] = _Occupant(config, state.epoch)

    def leave(self, slot: int) -> None:
        """Free a slot for the next trial."""
        del self._occupants[slot]

    def epoch(self, slots: Iterable[int]) -> dict[int, EpochMetrics]:
        """Train the trials of these slots for one pass over the images, then evaluate them; no other moves."""
        slots = sorted(set(slots))
        started = time.perf_counter()
        for slot in slots:
            self._occupants[slot].epoch += 1
        train = self._train(slots)
        every = torch.stack([train, *self._evaluate()])
        terms = every.reshape(len(every), self.n_slots, 2).tolist()  # the epoch's one transfer
        seconds = time.perf_counter() - started
        return {slot: self._metrics(slot, [of_split[slot] for of_split in terms], seconds) for slot in slots}

    def _evaluate(self) -> list[Tensor]:
        """Mean (D, R) of validation from the clean input and, where there is noise, from the corrupted one."""
        terms = partial(mean_distortion_and_rate, self.stack, self.validation, self._evaluation_noise)
        return [terms()] if self.shape.noise == "none" else [terms(), terms(self.step.noise_factor)]

    def _metrics(self, slot: int, terms: list[list[float]], seconds: float) -> EpochMetrics:
        trial = self._occupants[slot]
        with_rate = has_rate(trial.config.mode)
        train, clean, *noisy = (Terms(distortion, rate if with_rate else None) for distortion, rate in terms)
        return EpochMetrics.of(trial.epoch, trial.config.beta, train, clean, noisy[0] if noisy else None, seconds)

    def _train(self, slots: list[int]) -> Tensor:
        """One epoch of gradient steps; the mean (D, R) over its images, float64 [*lead, 2]."""
        for slot in slots:
            trial = self._occupants[slot]
            order, noise = self._ahead.take(slot, trial.config, trial.epoch)
            self._at(self.step.order, slot).copy_(order)
            padding.place(self._at(self.step.noise, slot), noise)
            self.step.begin(slot, trial.config, trial.epoch)
        self.step.active.zero_()
        self.step.active[slots if self._lead else ()] = True
        total = self.step.epoch()
        for slot in slots:
            trial = self._occupants[slot]
            self._ahead.prepare(slot, trial.config, trial.epoch + 1)
        return total / len(self.train)

    def model(self, slot: int) -> Vae:
        """The plain trial's model, unpadded, as it is now."""
        if not self._lead:
            return self.stack
        config = self._occupants[slot].config
        model = Vae(self.train.shape[1], config).to(self.device, self.dtype)
        model.load_state_dict(self.weights(slot))
        return model.eval()

    def weights(self, slot: int) -> dict[str, Tensor]:
        """A copy of the plain trial's weights, on the CPU."""
        shapes = padding.plain_shapes(self.train.shape[1], self._occupants[slot].config)
        named = self.stack.named_parameters()
        return {name: padding.take(self._at(stack.data, slot), shapes[name]) for name, stack in named}

    def state(self, slot: int) -> TrialState:
        """A copy of all that the plain trial needs to go on elsewhere, on the CPU, unpadded."""
        trial = self._occupants[slot]
        shapes = padding.plain_shapes(self.train.shape[1], trial.config)
        return TrialState(trial.config, self.weights(slot), self.adam.take(slot, shapes), trial.epoch)

    def _at(self, stack: Tensor, slot: int) -> Tensor:
        return stack[slot] if self._lead else stack
