"""Adam (Kingma & Ba 2015) for a stack of K trials, each with its own learning rate and step count.

There are two, with the same methods. RowAdam steps each trial by torch's fused Adam; it serves CPUs, and trials alone.
StackedAdam steps all trials by a few operations on the whole stack, which compile into one kernel on a GPU. Both hold
the moments by parameter name and hand out a plain trial's AdamState, so a trial may move from one to the other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from vae.backend.compilation import any_number, compiled
from vae.model.padding import padded_to, place, take
from vae.storage.state import AdamState

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

Shapes = Mapping[str, tuple[int, ...]]  # of a plain trial's parameters, by name


@dataclass
class _Row:
    """One trial's part of the stack, in the order of the parameters."""

    learning_rate: float
    parameters: list[Tensor]  # they share the stack's memory
    exp_avg: list[Tensor]
    exp_avg_sq: list[Tensor]
    steps: list[Tensor]  # a count each, all the same: the fused kernel has it so


class RowAdam:
    """torch's fused Adam on each active trial's rows of the stack.

    The rows of a trial are contiguous, as the fused kernel needs. It reads and writes each number once. The
    operations of StackedAdam would go through the memory a dozen times where nothing compiles them.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """parameters: [K, ...] each."""
        self._parameters = dict(parameters)
        self._rows: dict[int, _Row] = {}  # by slot
        self._active: list[int] = []

    def place(self, slot: int, learning_rate: float, state: AdamState) -> None:
        """Take over a plain trial's moments and step count, padded into the slot."""
        rows = {name: parameter.data[slot] for name, parameter in self._parameters.items()}
        self._rows[slot] = _Row(
            learning_rate,
            list(rows.values()),
            [padded_to(state.exp_avg[name], row) for name, row in rows.items()],
            [padded_to(state.exp_avg_sq[name], row) for name, row in rows.items()],
            [torch.tensor(float(state.step), device=row.device) for row in rows.values()],
        )

    def activate(self, slots: Sequence[int]) -> None:
        """Say which trials the next steps move; the others stand still, whatever their gradients are."""
        self._active = list(slots)

    @torch.no_grad()
    def step(self) -> None:
        """One step of the active trials; then no parameter has a gradient."""
        stacked = [parameter.grad for parameter in self._parameters.values()]
        for slot in self._active:
            row = self._rows[slot]
            adam(
                row.parameters,
                [gradient[slot] for gradient in stacked if gradient is not None],
                row.exp_avg,
                row.exp_avg_sq,
                [],
                row.steps,
                fused=True,
                amsgrad=False,
                beta1=BETA1,
                beta2=BETA2,
                lr=row.learning_rate,
                weight_decay=0.0,
                eps=EPSILON,
                maximize=False,
            )
        for parameter in self._parameters.values():
            parameter.grad = None

    def take(self, slot: int, shapes: Shapes) -> AdamState:
        """A copy of the plain trial's state, on the CPU."""
        row, names = self._rows[slot], self._parameters
        return AdamState(
            step=int(row.steps[0].item()),
            exp_avg={name: take(moment, shapes[name]) for name, moment in zip(names, row.exp_avg, strict=True)},
            exp_avg_sq={name: take(moment, shapes[name]) for name, moment in zip(names, row.exp_avg_sq, strict=True)},
        )


class StackedAdam:
    """Adam on the whole stack at once. torch.optim takes no learning rate for each slice.

    Whatever differs between trials is a tensor that is written in place: a captured CUDA graph of `step` holds
    addresses, so it stays right when a slot changes hands.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """parameters: [K, ...] each."""
        self._parameters = dict(parameters)
        first = next(iter(self._parameters.values()))
        self.active = torch.zeros(len(first), dtype=torch.bool, device=first.device)  # [K]
        self.learning_rate = first.new_zeros(len(first))  # [K]
        self.steps = first.new_zeros(len(first))  # [K]
        self.exp_avg = {name: torch.zeros_like(p, requires_grad=False) for name, p in self._parameters.items()}
        self.exp_avg_sq = {name: torch.zeros_like(p, requires_grad=False) for name, p in self._parameters.items()}
        self._compiled: Callable[[StackedAdam], None] | None = None

    def compile(self, backend: str | None) -> None:
        """From now on steps are compiled, for any number of slots; None: they are not."""
        any_number((*self.exp_avg.values(), *self.exp_avg_sq.values(), self.active, self.learning_rate, self.steps), 0)
        self._compiled = None if backend is None else compiled(type(self).update, backend)

    def place(self, slot: int, learning_rate: float, state: AdamState) -> None:
        """Take over a plain trial's moments and step count, padded into the slot."""
        self.learning_rate[slot] = learning_rate
        self.steps[slot] = state.step
        for name in self._parameters:
            place(self.exp_avg[name][slot], state.exp_avg[name])
            place(self.exp_avg_sq[name][slot], state.exp_avg_sq[name])

    def activate(self, slots: Sequence[int]) -> None:
        """Say which trials the next steps move; the others stand still, whatever their gradients are."""
        self.active.zero_()
        self.active[list(slots)] = True

    def step(self) -> None:
        """One step of the active trials; then no parameter has a gradient."""
        if self._compiled is None:
            self.update()
        else:
            any_number([parameter.grad for parameter in self._parameters.values() if parameter.grad is not None], 0)
            self._compiled(self)
        # Gradients are dropped, not zeroed. Zeroing them in the compiled step doubled the bytes that it moves, from
        # 28 to 60 of each parameter; and a captured graph writes its gradients to the same memory at every replay.
        for parameter in self._parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def update(self) -> None:
        """New parameters and moments of the active trials, from the gradients."""
        # A trial that stands still may have a gradient of NaN, because it has diverged. So the new values are
        # computed for all, and torch.where picks them for the active ones: multiplying by 0 would keep the NaN.
        self.steps += self.active
        correction1 = 1 - BETA1**self.steps
        correction2 = (1 - BETA2**self.steps).sqrt()
        for name, parameter in self._parameters.items():
            shape = (-1,) + (1,) * (parameter.dim() - 1)
            live, gradient = self.active.view(shape), parameter.grad
            assert gradient is not None
            mean, square = self.exp_avg[name], self.exp_avg_sq[name]
            new_mean = torch.lerp(mean, gradient, 1 - BETA1)
            new_square = square * BETA2 + gradient * gradient * (1 - BETA2)
            scale = (self.learning_rate / correction1).view(shape)
            update = scale * new_mean / (new_square.sqrt() / correction2.view(shape) + EPSILON)
            mean.copy_(torch.where(live, new_mean, mean))
            square.copy_(torch.where(live, new_square, square))
            parameter.copy_(torch.where(live, parameter - update, parameter))

    def take(self, slot: int, shapes: Shapes) -> AdamState:
        """A copy of the plain trial's state, on the CPU."""
        return AdamState(
            step=int(self.steps[slot].item()),
            exp_avg={name: take(self.exp_avg[name][slot], shape) for name, shape in shapes.items()},
            exp_avg_sq={name: take(self.exp_avg_sq[name][slot], shape) for name, shape in shapes.items()},
        )


Adam = RowAdam | StackedAdam


def adam_for(parameters: Mapping[str, nn.Parameter], is_compiled: bool) -> Adam:
    """The faster of the two: StackedAdam where it is compiled or captured, RowAdam elsewhere."""
    return StackedAdam(parameters) if is_compiled else RowAdam(parameters)
