"""Numbers of a model on a split, with z sampled: decoding the mean would understate the distortion."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vae import objective
from vae.config import EVALUATION_BATCH
from vae.model import Vae, as_float
from vae.streams import evaluation_noise

ACTIVE_UNIT_VARIANCE = 0.01  # of Var_x(E_q[u|x]), Burda et al. 2015


@torch.no_grad()
def mean_distortion_and_rate(model: Vae, pixels: Tensor, noise: Tensor) -> Tensor:
    """Mean (D, R) over the images, [*lead, 2] float64. pixels: uint8 [N, D]; noise: [*lead, N, L]."""
    total: Tensor | float = 0.0
    for start in range(0, len(pixels), EVALUATION_BATCH):
        stop = start + EVALUATION_BATCH
        x = as_float(pixels[start:stop], noise.dtype).expand(*noise.shape[:-2], -1, -1)
        posterior, logits = model(x, noise[..., start:stop, :])
        terms = torch.stack([objective.distortion(logits, x), objective.rate(posterior)], -1)  # [*lead, B, 2]
        total = total + terms.sum(-2, dtype=torch.float64)
    return torch.as_tensor(total) / len(pixels)


@dataclass(frozen=True)
class Evaluation:
    """A split's numbers, nats per image; kl_per_dimension averages over the images, one number per latent."""

    n_images: int
    elbo: float
    rate: float
    distortion: float
    kl_per_dimension: list[float]
    active_units: int


@torch.no_grad()
def evaluate(model: Vae, pixels: Tensor) -> Evaluation:
    """Every number of a plain model on a whole split, with the evaluation's own noise. pixels: uint8 [N, D]."""
    latent_size = model.mean.weight.shape[-2]
    noise = evaluation_noise(len(pixels), latent_size).to(model.mean.weight)
    distortion, rate = mean_distortion_and_rate(model, pixels, noise).tolist()
    posteriors = [model.encode(as_float(batch, noise.dtype)) for batch in torch.split(pixels, EVALUATION_BATCH)]
    kl = torch.cat([objective.kl_per_dimension(posterior) for posterior in posteriors])
    means = torch.cat([posterior.mean for posterior in posteriors])
    return Evaluation(
        n_images=len(pixels),
        elbo=-(distortion + rate),
        rate=rate,
        distortion=distortion,
        kl_per_dimension=kl.mean(0, dtype=torch.float64).tolist(),
        active_units=int((means.var(0) > ACTIVE_UNIT_VARIANCE).sum()),
    )
