"""The importance-weighted bound of log p(x): Burda, Grosse & Salakhutdinov 2015, equation 8.

    L_K = E[ log 1/K sum_k p(x, z_k) / q(z_k|x) ],   z_1 .. z_K ~ q(z|x)

L_1 is the ELBO; L_K never falls as K grows, and its limit is log p(x). Axes: N images, S samples at a time, L latents.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from vae.backend.threads import one_torch_thread
from vae.model import likelihood
from vae.model.network import Posterior, Vae
from vae.randomness import counter_rng
from vae.randomness.streams import EVALUATION_SEED, Stream, key

LogLikelihood = Callable[[slice, Tensor], Tensor]  # some images and their z [S, n, L] -> log p(x|z), [S, n]
Advance = Callable[[int], None]  # called with the number of images that were done since the last call
InOrder = Callable[[Callable[[slice], "Bounds"], Sequence[slice]], Iterator["Bounds"]]

CPU_NUMBERS, GPU_NUMBERS = 2**19, 2**26  # in one decoded batch, images x samples x pixels; bounds the memory
PLACES_OF_IMAGE = 2**32  # for random numbers, samples x latents
MOST_SAMPLES = 1_000_000


class Bounds(NamedTuple):
    """For each image, float64 [N], nats. elbo: the mean of the same K log weights, an estimate of L_1.

    effective_samples: (sum w)^2 / sum w^2 of the K weights (Kish 1965). Near 1, one sample carries the whole bound,
    which then lies far below log p(x).
    """

    bound: Tensor
    elbo: Tensor
    effective_samples: Tensor


@torch.no_grad()
def importance_weighted_bound(
    model: Vae, x: Tensor, n_samples: int, n_threads: int = 1, advance: Advance = lambda _: None
) -> Bounds:
    """The bound for images x [N, D], as `evaluation_inputs` gives them; the encoder's posterior proposes z.

    A decoder alone has no posterior, so its prior proposes: the bound is still valid, but nearly all samples are of
    other images. Not for an autoencoder, which has no p(z).
    """
    assert model.config.mode != "autoencoder", "no prior was trained against"

    def log_likelihood(images: slice, z: Tensor) -> Tensor:
        return -likelihood.distortion(model.config.likelihood, model.decode(z), x[images])

    numbers = CPU_NUMBERS if x.device.type == "cpu" else GPU_NUMBERS
    n_rows = max(1, numbers // max(x.shape[1], model.config.hidden_units))
    return weighted_bound(log_likelihood, proposal_of(model, x), n_samples, n_rows, n_threads, advance)


def proposal_of(model: Vae, x: Tensor) -> Posterior:
    """What z is drawn from, [N, L]: the posterior, or the prior where there is none."""
    if model.config.mode == "vae":
        return model.encode(x)
    zeros = torch.zeros(len(x), model.latent_size).to(x)
    return Posterior(zeros, zeros)


def weighted_bound(
    log_likelihood: LogLikelihood,
    proposal: Posterior,
    n_samples: int,
    n_rows: int = 1024,
    n_threads: int = 1,
    advance: Advance = lambda _: None,
) -> Bounds:
    """The bound for any decoder under the prior N(0, I), with a proposal [N, L]; n_rows: z to decode at a time.

    The draws follow from the image's place and the sample's number: n_rows and n_threads do not change them, and
    a smaller K takes the first draws of a larger one.
    """
    n_images, step = len(proposal.mean), max(1, n_rows // n_samples)
    blocks = [slice(start, min(start + step, n_images)) for start in range(0, n_images, step)]
    parts = []
    with _threads(n_threads if proposal.mean.device.type == "cpu" else 1) as in_order:
        for block, part in zip(
            blocks, in_order(partial(_bounds, log_likelihood, proposal, n_samples, n_rows), blocks), strict=True
        ):
            parts.append(part)
            advance(block.stop - block.start)
    return Bounds(*(torch.cat(of_parts) for of_parts in zip(*parts, strict=True)))


@contextmanager
def _threads(n_threads: int) -> Iterator[InOrder]:
    """Python's threads, each on blocks of its own: torch works outside Python's lock."""
    pool = ThreadPoolExecutor(n_threads)
    with one_torch_thread():
        try:
            yield pool.map
        finally:
            pool.shutdown(cancel_futures=True)


@torch.no_grad()
def _bounds(log_likelihood: LogLikelihood, proposal: Posterior, n_samples: int, n_rows: int, images: slice) -> Bounds:
    mean, log_variance = (of_all[images] for of_all in proposal)
    step = max(1, n_rows // len(mean))
    parts = []
    for start in range(0, n_samples, step):
        noise = sample_noise(mean, images, range(start, min(start + step, n_samples)))
        z = mean + torch.exp(0.5 * log_variance) * noise
        parts.append(log_likelihood(images, z).double() + log_prior_ratio(z, noise, log_variance))
    return summarised(torch.cat(parts))


def summarised(log_weights: Tensor) -> Bounds:
    """Bounds from the log weights of K samples for some images, float64 [K, n]."""
    log_sum = torch.logsumexp(log_weights, 0)
    effective = torch.exp(2 * log_sum - torch.logsumexp(2 * log_weights, 0))
    return Bounds(log_sum - math.log(len(log_weights)), log_weights.mean(0), effective)


def log_prior_ratio(z: Tensor, noise: Tensor, log_variance: Tensor) -> Tensor:
    """log p(z) - log q(z|x) for z = mean + std * noise, float64 [S, n]; (2 pi)^(-L/2) cancels."""
    return 0.5 * (noise.double().square() - z.double().square() + log_variance.double()).sum(-1)


def sample_noise(like: Tensor, images: slice, samples: range) -> Tensor:
    """Standard normal, [S, n, L] for `like` [n, L]; each number follows from its place, whatever the batch size."""
    latents = torch.arange(like.shape[-1], device=like.device)
    numbers = torch.arange(samples.start, samples.stop, device=like.device)[:, None, None]
    of_image = torch.arange(images.start, images.stop, device=like.device)[:, None] * PLACES_OF_IMAGE
    stream = torch.tensor(key(EVALUATION_SEED, 0, Stream.IMPORTANCE), device=like.device)
    return counter_rng.normal(stream, of_image + numbers * like.shape[-1] + latents, like.dtype)
