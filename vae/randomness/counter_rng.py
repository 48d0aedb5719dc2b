"""Random numbers by key and place: SplitMix64 (Steele, Lea & Flood 2014), read at any place of its sequence.

A generator must draw numbers in order, and those of every pixel would be 170 MB for an epoch of MNIST. Here a number
follows from a key and a place, so it is computed where it is used. It is the same on every device, in every slot, and
in whichever batch the image is.
"""

import math

import torch
from torch import Tensor

GAMMA, MIX_1, MIX_2 = (constant - 2**64 for constant in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
BITS = 23  # of a uniform number: the middle of each of 2**23 intervals is exact in float32 and never 0 or 1


def bits(key: Tensor, place: Tensor) -> Tensor:
    """64 random bits as int64, in the broadcast shape of key and place. Both are int64; places count from 0."""
    # SplitMix64 adds GAMMA to its state at each step and mixes the sum. So the state after place + 1 steps needs no
    # loop. int64 wraps around as uint64 does: sums and products have the same bits.
    state = key + GAMMA * (place + 1)
    state = (state ^ _shifted(state, 30)) * MIX_1
    state = (state ^ _shifted(state, 27)) * MIX_2
    return state ^ _shifted(state, 31)


def _shifted(state: Tensor, n: int) -> Tensor:
    """Shift right and fill with zeros; torch's own shift of int64 repeats the sign."""
    return (state >> n) & ((1 << (64 - n)) - 1)


def uniform(key: Tensor, place: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform in (0, 1), in the broadcast shape of key and place."""
    return (_shifted(bits(key, place), 64 - BITS).to(dtype) + 0.5) * 2.0**-BITS


def normal(key: Tensor, place: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal, by the inverse of its distribution function; no number exceeds 5.3 standard deviations."""
    return math.sqrt(2) * torch.erfinv(2 * uniform(key, place, dtype) - 1)
