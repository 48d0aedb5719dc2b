"""The gradient step of a pack, and an epoch of them."""

import torch
from torch import Tensor

from vae import objective
from vae.model import Posterior, Vae, as_float
from vae.optim import FusedAdam, StackedAdam
from vae.shape import ShapeClass


class Step:
    """The training step of one stack of trials, over buffers that stay where they are."""

    def __init__(self, stack: Vae, adam: "FusedAdam | StackedAdam", train: Tensor, shape: ShapeClass) -> None:
        """train: uint8 [N, D], on the stack's device."""
        self._stack = stack
        self._adam = adam
        self._train = train
        self._shape = shape
        weight = stack.mean.weight
        self._lead = weight.shape[:-2]
        self._dtype = weight.dtype
        self.beta = torch.zeros(tuple(self._lead), device=weight.device, dtype=weight.dtype)

    def epoch(self, order: Tensor, noise: Tensor, active: Tensor) -> Tensor:
        """A pass over the images. order: int64 [*lead, N]; noise [*lead, N, L]; active: bool [*lead].

        Returns the sums over the images of (D, R), float64 [*lead, 2].
        """
        total = torch.zeros(*self._lead, 2, dtype=torch.float64, device=order.device)
        size = self._shape.batch_size
        for start in range(0, order.shape[-1], size):
            total += self._step(order[..., start : start + size], noise[..., start : start + size, :], active)
        return total

    def _step(self, visited: Tensor, noise: Tensor, active: Tensor) -> Tensor:
        """One gradient step on the images `visited`, [*lead, B]; the sums of (D, R) before it."""
        grey = torch.index_select(self._train, 0, visited.reshape(-1))
        x = as_float(grey, self._dtype).view(*visited.shape, -1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._shape.precision == "bf16"):
            posterior, logits = self._stack(x, noise)
        distortion = objective.distortion(logits.to(x.dtype), x)
        rate = objective.rate(Posterior(posterior.mean.to(x.dtype), posterior.log_variance.to(x.dtype)))
        loss = objective.weighted_loss(distortion, rate, self.beta.unsqueeze(-1)).mean(-1)
        loss.sum().backward()  # type: ignore[no-untyped-call]
        self._adam.step(active)
        return torch.stack([distortion, rate], -1).detach().sum(-2, dtype=torch.float64)
