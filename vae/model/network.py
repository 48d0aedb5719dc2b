"""Encoder and decoder, for a stack of K trials that train (lead = (K,)) and for one plain trial (lead = ()).

The plain trial is what a checkpoint holds and what evaluations and reports use.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae.config import TrialConfig
from vae.model.likelihood import Pixels, clamped
from vae.model.shape_class import ShapeClass
from vae.randomness.streams import Stream, generator

Lead = tuple[int, ...]
SHARED_LOG_VARIANCE = -3.0  # a standard deviation of 0.22, about that of a pixel over the images

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


class Linear(nn.Module):
    """The only layer that knows of the trial axis. Weight [*lead, out, in], bias [*lead, out]."""

    def __init__(self, n_in: int, n_out: int, lead: Lead = ()) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(*lead, n_out, n_in))
        self.bias = nn.Parameter(torch.zeros(*lead, n_out))

    def forward(self, x: Tensor) -> Tensor:  # [*lead, B, in] -> [*lead, B, out]
        if self.weight.dim() == 3 and len(self.weight) > 1:
            return torch.baddbmm(self.bias.unsqueeze(-2), x, self.weight.transpose(-1, -2))
        # One trial, with the axis or without, is the same product, so its checkpoint evaluates to the same digits.
        return F.linear(x, self.weight.flatten(0, -2), self.bias.flatten())


class Vae(nn.Module):
    """Kingma & Welling 2013: MLP encoder and decoder, diagonal Gaussian posterior; and its two relatives.

    An autoencoder has a code and no posterior. A decoder alone has no encoder and takes z from the prior.
    The noise is an argument: a forward pass draws no random numbers, and each trial of a stack brings its own.
    """

    def __init__(self, n_pixels: int, shape: ShapeClass, lead: Lead = ()) -> None:
        super().__init__()
        self.shape = shape
        self.latent_size = shape.latent_size
        self.activations = [ACTIVATIONS[name] for name in shape.activations]
        self.chosen: Tensor | None = None  # bool [A - 1, *lead, 1, 1]: the trials that have not the first activation
        self.hidden_mask: Tensor | None = None  # [*lead, 1, H], 0 where a unit is padding whose act(0) is not 0
        widths = [shape.hidden_units] * shape.hidden_layers
        self.encoder = nn.ModuleList()
        if shape.mode != "decoder_only":
            self.encoder.extend(_layers([n_pixels, *widths], lead))
            self.mean = Linear(widths[-1], shape.latent_size, lead)
        if shape.mode == "vae":
            self.log_variance = Linear(widths[-1], shape.latent_size, lead)
        self.decoder = nn.ModuleList(_layers([shape.latent_size, *widths], lead))
        self.logits = Linear(widths[-1], n_pixels, lead)
        if shape.likelihood == "gaussian" and shape.variance == "per_pixel":
            self.pixel_log_variance = Linear(widths[-1], n_pixels, lead)
        elif shape.likelihood == "gaussian":
            self.shared_log_variance = nn.Parameter(torch.zeros(*lead, 1))

    @classmethod
    def alone(cls, n_pixels: int, config: TrialConfig) -> "Vae":
        """The plain trial's network, at its exact shape."""
        return cls(n_pixels, ShapeClass.alone(config))

    def encode(self, x: Tensor) -> Posterior:
        """The posterior of a vae. x: [*lead, B, D] in [0, 1]."""
        hidden = self._encoded(x, None)
        return Posterior(self.mean(hidden), self.log_variance(hidden))

    def code(self, x: Tensor) -> Tensor:
        """E_q[z|x] of a vae, the code of an autoencoder, [*lead, B, L]."""
        code: Tensor = self.mean(self._encoded(x, None))
        return code

    def decode(self, z: Tensor, masks: Tensor | None = None) -> Pixels:
        """The pixels of z [*lead, B, L]; masks: the decoder's half of those of `forward`."""
        for index, layer in enumerate(self.decoder):
            z = self._hidden(layer, z, None if masks is None else masks[index])
        return Pixels(self.logits(z), self._log_variance_of_pixels(z))

    def forward(self, x: Tensor, noise: Tensor, masks: Tensor | None = None) -> tuple[Posterior | None, Pixels]:
        """The posterior, None without one; and the pixels of one z: mean + std * noise, the code, or the noise.

        x: [*lead, B, D]; noise: [*lead, B, L]. masks: the factors of dropout for the hidden layers, the encoder's
        first, [2 * layers, *lead, B, H]; None: no dropout.
        """
        of_encoder, of_decoder = (None, None) if masks is None else masks.tensor_split(2)
        mode = self.shape.mode
        if mode == "decoder_only":
            return None, self.decode(noise, of_decoder)
        hidden = self._encoded(x, of_encoder)
        mean = self.mean(hidden)
        if mode == "autoencoder":
            return None, self.decode(mean, of_decoder)
        log_variance = self.log_variance(hidden)
        z = mean + torch.exp(0.5 * log_variance) * noise
        return Posterior(mean, log_variance), self.decode(z, of_decoder)

    def _encoded(self, x: Tensor, masks: Tensor | None) -> Tensor:
        for index, layer in enumerate(self.encoder):
            x = self._hidden(layer, x, None if masks is None else masks[index])
        return x

    def _hidden(self, layer: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        hidden = self._activated(layer(x))
        if self.hidden_mask is not None:
            hidden = hidden * self.hidden_mask
        return hidden if mask is None else hidden * mask

    def _activated(self, x: Tensor) -> Tensor:
        """Each trial's own activation. A pack computes all of its class, which costs little: weights are read once."""
        hidden = self.activations[0](x)
        if self.chosen is not None:
            for index, activation in enumerate(self.activations[1:]):
                hidden = torch.where(self.chosen[index], activation(x), hidden)
        return hidden

    def _log_variance_of_pixels(self, hidden: Tensor) -> Tensor | None:
        if self.shape.likelihood != "gaussian":
            return None
        if self.shape.variance == "per_pixel":
            return clamped(self.pixel_log_variance(hidden))
        return clamped(self.shared_log_variance).unsqueeze(-1)  # [*lead, 1, 1]


def _layers(widths: list[int], lead: Lead) -> list[Linear]:
    return [Linear(n_in, n_out, lead) for n_in, n_out in pairwise(widths)]


def initial_weights(n_pixels: int, config: TrialConfig) -> dict[str, Tensor]:
    """The plain trial's weights, drawn from its seed: U(-1/sqrt(in), 1/sqrt(in)), torch's default for Linear.

    A shared log variance starts at SHARED_LOG_VARIANCE, because Adam moves one number by at most about the
    learning rate a step.
    """
    draw = generator(config.seed, 0, Stream.WEIGHTS)
    model = Vae.alone(n_pixels, config)
    weights = {name: torch.full_like(parameter, SHARED_LOG_VARIANCE) for name, parameter in model.named_parameters()}
    for name, layer in model.named_modules():
        if isinstance(layer, Linear):
            bound = 1 / math.sqrt(layer.weight.shape[-1])
            weights[f"{name}.weight"].uniform_(-bound, bound, generator=draw)
            weights[f"{name}.bias"].uniform_(-bound, bound, generator=draw)
    return {name: weight.detach() for name, weight in weights.items()}
