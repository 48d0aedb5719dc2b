"""The gradient step of a pack, and an epoch of them; on a GPU compiled and replayed as one CUDA graph.

Everything that differs per trial or per step is a tensor that is written in place: learning rate, beta, order,
noise, keys of random numbers, who is active, where in the epoch the step is. So a slot that changes hands
recaptures nothing.
"""

import warnings
from functools import partial

import torch
from torch import Tensor

from vae.config import TrialConfig
from vae.model import inputs, likelihood, objective
from vae.model.network import Posterior, Vae
from vae.model.shape_class import ShapeClass
from vae.randomness import counter_rng
from vae.randomness.streams import Stream, key
from vae.training.adam import Adam

KEYED = (Stream.BINARIZE, Stream.CORRUPTION, Stream.DROPOUT)  # what a step draws by place, in the order of its keys
WIDEST = 8192  # hidden units; the place of a unit must not depend on how far its layer is padded
WARM_UP_STEPS = 3  # before a capture, as CUDA graphs need them; with no trial active they change nothing


class Step:
    """The training step of one stack of trials."""

    def __init__(self, stack: Vae, adam: Adam, train: Tensor, shape: ShapeClass) -> None:
        """train: uint8 [N, D], on the stack's device."""
        weight = stack.logits.weight
        self._lead = tuple(weight.shape[:-2])
        self._stack = stack
        self._adam = adam
        self._train = train
        self._shape = shape
        device, dtype, n_images = weight.device, weight.dtype, len(train)
        zeros = partial(torch.zeros, self._lead, device=device, dtype=dtype)
        self._beta, self._warmth, self._growth, self._free_bits = zeros(), zeros(), zeros(), zeros()
        self.noise_factor, self._dropout = zeros(), zeros()
        self._keys = torch.zeros(len(KEYED), *self._lead, device=device, dtype=torch.int64)
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

    def seat(self, slot: int, config: TrialConfig) -> None:
        """Write what is a trial's own for all its epochs into its slot, in place."""
        at = slot if self._lead else ()
        self._beta[at] = config.beta
        self._free_bits[at] = config.free_bits or objective.NO_FREE_BITS
        self.noise_factor[at] = config.noise_factor
        self._dropout[at] = config.dropout
        self._warmth[at], self._growth[at] = 1.0, 0.0

    def begin(self, slot: int, config: TrialConfig, epoch: int) -> None:
        """Write what is the epoch's own; most trials have nothing of the kind."""
        at = slot if self._lead else ()
        if config.kl_warmup_epochs:
            self._warmth[at] = (epoch - 1) / config.kl_warmup_epochs
            self._growth[at] = 1 / (config.kl_warmup_epochs * len(self._train))
        if self._shape.draws_pixels or self._shape.has_dropout:
            keys = torch.tensor([key(config.seed, epoch, stream) for stream in KEYED])
            self._keys[(slice(None), slot) if self._lead else slice(None)] = keys.to(self._keys.device)

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
        loss, terms = self._loss(visited, self.noise.index_select(-2, places), self._position)
        loss.backward()  # type: ignore[no-untyped-call]
        self._update(self.active)
        self._total += terms
        self._position += size

    def losses(self, visited: Tensor, noise: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """The stack's loss, a scalar whose gradient is each trial's own; and the sums of (D, R), [*lead, 2].

        visited: the images' places, int64 [*lead, B]; position: images of the epoch before this step. R is 0
        where there is no posterior.
        """
        shape, of_binarize, of_corruption = self._shape, self._keys[0], self._keys[1]
        grey = torch.index_select(self._train, 0, visited.reshape(-1)).view(*visited.shape, -1)
        x = inputs.target(grey, shape.binarize, of_binarize, visited, noise.dtype)
        seen = inputs.corrupted(x, shape.noise, self.noise_factor, of_corruption, visited)
        masks = self._masks(visited) if shape.has_dropout else None
        with torch.autocast(x.device.type, torch.bfloat16, enabled=shape.precision == "bf16"):
            posterior, pixels = self._stack(seen, noise, masks)
        distortion = likelihood.distortion(shape.likelihood, pixels.to(x.dtype), x)
        kl = None
        if posterior is not None:
            kl = objective.kl_per_dimension(Posterior(*(tensor.to(x.dtype) for tensor in posterior)))
        weight = objective.kl_weight(self._beta, self._warmth, self._growth, position)
        loss = objective.weighted_loss(distortion, kl, weight, self._free_bits).sum()
        rate = torch.zeros_like(distortion) if kl is None else kl.sum(-1)
        return loss, torch.stack([distortion, rate], -1).detach().sum(-2, dtype=torch.float64)

    def _masks(self, visited: Tensor) -> Tensor:
        """Dropout (Srivastava et al. 2014): 0 for a unit left out, else 1 / (1 - p); [2 * layers, *lead, B, H]."""
        shape, device = self._shape, visited.device
        n_layers = 2 * shape.hidden_layers
        layers = torch.arange(n_layers, device=device).view(-1, *[1] * (visited.dim() + 1))
        units = torch.arange(shape.hidden_units, device=device)
        places = (visited.unsqueeze(-1) * n_layers + layers) * WIDEST + units
        share = self._dropout.unsqueeze(-1).unsqueeze(-1)
        draw = counter_rng.uniform(self._keys[2].unsqueeze(-1).unsqueeze(-1), places, self._dropout.dtype)
        return (draw > share) / (1 - share)

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
