"""Pack: trials that train together on one device as one batched model; a trial alone is a pack of one slot.

The pack knows which trial sits in which slot and how far it has come. The numbers are in its stack, which one of more
slots replaces when the pack is full.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from vae.backend.denormals import no_denormals
from vae.config import TrialConfig
from vae.model.metrics import EpochMetrics, Terms, has_rate
from vae.model.network import Vae
from vae.model.shape_class import GROWTH, ShapeClass
from vae.storage.state import TrialState
from vae.training.prefetch import Prefetch
from vae.training.stack import Stack

DRAWING_THREADS = 8  # not yet tuned on a GPU


@dataclass
class _Occupant:
    """The trial in a slot, and how far it has come."""

    config: TrialConfig
    epoch: int


class Pack:
    """One device's resident images and the trials that train on them, all of one shape class."""

    stack: Stack

    def __init__(
        self,
        train: Tensor,
        validation: Tensor,
        device: str = "cpu",
        shape: ShapeClass | None = None,
        n_slots: int = 1,
        compiles: bool | None = None,
    ) -> None:
        """train, validation: uint8 [N, D], moved to the device once. shape: the trials' class, whose widths the slots
        have; None: one slot, which takes the exact shape of each trial in turn. n_slots: to begin with. compiles: None:
        a class on a GPU. Compiling takes tens of seconds, which one trial's own shape does not earn back."""
        assert shape is not None or n_slots == 1, "several slots need a shape class"
        self.device = torch.device(device)
        self.train = train.to(self.device)
        self.validation = validation.to(self.device)
        self.n_slots = n_slots
        self._shape = shape
        self._compiles = shape is not None and self.train.is_cuda if compiles is None else compiles
        self._occupants: dict[int, _Occupant] = {}
        on_gpu = self.device.type == "cuda"
        self._prefetch = Prefetch(len(train), n_threads=DRAWING_THREADS if on_gpu else 0, pins=on_gpu)
        if shape is not None:
            self.stack = self._stack(shape, n_slots)

    def _stack(self, shape: ShapeClass, n_slots: int) -> Stack:
        return Stack(self.train, self.validation, shape, n_slots, self._shape is not None, self._compiles)

    @property
    def note(self) -> str:
        """Why training is slower than it was to be; '' where it is not."""
        return self.stack.loop.note

    @property
    def free_slots(self) -> list[int]:
        return [slot for slot in range(self.n_slots) if slot not in self._occupants]

    @property
    def dtype(self) -> torch.dtype:
        return self.stack.dtype

    @property
    def is_empty(self) -> bool:
        return not self._occupants

    def join(self, config: TrialConfig, state: TrialState | None = None) -> int:
        """Take in a trial, a new one or one that goes on from `state`; its slot.

        A full pack gets GROWTH more slots; a pack without a shape class has one, which the new trial takes over.
        """
        if self._shape is None:
            self._occupants.clear()
            self.stack = self._stack(ShapeClass.alone(config), n_slots=1)
        else:
            assert self._shape.holds(config), "a trial of another shape class"
            if not self.free_slots:
                self._resize(self._shape, self.n_slots + GROWTH)
        slot = self.free_slots[0]
        state = state or TrialState.initial(self.train.shape[1], config)
        self.stack.seat(slot, config, state)
        self._occupants[slot] = _Occupant(config, state.epoch)
        return slot

    def shrink(self) -> None:
        """Give up the slots behind the last trial, GROWTH at a time."""
        n_slots = -(-(max(self._occupants, default=0) + 1) // GROWTH) * GROWTH
        if self._shape is not None and n_slots < self.n_slots:
            self._resize(self._shape, n_slots)

    def _resize(self, shape: ShapeClass, n_slots: int) -> None:
        """Have so many slots; every trial keeps its own."""
        # The new stack is filled before it replaces this one: where the memory is short, nothing has changed.
        resized = self._stack(shape, n_slots)
        for slot, trial in self._occupants.items():
            resized.seat(slot, trial.config, self.state(slot))
        self.stack, self.n_slots = resized, n_slots

    def leave(self, slot: int) -> None:
        """Free a slot for the next trial."""
        del self._occupants[slot]

    @no_denormals()
    def epoch(self, slots: Iterable[int]) -> dict[int, EpochMetrics]:
        """Train the trials of these slots for one pass over the images, then evaluate them; no other moves."""
        slots = sorted(set(slots))
        started = time.perf_counter()
        for slot in slots:
            self._begin(slot, self._occupants[slot])
        train = self.stack.train(slots)
        # A GPU works through the epoch's steps from here on. Meanwhile threads draw the next epoch, and the evaluation
        # is queued behind the steps; the program waits only at `tolist`, the epoch's one transfer.
        for slot in slots:
            self._prefetch.prepare(slot, self._occupants[slot].config, self._occupants[slot].epoch + 1)
        terms = torch.stack([train, *self.stack.evaluate()]).tolist()
        seconds = time.perf_counter() - started
        return {slot: self._metrics(slot, [of_split[slot] for of_split in terms], seconds) for slot in slots}

    def _begin(self, slot: int, trial: _Occupant) -> None:
        trial.epoch += 1
        order, noise = self._prefetch.take(slot, trial.config, trial.epoch)
        self.stack.loop.begin(slot, trial.config, trial.epoch, order, noise)

    def _metrics(self, slot: int, terms: list[list[float]], seconds: float) -> EpochMetrics:
        trial = self._occupants[slot]
        with_rate = has_rate(trial.config.mode)
        train, clean, *noisy = (Terms(distortion, rate if with_rate else None) for distortion, rate in terms)
        return EpochMetrics.of(trial.epoch, trial.config.beta, train, clean, noisy[0] if noisy else None, seconds)

    def model(self, slot: int) -> Vae:
        """A copy of the plain trial's model, unpadded, as it is now."""
        model = Vae.alone(self.train.shape[1], self._occupants[slot].config).to(self.device, self.dtype)
        model.load_state_dict(self.weights(slot))
        return model.eval()

    def weights(self, slot: int) -> dict[str, Tensor]:
        """A copy of the plain trial's weights, on the CPU."""
        return self.stack.weights(slot)

    def state(self, slot: int) -> TrialState:
        """A copy of all that the plain trial needs to go on elsewhere, on the CPU, unpadded."""
        trial = self._occupants[slot]
        return TrialState(trial.config, self.weights(slot), self.stack.adam_state(slot), trial.epoch)
