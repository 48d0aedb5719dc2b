"""Zero padding: a narrow trial's tensors at the low end of a wider slot's.

It is exact. Where act(0) = 0, a padded unit puts out 0, gets no gradient and stays 0. Where act(0) is not 0, a mask
sets the padded units' outputs to 0. A padded latent has mean 0 and log variance 0, so no KL, and its noise is 0.
"""

import math

import torch
from torch import Tensor

from vae.model.network import ACTIVATIONS
from vae.model.shape_class import ShapeClass


def place(slot: Tensor, plain: Tensor) -> None:
    """Write a plain tensor into a slot's, with zeros around it. A pinned one is copied while the program goes on."""
    slot.zero_()
    slot[tuple(slice(0, size) for size in plain.shape)] = plain.to(slot, non_blocking=True)


def padded_to(plain: Tensor, like: Tensor) -> Tensor:
    """A new tensor with the shape, dtype and device of `like`: the plain one, with zeros around it."""
    padded = torch.empty_like(like, requires_grad=False)
    place(padded, plain)
    return padded


def take(slot: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A copy of the plain tensor of this shape out of a slot's, on the CPU."""
    return slot[tuple(slice(0, size) for size in shape)].detach().cpu().clone(memory_format=torch.contiguous_format)


def hidden_mask(shape: ShapeClass, n_slots: int, device: torch.device, dtype: torch.dtype) -> Tensor | None:
    """Zeros [K, 1, H], which each slot fills in for its trial; None where padding needs no mask."""
    zero = torch.zeros(())
    if all(math.isclose(ACTIVATIONS[name](zero).item(), 0.0) for name in shape.activations):
        return None
    return torch.zeros(n_slots, 1, shape.hidden_units, device=device, dtype=dtype)


def chosen_activations(shape: ShapeClass, n_slots: int, device: torch.device) -> Tensor | None:
    """Falses [A - 1, K, 1, 1], which each slot sets for its trial's activation; None where all have the same."""
    n_others = len(shape.activations) - 1
    return torch.zeros(n_others, n_slots, 1, 1, dtype=torch.bool, device=device) if n_others else None
