"""Adam (Kingma & Ba 2015) for a trial alone and for a stack of trials.

Both hold their moments by parameter name, so that a trial's state means the same in either.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass
class AdamState:
    """A plain trial's optimiser state: first and second moments by parameter name, and the steps taken."""

    step: int
    exp_avg: dict[str, Tensor]
    exp_avg_sq: dict[str, Tensor]

    @classmethod
    def initial(cls, weights: Mapping[str, Tensor]) -> "AdamState":
        zeros = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        return cls(0, zeros, {name: zero.clone() for name, zero in zeros.items()})


class FusedAdam:
    """torch's fused Adam, for a trial alone."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], learning_rate: float, state: AdamState) -> None:
        self._parameters = dict(parameters)
        self._adam = torch.optim.Adam(self._parameters.values(), learning_rate, (BETA1, BETA2), EPSILON, fused=True)
        for name, parameter in self._parameters.items():
            self._adam.state[parameter] = {
                "step": torch.tensor(float(state.step), device=parameter.device),
                "exp_avg": state.exp_avg[name].to(parameter, copy=True),
                "exp_avg_sq": state.exp_avg_sq[name].to(parameter, copy=True),
            }

    def step(self) -> None:
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)

    def state(self) -> AdamState:
        """A copy on the CPU."""
        moments = {name: self._adam.state[parameter] for name, parameter in self._parameters.items()}
        return AdamState(
            step=int(next(iter(moments.values()))["step"].item()),
            exp_avg={name: moment["exp_avg"].cpu().clone() for name, moment in moments.items()},
            exp_avg_sq={name: moment["exp_avg_sq"].cpu().clone() for name, moment in moments.items()},
        )
