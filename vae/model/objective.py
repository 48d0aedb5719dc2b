"""The terms of the variational bound, in nats, one number per image; and the loss that weighs them by beta.

The weighted loss trains a trial and never ranks it (Kingma & Welling 2013; beta: Higgins et al. 2017; rate and
distortion: Alemi et al. 2018). The distortion is in vae.model.likelihood, the ELBO of a whole split in vae.model.elbo.
"""

from torch import Tensor, maximum

from vae.model.network import Posterior


def kl_per_dimension(posterior: Posterior) -> Tensor:
    """KL(q(z_l|x) || N(0, 1)) of each latent, [*lead, B, L]."""
    mean, log_variance = posterior
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def rate(posterior: Posterior) -> Tensor:
    """R = KL(q(z|x) || p(z)), [*lead, B]."""
    return kl_per_dimension(posterior).sum(-1)


def elbo(distortion: Tensor, rate: Tensor) -> Tensor:
    """The evidence lower bound at beta = 1, -(D + R)."""
    return -(distortion + rate)


def weighted_loss(distortion: Tensor, kl: Tensor | None, weight: Tensor, free_bits: Tensor) -> Tensor:
    """What a trial minimises, [*lead]: the batch's mean D + weight * sum over latents of max(free_bits, mean KL).

    distortion: [*lead, B]; kl: [*lead, B, L] of each latent, None without a posterior; weight, free_bits: [*lead].
    Free bits apply to the batch's mean KL (Kingma et al. 2016, section C.8). With NO_FREE_BITS it is D + weight * R.
    """
    mean_distortion = distortion.mean(-1)
    if kl is None:
        return mean_distortion
    return mean_distortion + weight * maximum(kl.mean(-2), free_bits.unsqueeze(-1)).sum(-1)


NO_FREE_BITS = -1.0  # below any KL; with 0, the maximum would halve the gradient of a latent whose KL is 0


def kl_weight(beta: Tensor, warmth: Tensor, growth: Tensor, position: Tensor) -> Tensor:
    """beta, or the share of it that the warm-up has reached after `position` images of an epoch.

    warmth: the share at the epoch's start; growth: how much each image adds to it (Bowman et al. 2016).
    """
    return beta * (warmth + growth * position).clamp(max=1)
