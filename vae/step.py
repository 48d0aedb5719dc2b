"""The gradient step of a pack, and an epoch of them; on a GPU compiled and replayed as one CUDA graph.

Everything that differs per trial or per step is a tensor that is written in place: learning rate, beta, order,
noise, who is active, where in the epoch the step is. So a slot that changes hands recaptures nothing.
"""

import warnings

import torch
from torch import Tensor

from vae import objective
from vae.model import Posterior, Vae, as_float
from vae.optim import Adam
from vae.shape import ShapeClass

WARM_UP_STEPS = 3  # before a capture, as CUDA graphs need them; with no trial active they change nothing


class Step:
    """The training step of one stack of trials."""

    def __init__(self, stack: Vae, adam: Adam, train: Tensor, shape: ShapeClass) -> None:
        """train: uint8 [N, D], on the stack's device."""
        weight = stack.mean.weight
        self._lead = tuple(weight.shape[:-2])
        self._stack = stack
        self._adam = adam
        self._train = train
        self._shape = shape
        device, dtype, n_images = weight.device, weight.dtype, len(train)
        self.beta = torch.zeros(self._lead, device=device, dtype=dtype)
        self.order = torch.zeros(*self._lead, n_images, device=device, dtype=torch.int64)
        self.noise = torch.zeros(*self._lead, n_images, shape.latent_size, device=device, dtype=dtype)
        self.active = torch.zeros(self._lead, device=device, dtype=torch.bool)
        self._position = torch.zeros((), device=device, dtype=torch.int64)
        self._total = torch.zeros(*self._lead, 2, device=device, dtype=torch.float64)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._is_prepared = False
        self._loss, self._update = self.losses, adam.step
        if device.type == "cuda" and self._lead:
            self._loss = torch.compile(self.losses, fullgraph=True, dynamic=False)
            self._update = torch.compile(adam.step, fullgraph=True, dynamic=False)

    def epoch(self) -> Tensor:
        """A pass of the active trials over the images in `order`; sums over them of (D, R), float64 [*lead, 2]."""
        n_images, size = len(self._train), min(self._shape.batch_size, len(self._train))
        if self._train.is_cuda and self._lead and not self._is_prepared:
            self._prepare(size)
        self._position.zero_()
        self._total.zero_()
        self._stack.zero_grad(set_to_none=False)  # what an epoch that broke off has left
        for _ in range(n_images // size):
            if self._graph is not None:
                self._graph.replay()
            else:
                self._step(size)
        if n_images % size:
            self._step(n_images % size)
        return self._total.clone()

    def _step(self, size: int) -> None:
        """One gradient step on the next `size` images of each trial's order; a trial that is not active stays."""
        places = self._position + torch.arange(size, device=self._position.device)
        visited = self.order.index_select(-1, places)  # [*lead, B]
        loss, terms = self._loss(visited, self.noise.index_select(-2, places))
        loss.backward()  # type: ignore[no-untyped-call]
        self._update(self.active)
        self._total += terms
        self._position += size

    def losses(self, visited: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The stack's loss, a scalar whose gradient is each trial's own; and the sums of (D, R), [*lead, 2]."""
        grey = torch.index_select(self._train, 0, visited.reshape(-1))
        x = as_float(grey, noise.dtype).view(*visited.shape, -1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._shape.precision == "bf16"):
            posterior, logits = self._stack(x, noise)
        distortion = objective.distortion(logits.to(x.dtype), x)
        rate = objective.rate(Posterior(posterior.mean.to(x.dtype), posterior.log_variance.to(x.dtype)))
        loss = objective.weighted_loss(distortion, rate, self.beta.unsqueeze(-1)).mean(-1).sum()
        return loss, torch.stack([distortion, rate], -1).detach().sum(-2, dtype=torch.float64)

    def _prepare(self, size: int) -> None:
        """Compile and capture; where that cannot be done (no C compiler, say) the step runs as it is, and says so.

        No trial is active meanwhile, so none is changed by it.
        """
        was_active = self.active.clone()
        self.active.zero_()
        try:
            self._capture(size)
        except Exception as error:
            warnings.warn(f"training uncompiled, and slower: {' '.join(str(error).split())[:300]}", stacklevel=2)
            self._graph, self._loss, self._update = None, self.losses, self._adam.step
        self.active.copy_(was_active)
        self._is_prepared = True

    def _capture(self, size: int) -> None:
        """Try a few full steps, then record one."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                self._position.zero_()
                self._step(size)
        torch.cuda.current_stream().wait_stream(stream)
        self._position.zero_()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step(size)
        self._graph = graph
