"""The ELBO of a split: mean distortion and rate, from inputs and noise that are the same for every trial.

z is sampled, because decoding the posterior's mean would understate the distortion.
"""

from functools import cache

import torch
from torch import Tensor

from vae.config import EVALUATION_BATCH
from vae.model import inputs, likelihood, objective
from vae.model.network import Vae
from vae.randomness.streams import EVALUATION_SEED, Stream, key


def evaluation_inputs(
    model: Vae, grey: Tensor, images: Tensor, noise_factor: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(the decoder's target, the encoder's input), each [*lead, B, D].

    grey: uint8 [*lead, B, D], or [B, D] for all trials; images: their places in the split, int64 [B].
    noise_factor: [*lead]; None: the input stays clean.
    """
    shape, device, dtype = model.shape, grey.device, model.logits.weight.dtype
    of_binarize, of_corruption = (_key(stream, device) for stream in (Stream.BINARIZE, Stream.CORRUPTION))
    x = inputs.target(grey, shape.binarize, of_binarize, images, dtype)
    if noise_factor is None:
        return x, x
    return x, inputs.corrupted(x, shape.noise, noise_factor, of_corruption, images)


@cache
def _key(stream: Stream, device: torch.device) -> Tensor:
    """Of evaluations, on the device: made once, because each transfer to a GPU waits for all that it has to do."""
    return torch.tensor(key(EVALUATION_SEED, 0, stream), device=device)


@torch.no_grad()
def mean_distortion_and_rate(model: Vae, pixels: Tensor, noise: Tensor, noise_factor: Tensor | None = None) -> Tensor:
    """Mean (D, R) over the images in nats, float64 [*lead, 2]; R is 0 where there is no posterior.

    pixels: uint8 [N, D]; noise: [*lead, N, L]. noise_factor: [*lead]; None: the input stays clean.
    """
    total: Tensor | float = 0.0
    for start in range(0, len(pixels), EVALUATION_BATCH):
        stop = min(start + EVALUATION_BATCH, len(pixels))
        images = torch.arange(start, stop, device=pixels.device)
        both = evaluation_inputs(model, pixels[start:stop], images, noise_factor)
        x, seen = (one.expand(*noise.shape[:-2], -1, -1) for one in both)
        posterior, decoded = model(seen, noise[..., start:stop, :])
        distortion = likelihood.distortion(model.shape.likelihood, decoded, x)
        rate = torch.zeros_like(distortion) if posterior is None else objective.rate(posterior)
        total = total + torch.stack([distortion, rate], -1).sum(-2, dtype=torch.float64)
    return torch.as_tensor(total) / len(pixels)
