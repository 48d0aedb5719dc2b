"""Preview: a few images that show a model at work.

The driver receives previews and draws none, so it reads this file without torch: `preview_of` alone imports it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vae.config import TrialConfig

if TYPE_CHECKING:
    from torch import Tensor

    from vae.model.network import Vae

PREVIEW_IMAGES = 8


@dataclass(frozen=True)
class Preview:
    """A few images of one epoch, uint8 [n, height, width]: inputs, their reconstructions, samples from the prior.

    manifold: of two latents, those decoded over the plane, row by row in a square; None of another number.
    """

    inputs: np.ndarray
    reconstructions: np.ndarray
    samples: np.ndarray
    manifold: np.ndarray | None = None


def preview_of(model: "Vae", config: TrialConfig, validation: "Tensor", image_shape: tuple[int, int]) -> Preview:
    """The first validation images as a plain model sees them, its reconstructions, and samples of the same noise at
    every epoch. validation: uint8 [N, D], on the model's device."""
    import torch

    from vae.model import likelihood
    from vae.model.elbo import evaluation_inputs
    from vae.randomness.streams import EVALUATION_SEED, Stream, generator
    from vae.storage.snapshots import snapshot_latents

    def grey(x: "Tensor") -> np.ndarray:  # [n, D] in [0, 1] -> uint8 [n, height, width]
        pixels: np.ndarray = (x * 255).round().to("cpu", torch.uint8).reshape(-1, *image_shape).numpy()
        return pixels

    first, weight = validation[:PREVIEW_IMAGES], model.logits.weight
    factor = None
    if config.input_noise != "none":
        factor = torch.tensor(config.noise_factor, device=weight.device, dtype=weight.dtype)
    draw = generator(EVALUATION_SEED, 0, Stream.SAMPLES)
    z = torch.randn(PREVIEW_IMAGES, config.latent_size, generator=draw).to(weight)
    with torch.no_grad():
        _, seen = evaluation_inputs(model, first, torch.arange(len(first), device=first.device), factor)
        shown = model.decode(z[: len(first)] if config.mode == "decoder_only" else model.code(seen))
        decoded = [shown, model.decode(z)]
        if config.latent_size == 2:  # every other place of a snapshot's plane, the middle one among them
            plane = snapshot_latents(2, config.mode)["manifold"][1::2, 1::2]
            decoded.append(model.decode(plane.reshape(-1, 2).to(weight)))
        return Preview(grey(seen), *(grey(likelihood.means(config.likelihood, pixels)) for pixels in decoded))
