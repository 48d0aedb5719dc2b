"""Encoder and decoder: one definition for a trial alone (lead = ()) and for a stack of K trials (lead = (K,))."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae.config import TrialConfig
from vae.shape import ShapeClass
from vae.streams import Stream, generator

Lead = tuple[int, ...]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "elu": F.elu,
    "softplus": F.softplus,
}


class Posterior(NamedTuple):
    """q(z|x), a diagonal Gaussian. Each tensor: [*lead, B, L]."""

    mean: Tensor
    log_variance: Tensor


def as_float(pixels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Grey values 0..255 as the model's input in [0, 1], the same shape."""
    return pixels.to(dtype) / 255


class Linear(nn.Module):
    """The only layer that knows of the leading trial axis. Weight [*lead, out, in], bias [*lead, out]."""

    def __init__(self, n_in: int, n_out: int, lead: Lead = ()) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(*lead, n_out, n_in))
        self.bias = nn.Parameter(torch.zeros(*lead, n_out))

    def forward(self, x: Tensor) -> Tensor:  # [*lead, B, in] -> [*lead, B, out]
        if self.weight.dim() == 2:
            return F.linear(x, self.weight, self.bias)
        return torch.baddbmm(self.bias.unsqueeze(-2), x, self.weight.transpose(-1, -2))


class Vae(nn.Module):
    """Kingma & Welling 2013: MLP encoder and decoder, diagonal Gaussian posterior, one logit per pixel.

    The noise is an argument, so a forward pass draws nothing and a stack of trials can bring its own.
    """

    def __init__(self, n_pixels: int, config: TrialConfig | ShapeClass, lead: Lead = ()) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.hidden_mask: Tensor | None = None  # [*lead, 1, H], 0 where a unit is padding whose act(0) is not 0
        widths = [config.hidden_units] * config.hidden_layers
        self.encoder = nn.ModuleList(_layers([n_pixels, *widths], lead))
        self.mean = Linear(widths[-1], config.latent_size, lead)
        self.log_variance = Linear(widths[-1], config.latent_size, lead)
        self.decoder = nn.ModuleList(_layers([config.latent_size, *widths], lead))
        self.logits = Linear(widths[-1], n_pixels, lead)

    def encode(self, x: Tensor) -> Posterior:  # [*lead, B, D] in [0, 1]
        for layer in self.encoder:
            x = self._hidden(layer, x)
        return Posterior(self.mean(x), self.log_variance(x))

    def decode(self, z: Tensor) -> Tensor:  # [*lead, B, L] -> logits [*lead, B, D]
        for layer in self.decoder:
            z = self._hidden(layer, z)
        logits: Tensor = self.logits(z)
        return logits

    def _hidden(self, layer: nn.Module, x: Tensor) -> Tensor:
        hidden = self.activation(layer(x))
        return hidden if self.hidden_mask is None else hidden * self.hidden_mask

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Posterior, Tensor]:
        """The posterior, and the logits of one z sampled from it: z = mean + std * noise."""
        posterior = self.encode(x)
        z = posterior.mean + torch.exp(0.5 * posterior.log_variance) * noise
        return posterior, self.decode(z)


def _layers(widths: list[int], lead: Lead) -> list[Linear]:
    return [Linear(n_in, n_out, lead) for n_in, n_out in pairwise(widths)]


def initial_weights(n_pixels: int, config: TrialConfig) -> dict[str, Tensor]:
    """The seed's weights for a trial alone: U(-1/sqrt(in), 1/sqrt(in)), which is torch's default for Linear."""
    draw = generator(config.seed, 0, Stream.WEIGHTS)
    weights = {}
    for name, layer in Vae(n_pixels, config).named_modules():
        if isinstance(layer, Linear):
            bound = 1 / math.sqrt(layer.weight.shape[-1])
            weights[f"{name}.weight"] = torch.empty_like(layer.weight).uniform_(-bound, bound, generator=draw)
            weights[f"{name}.bias"] = torch.empty_like(layer.bias).uniform_(-bound, bound, generator=draw)
    return {name: weight.detach() for name, weight in weights.items()}
