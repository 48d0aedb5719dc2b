"""What a split's latents say: active units, mutual information with the images, nearest neighbours' labels.

Each function takes plain tensors. Axes: N images, L latents.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae.errors import UserError
from vae.model.network import Posterior

ACTIVE_UNIT_VARIANCE = 0.01  # of Var_x(E_q[u|x]), Burda et al. 2015
MOST_REFERENCES = 10_000  # training images, the first ones, among which neighbours are sought
NUMBERS_AT_ONCE = 2**20  # of a block of the N x N densities: 8 MB; of 32 MB they took 1.3 times as long (2026-11-22)
EXACT_BELOW = 1e9  # of the terms of a squared distance: float64 then rounds their sum by less than 1e-6


def active_units(means: Tensor) -> Tensor:
    """Which latents' posterior means vary with the image, bool [L]: Var_x(E_q[u|x]) > 0.01. means: [N, L].

    Burda et al. 2015, section 5.1. The threshold is on the scale of the prior, so it says nothing about an
    autoencoder's code, whose scale is arbitrary.
    """
    if len(means) < 2:
        return torch.zeros(means.shape[-1], dtype=torch.bool, device=means.device)
    return means.double().var(0) > ACTIVE_UNIT_VARIANCE


class MutualInformation(NamedTuple):
    """Nats. ceiling: log N, the most that N images can show."""

    value: float
    ceiling: float


@torch.no_grad()
def mutual_information(posterior: Posterior, z: Tensor) -> MutualInformation:
    """I_q(x; z) = E_x KL(q(z|x) || p) - KL(q(z) || p), Hoffman & Johnson 2016; z: a sample of each posterior, [N, L].

    The estimate is the mean over the images of log q(z_i|x_i) - log q(z_i), with q(z) = 1/N sum_j q(z|x_j). For
    exactly these N images (Hoffman & Johnson's index n, uniform over them) it is unbiased. For the population that
    they come from it is too low, because each z_i meets its own posterior among the N: it cannot exceed log N, so a
    value near that ceiling says only that I is at least about as large.
    """
    mean, variance = posterior.mean.double(), posterior.log_variance.double().exp()
    log_scale = -0.5 * posterior.log_variance.double().sum(-1)  # without (2 pi)^(-L/2), which both densities have
    n_images, total = len(z), 0.0
    step = max(1, NUMBERS_AT_ONCE // n_images)
    for start in range(0, n_images, step):
        rows = slice(start, start + step)
        log_q = squared_distances(z[rows].double(), mean, variance).mul_(-0.5).add_(log_scale)  # [n, N]
        total += float((log_q.diagonal(start) - torch.logsumexp(log_q, 1)).sum())
    ceiling = math.log(n_images)
    return MutualInformation(total / n_images + ceiling, ceiling)


def squared_distances(z: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """sum_l (z_il - mean_jl)^2 / variance_jl, float64 [n, N], of z [n, L] and N Gaussians [N, L].

    Matrix products are seven times as fast, and exact enough where their terms are small; those of posteriors that
    were trained against the prior are, by far. They are added in place: new memory for each step of the sum took as
    long as the sum itself.
    """
    precision = 1 / variance
    largest = (z.square().max() + mean.square().max()) * precision.max() * z.shape[-1]
    if largest < EXACT_BELOW:
        of_z, of_mean = z.square() @ precision.T, (mean.square() * precision).sum(-1)
        return of_z.addmm_(2 * z, (mean * precision).T, alpha=-1).add_(of_mean).clamp_(min=0)
    distances = torch.zeros(len(z), len(mean), dtype=z.dtype, device=z.device)
    for latent in range(z.shape[-1]):
        distances += (z[:, latent, None] - mean[:, latent]).square_().mul_(precision[:, latent])
    return distances


def neighbour_accuracy(
    codes: np.ndarray, labels: np.ndarray, reference: np.ndarray, reference_labels: np.ndarray, n_neighbours: int
) -> float:
    """The share of codes [N, L] whose n nearest references [M, L] vote for the right label; Euclidean, equal votes.

    Raises UserError where there are fewer references than neighbours.
    """
    from sklearn.neighbors import KNeighborsClassifier  # half a second to import, and only this needs it

    if n_neighbours > len(reference):
        raise UserError(f"{n_neighbours:,} neighbours of {len(reference):,} images; allowed: at most as many as images")
    classifier = KNeighborsClassifier(n_neighbours).fit(reference, reference_labels)
    return float(classifier.score(codes, labels))
