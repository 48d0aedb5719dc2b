"""From grey values to the encoder's input and the decoder's target: scaled, binarised, corrupted.

Each random number follows from a key and the image's place in its split (counter_rng), so an image is corrupted in the
same way whichever trials train beside it.
"""

import torch
from torch import Tensor

from vae.config import Binarize, Noise
from vae.randomness import counter_rng


def as_float(pixels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Grey values 0..255 as the model's input in [0, 1], the same shape."""
    return pixels.to(dtype) / 255


def pixel_places(images: Tensor, n_pixels: int) -> Tensor:
    """The place of every pixel in its split, int64 [..., B, D]; images: the images' places, int64 [..., B]."""
    return images.unsqueeze(-1) * n_pixels + torch.arange(n_pixels, device=images.device)


def target(grey: Tensor, binarize: Binarize, key: Tensor, images: Tensor, dtype: torch.dtype) -> Tensor:
    """The decoder's target, in [0, 1], or 0 and 1. grey: uint8 [*lead, B, D]; key: int64 [*lead].

    stochastic: a pixel is 1 with the probability of its grey value (Salakhutdinov & Murray 2008).
    """
    if binarize == "threshold":
        return (grey >= 128).to(dtype)
    x = as_float(grey, dtype)
    if binarize == "none":
        return x
    return (x > counter_rng.uniform(_of_pixels(key), pixel_places(images, grey.shape[-1]), dtype)).to(dtype)


def corrupted(x: Tensor, noise: Noise, factor: Tensor, key: Tensor, images: Tensor) -> Tensor:
    """The encoder's input, in [0, 1]. x: [*lead, B, D]; factor, key: [*lead]; images: int64 [*lead, B].

    gaussian adds noise of standard deviation `factor` and cuts at 0 and 1. salt_pepper sets a share `factor` of the
    pixels to 0 or 1, equally often.
    """
    if noise == "none":
        return x
    places, strength = pixel_places(images, x.shape[-1]), _of_pixels(factor)
    if noise == "gaussian":
        return (x + strength * counter_rng.normal(_of_pixels(key), places, x.dtype)).clamp(0, 1)
    draw = counter_rng.uniform(_of_pixels(key), places, x.dtype)
    salted = torch.where(draw > 1 - strength / 2, torch.ones_like(x), x)
    return torch.where(draw < strength / 2, torch.zeros_like(x), salted)


def _of_pixels(per_trial: Tensor) -> Tensor:
    """[*lead] -> [*lead, 1, 1]"""
    return per_trial.unsqueeze(-1).unsqueeze(-1)
