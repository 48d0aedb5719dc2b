"""Random numbers: each generator comes from (seed, epoch, stream), never from what ran before or beside it."""

from enum import IntEnum

import numpy as np
import torch

EVALUATION_SEED = 20131220  # one for all trials, so that their ELBOs differ by the model and not by the draw


class Stream(IntEnum):
    """What the numbers are for; two streams of one seed and epoch are independent."""

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
    """What follows from the three: a number of 63 bits, unlike that of any other three."""
    entropy = np.random.SeedSequence([seed, epoch, int(stream)]).generate_state(1, np.uint64)
    return int(entropy[0] >> 1)


def generator(seed: int, epoch: int, stream: Stream) -> torch.Generator:
    """A CPU generator: the numbers are then the same on every device."""
    return torch.Generator().manual_seed(key(seed, epoch, stream))


def epoch_order(n_images: int, seed: int, epoch: int) -> torch.Tensor:
    """The permutation in which an epoch visits the training images, int64 [N]."""
    return torch.randperm(n_images, generator=generator(seed, epoch, Stream.ORDER))


def epoch_noise(n_images: int, latent_size: int, seed: int, epoch: int) -> torch.Tensor:
    """The epoch's standard normal noise for z, float32 [N, L]: row i goes with the i-th image visited."""
    return torch.randn(n_images, latent_size, generator=generator(seed, epoch, Stream.NOISE))


def evaluation_noise(n_images: int, latent_size: int) -> torch.Tensor:
    """The noise every evaluation of a split uses, float32 [N, L]; the same for every trial of this latent size."""
    return torch.randn(n_images, latent_size, generator=generator(EVALUATION_SEED, 0, Stream.EVALUATION))
