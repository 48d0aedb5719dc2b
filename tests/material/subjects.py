"""Models for the tests of what a checkpoint shows: untrained ones, and ones whose codes and pictures are known."""

import math
from typing import Any

import numpy as np
import torch

from report.models.subject import Subject
from vae.config import TrialConfig
from vae.datasets.types import Images
from vae.model.metrics import EpochMetrics
from vae.model.network import Vae, initial_weights
from vae.storage.checkpoint import Description

SHAPE = (2, 2)


def untrained(
    images: Images,
    shape: tuple[int, int],
    history: list[EpochMetrics],
    dataset: str = "digits",
    class_names: tuple[str, ...] | None = None,
    **config: Any,
) -> Subject:
    """For figures of which is of interest whether they can be drawn, not what they show."""
    chosen = TrialConfig(**config)
    n_pixels = shape[0] * shape[1]
    model = Vae.alone(n_pixels, chosen)
    model.load_state_dict(initial_weights(n_pixels, chosen))
    description = Description(chosen, dataset, shape, max(1, len(history)), history)
    return Subject.of(model, description, "validation", images, history, class_names)


def subject(means: np.ndarray, labels: list[int] | None = None, log_variance: float = 0.0, **config: Any) -> Subject:
    """A model whose codes are the given ones and whose decoder writes z0, z1, ... into the pixels.

    Image i has the grey value i; the encoder is a table, because relu(i + 1 - j) makes a piecewise linear one.
    """
    n_images, latent_size = means.shape
    chosen = TrialConfig(latent_size=latent_size, hidden_units=max(n_images, 2 * latent_size), **config)
    model = Vae.alone(4, chosen)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        if chosen.mode != "decoder_only":
            _tabulate(model, means)
        if chosen.mode == "vae":
            model.log_variance.bias[:] = log_variance
        for latent in range(latent_size):
            model.decoder[0].weight[2 * latent : 2 * latent + 2, latent] = torch.tensor([1.0, -1.0])
        for latent in range(min(latent_size, 4)):
            model.logits.weight[latent, 2 * latent : 2 * latent + 2] = torch.tensor([1.0, -1.0])
    pixels = np.tile(np.arange(n_images, dtype=np.uint8)[:, None], (1, 4))
    images = Images(pixels, np.array(labels if labels is not None else [0] * n_images))
    return Subject.of(model.eval(), Description(chosen, "digits", SHAPE, 1), "validation", images, [])


def _tabulate(model: Vae, means: np.ndarray) -> None:
    n_images, latent_size = means.shape
    model.encoder[0].weight[:, 0] = 255.0
    model.encoder[0].bias[:] = 1.0 - torch.arange(len(model.encoder[0].bias))
    slopes = np.diff(means, axis=0, prepend=np.zeros((1, latent_size)))
    corners = np.diff(slopes, axis=0, prepend=np.zeros((1, latent_size)))
    model.mean.weight[:, :n_images] = torch.from_numpy(corners.T).float()


def grey(z: float) -> int:
    """What the decoder of `subject` makes of a latent: sigmoid(z), as a grey value."""
    return round(255 / (1 + math.exp(-z)))


def greys(z: np.ndarray) -> list[int]:
    return [grey(value) for value in z]


def spread_codes() -> np.ndarray:
    """Of 201 images: z0 1, z1 from -5 to 5, z2 from 0 to 1; the quantiles of evenly spaced numbers are exact."""
    return np.stack([np.ones(201), np.linspace(-5, 5, 201), np.linspace(0, 1, 201)], axis=1)
