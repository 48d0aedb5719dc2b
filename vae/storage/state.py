"""What a trial needs to go on: its weights and its optimiser's state, with no padding, on the CPU."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vae.config import TrialConfig
from vae.model.network import initial_weights


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


@dataclass
class TrialState:
    """A plain trial between two epochs. Training that starts from it goes on exactly as if it had never stopped."""

    config: TrialConfig
    weights: dict[str, Tensor]
    adam: AdamState
    epoch: int = 0

    @classmethod
    def initial(cls, n_pixels: int, config: TrialConfig) -> "TrialState":
        weights = initial_weights(n_pixels, config)
        return cls(config, weights, AdamState.initial(weights))
