"""p(x|z): the distribution of a pixel given the decoder's output, and the distortion -log p(x|z) over all pixels.

Of grey pixels a Bernoulli gives a cross-entropy, not a likelihood: its minimum is above zero. For grey pixels there are
continuous_bernoulli (Loaiza-Ganem & Cunningham 2019) and gaussian. Both are densities, so -log p can be negative.
`binarize` makes pixels for which a Bernoulli is right.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vae.config import Likelihood

MIN_LOG_VARIANCE, MAX_LOG_VARIANCE = -8.0, 4.0  # the lower one is a standard deviation of 4.7 of 255 grey values
NEAR_ZERO = 0.1  # logits below which l / tanh(l / 2) comes from its series: at 0 it is 0 / 0, and rough around it


class Pixels(NamedTuple):
    """The decoder's output, [*lead, B, D]. log_variance: a gaussian's, broadcastable to the logits; else None."""

    logits: Tensor
    log_variance: Tensor | None = None

    def to(self, dtype: torch.dtype) -> "Pixels":
        return Pixels(self.logits.to(dtype), None if self.log_variance is None else self.log_variance.to(dtype))


def distortion(likelihood: Likelihood, pixels: Pixels, x: Tensor) -> Tensor:
    """D = -log p(x|z) in nats, summed over pixels, [*lead, B]; x: [*lead, B, D] in [0, 1]."""
    if likelihood == "gaussian":
        return _gaussian(pixels, x)
    cross_entropy = bernoulli(pixels.logits, x)
    if likelihood == "bernoulli":
        return cross_entropy
    return cross_entropy - log_normaliser(pixels.logits).sum(-1)


def means(likelihood: Likelihood, pixels: Pixels) -> Tensor:
    """E[x|z], in [0, 1]. A continuous Bernoulli's is not sigmoid(l) but 1 / (1 - e^-l) - 1 / l, with the logit l."""
    logits = pixels.logits
    if likelihood != "continuous_bernoulli":
        return logits.sigmoid()
    small = logits.abs() < NEAR_ZERO  # there the two terms cancel; the series is good to 1e-9
    away = torch.where(small, torch.ones_like(logits), logits)
    return torch.where(small, 0.5 + logits / 12 - logits**3 / 720, -1 / torch.expm1(-away) - 1 / away)


class _BernoulliNegativeLogLikelihood(torch.autograd.Function):
    """softplus(logit) - x * logit, summed over pixels; its gradient is sigmoid(logit) - x.

    softplus(l) is written relu(l) - log(sigmoid(|l|)), because torch's own on a CPU is several times slower.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(logits, x)
        return (logits.relu() - torch.log(torch.sigmoid(logits.abs())) - logits * x).sum(-1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, x = ctx.saved_tensors
        return (torch.sigmoid(logits) - x) * gradients[0].unsqueeze(-1), None


def bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """The cross-entropy between x and sigmoid(logits), summed over pixels, [*lead, B]."""
    return _BernoulliNegativeLogLikelihood.apply(logits, x)  # type: ignore[no-any-return]


def log_normaliser(logits: Tensor) -> Tensor:
    """log C of a continuous Bernoulli, per pixel: log(l / tanh(l / 2)), log 2 at l = 0."""
    near = logits.abs() < NEAR_ZERO
    away = torch.where(near, torch.ones_like(logits), logits)  # keeps 0 / 0 out of the gradient
    square = logits.square()
    series = math.log(2) + square / 12 - 7 * square**2 / 1440 + 31 * square**3 / 90720
    return torch.where(near, series, torch.log(away / torch.tanh(away / 2)))


def _gaussian(pixels: Pixels, x: Tensor) -> Tensor:
    """Mean sigmoid(logit) and the decoder's learned log variance (Kingma & Welling 2013, appendix C.2)."""
    assert pixels.log_variance is not None
    squares = (x - pixels.logits.sigmoid()).square() * torch.exp(-pixels.log_variance)
    return 0.5 * (math.log(2 * math.pi) + pixels.log_variance + squares).sum(-1)


def clamped(log_variance: Tensor) -> Tensor:
    """The log variance within its limits; the lower one is soft, so that a value below it still has a gradient."""
    return (MIN_LOG_VARIANCE + F.softplus(log_variance - MIN_LOG_VARIANCE)).clamp(max=MAX_LOG_VARIANCE)
