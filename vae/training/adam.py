"""Adam (Kingma & Ba 2015) for a trial alone and for a stack of trials.

Both hold their moments by parameter name, so that a trial's state means the same in either.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vae.model.padding import padded_to, place, take
from vae.storage.state import AdamState

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class FusedAdam:
    """torch's fused Adam, for a trial alone: slot 0 of one."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self._parameters = dict(parameters)

    def place(self, slot: int, learning_rate: float, state: AdamState) -> None:
        """Take over a trial's moments and step count."""
        self._adam = torch.optim.Adam(self._parameters.values(), learning_rate, (BETA1, BETA2), EPSILON, fused=True)
        for name, parameter in self._parameters.items():
            self._adam.state[parameter] = {
                "step": torch.tensor(float(state.step), device=parameter.device),
                "exp_avg": state.exp_avg[name].to(parameter, copy=True),
                "exp_avg_sq": state.exp_avg_sq[name].to(parameter, copy=True),
            }

    def step(self, active: Tensor) -> None:
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)

    def take(self, slot: int, shapes: Mapping[str, tuple[int, ...]]) -> AdamState:
        """A copy of the trial's state, on the CPU."""
        moments = {name: self._adam.state[parameter] for name, parameter in self._parameters.items()}
        return AdamState(
            step=int(next(iter(moments.values()))["step"].item()),
            exp_avg={name: moment["exp_avg"].cpu().clone() for name, moment in moments.items()},
            exp_avg_sq={name: moment["exp_avg_sq"].cpu().clone() for name, moment in moments.items()},
        )


class RowAdam:
    """Adam for K trials on a CPU: torch's fused one on each active trial's rows of the stack.

    Rows are contiguous, as the fused kernel needs. It reads and writes each number once; the arithmetic of
    StackedAdam, which a GPU compiles into one kernel, goes through memory a dozen times here.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """parameters: [K, ...] each."""
        self._parameters = dict(parameters)
        self._slots: dict[int, FusedAdam] = {}
        self._rows: dict[int, dict[str, nn.Parameter]] = {}

    def place(self, slot: int, learning_rate: float, state: AdamState) -> None:
        """Take over a plain trial's moments and step count, padded into the slot."""
        rows = {name: nn.Parameter(parameter.data[slot]) for name, parameter in self._parameters.items()}
        padded = AdamState(
            state.step,
            {name: padded_to(state.exp_avg[name], row) for name, row in rows.items()},
            {name: padded_to(state.exp_avg_sq[name], row) for name, row in rows.items()},
        )
        self._rows[slot], self._slots[slot] = rows, FusedAdam(rows)
        self._slots[slot].place(0, learning_rate, padded)

    def step(self, active: Tensor) -> None:
        """One step of the active trials, [K] bool; where it is False nothing changes, whatever the gradient is."""
        for slot in active.nonzero().flatten().tolist():
            for name, parameter in self._parameters.items():
                assert parameter.grad is not None
                self._rows[slot][name].grad = parameter.grad[slot]
            self._slots[slot].step(active[slot])
        for parameter in self._parameters.values():
            parameter.grad = None

    def take(self, slot: int, shapes: Mapping[str, tuple[int, ...]]) -> AdamState:
        """A copy of the plain trial's state, on the CPU."""
        padded = self._slots[slot].take(0, shapes)
        return AdamState(
            padded.step,
            {name: take(padded.exp_avg[name], shape) for name, shape in shapes.items()},
            {name: take(padded.exp_avg_sq[name], shape) for name, shape in shapes.items()},
        )


class StackedAdam:
    """Adam for K trials at once: a learning rate and a step count per trial; a trial that is not active stands still.

    torch.optim takes no learning rate per slice. Everything that differs per trial is a tensor that is
    written in place, so a captured CUDA graph of `step` stays right when a slot changes hands.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """parameters: [K, ...] each."""
        self._parameters = dict(parameters)
        first = next(iter(self._parameters.values()))
        self.learning_rate = first.new_zeros(first.shape[0])  # [K]
        self.steps = first.new_zeros(first.shape[0])  # [K]
        self.exp_avg = {name: torch.zeros_like(p, requires_grad=False) for name, p in self._parameters.items()}
        self.exp_avg_sq = {name: torch.zeros_like(p, requires_grad=False) for name, p in self._parameters.items()}

    @torch.no_grad()
    def step(self, active: Tensor) -> None:
        """One step of the active trials, [K] bool. Where it is False nothing changes, whatever the gradient is."""
        self.steps += active
        correction1 = 1 - BETA1**self.steps
        correction2 = (1 - BETA2**self.steps).sqrt()
        for name, parameter in self._parameters.items():
            shape = (-1,) + (1,) * (parameter.dim() - 1)
            live, gradient = active.view(shape), parameter.grad
            assert gradient is not None
            mean, square = self.exp_avg[name], self.exp_avg_sq[name]
            new_mean = torch.lerp(mean, gradient, 1 - BETA1)
            new_square = square * BETA2 + gradient * gradient * (1 - BETA2)
            scale = (self.learning_rate / correction1).view(shape)
            update = scale * new_mean / (new_square.sqrt() / correction2.view(shape) + EPSILON)
            mean.copy_(torch.where(live, new_mean, mean))
            square.copy_(torch.where(live, new_square, square))
            parameter.copy_(torch.where(live, parameter - update, parameter))
            gradient.zero_()

    def place(self, slot: int, learning_rate: float, state: AdamState) -> None:
        """Take over a plain trial's moments and step count, padded into the slot."""
        self.learning_rate[slot] = learning_rate
        self.steps[slot] = state.step
        for name in self._parameters:
            place(self.exp_avg[name][slot], state.exp_avg[name])
            place(self.exp_avg_sq[name][slot], state.exp_avg_sq[name])

    def take(self, slot: int, shapes: Mapping[str, tuple[int, ...]]) -> AdamState:
        """A copy of the plain trial's state, on the CPU."""
        return AdamState(
            step=int(self.steps[slot].item()),
            exp_avg={name: take(self.exp_avg[name][slot], shape) for name, shape in shapes.items()},
            exp_avg_sq={name: take(self.exp_avg_sq[name][slot], shape) for name, shape in shapes.items()},
        )


Adam = FusedAdam | RowAdam | StackedAdam


def adam_for(parameters: Mapping[str, nn.Parameter], n_lead: int, device: torch.device) -> Adam:
    """The Adam that is fastest for a trial alone (n_lead 0), and for a stack on this device."""
    if not n_lead:
        return FusedAdam(parameters)
    return StackedAdam(parameters) if device.type == "cuda" else RowAdam(parameters)
