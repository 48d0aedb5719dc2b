"""Random numbers by place: SplitMix64 (Steele, Lea & Flood 2014), read at any place of its sequence.

What is drawn per pixel or per hidden unit would be 170 MB for an epoch of MNIST. A number that follows from a key
and a place is drawn where it is used: the same on every device, in every slot, in whichever batch the image is.
100,000 of them take 0.6 ms, torch.rand 0.2 (one thread of an AMD EPYC, 2026-11-21).
"""

import math

import torch
from torch import Tensor

GAMMA, MIX_1, MIX_2 = (constant - 2**64 for constant in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
BITS = 23  # of a uniform number: the middle of each of 2**23 intervals is exact in float32 and never 0 or 1


def bits(key: Tensor, place: Tensor) -> Tensor:
    """64 random bits as int64, of the broadcast shape; key and place: int64, place from 0."""
    state = key + GAMMA * (place + 1)
    state = (state ^ _shifted(state, 30)) * MIX_1
    state = (state ^ _shifted(state, 27)) * MIX_2
    return state ^ _shifted(state, 31)


def _shifted(state: Tensor, n: int) -> Tensor:
    """To the right with zeros coming in; torch's own shift of int64 repeats the sign."""
    return (state >> n) & ((1 << (64 - n)) - 1)


def uniform(key: Tensor, place: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """In (0, 1)."""
    return (_shifted(bits(key, place), 64 - BITS).to(dtype) + 0.5) * 2.0**-BITS


def normal(key: Tensor, place: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal, by the inverse of its distribution function; ends at 5.3 standard deviations."""
    return math.sqrt(2) * torch.erfinv(2 * uniform(key, place, dtype) - 1)
