"""Zero padding: a narrow trial's tensors at the low end of a wider slot's.

It is exact: where act(0) = 0 a padded unit puts out 0, gets no gradient and stays 0. Where act(0) is not
0 a mask makes the padded units' outputs 0. Padded latents have mean 0, log variance 0 (so no KL) and noise 0.
"""

import math

import torch
from torch import Tensor

from vae.config import TrialConfig
from vae.model.network import ACTIVATIONS, Lead, Vae
from vae.model.shape_class import ShapeClass


def place(slot: Tensor, plain: Tensor) -> None:
    """Write a plain tensor into a slot's, zeros around it."""
    slot.zero_()
    slot[tuple(slice(0, size) for size in plain.shape)] = plain.to(slot)


def padded_to(plain: Tensor, like: Tensor) -> Tensor:
    """A new tensor of `like`'s shape and kind: the plain one, zeros around it."""
    padded = torch.empty_like(like, requires_grad=False)
    place(padded, plain)
    return padded


def take(slot: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A copy of the plain tensor of this shape out of a slot's, on the CPU."""
    return slot[tuple(slice(0, size) for size in shape)].detach().cpu().clone(memory_format=torch.contiguous_format)


def plain_shapes(n_pixels: int, config: TrialConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter of a trial alone."""
    with torch.device("meta"):
        return {name: tuple(parameter.shape) for name, parameter in Vae(n_pixels, config).named_parameters()}


def hidden_mask(shape: ShapeClass, lead: Lead, device: torch.device, dtype: torch.dtype) -> Tensor | None:
    """Zeros [*lead, 1, H], to be filled per slot; None where nothing can be padded or padding needs no mask."""
    at_zero = ACTIVATIONS[shape.activation](torch.zeros(())).item()
    if not lead or math.isclose(at_zero, 0.0):
        return None
    return torch.zeros(*lead, 1, shape.hidden_units, device=device, dtype=dtype)
