"""Streams of random numbers: each comes from (seed, epoch, purpose), never from what ran before or beside it."""

from enum import IntEnum

import numpy as np
import torch

EVALUATION_SEED = 20131220  # the same for all trials: their ELBOs differ by the model and not by the draw


class Stream(IntEnum):
    """What the numbers are for. Two streams of the same seed and epoch are independent."""

    WEIGHTS = 0
    ORDER = 1
    NOISE = 2
    EVALUATION = 3
    SAMPLES = 4
    BINARIZE = 5
    CORRUPTION = 6
    DROPOUT = 7
    IMPORTANCE = 8


def key(seed: int, epoch: int, stream: Stream) -> int:
    """A number of 63 bits that follows from the three; other arguments give another number."""
    entropy = np.random.SeedSequence([seed, epoch, int(stream)]).generate_state(1, np.uint64)
    return int(entropy[0] >> 1)


def generator(seed: int, epoch: int, stream: Stream) -> torch.Generator:
    """A generator on the CPU, so that the numbers are the same for every device."""
    return torch.Generator().manual_seed(key(seed, epoch, stream))


def epoch_order(n_images: int, seed: int, epoch: int) -> torch.Tensor:
    """The permutation in which an epoch visits the training images, int64 [N]."""
    return torch.randperm(n_images, generator=generator(seed, epoch, Stream.ORDER))


def epoch_noise(n_images: int, latent_size: int, seed: int, epoch: int) -> torch.Tensor:
    """The epoch's standard normal noise for z, float32 [N, L]: row i goes with the i-th image visited."""
    return torch.randn(n_images, latent_size, generator=generator(seed, epoch, Stream.NOISE))


def evaluation_noise(n_images: int, latent_size: int) -> torch.Tensor:
    """The noise that every evaluation of a split uses, float32 [N, L]; it depends on the latent size only."""
    return torch.randn(n_images, latent_size, generator=generator(EVALUATION_SEED, 0, Stream.EVALUATION))
