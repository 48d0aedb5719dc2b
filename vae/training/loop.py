"""The training loop of a stack: an epoch of gradient steps; on a GPU a step is compiled and replayed as a CUDA graph.

Whatever differs between trials or steps is a tensor that is written in place: beta, order, noise, the keys of random
numbers, the position in the epoch. A captured graph holds addresses, so nothing is captured anew when a slot changes
hands. Axes: K slots, N images, B of a batch, D pixels, H hidden units, L latents.
"""

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor

from vae.backend.compilation import any_number, compiled
from vae.config import TrialConfig
from vae.model import inputs, likelihood, objective, padding
from vae.model.network import Posterior, Vae
from vae.model.shape_class import ShapeClass
from vae.randomness import counter_rng
from vae.randomness.streams import Stream, key
from vae.training.adam import Adam, StackedAdam

KEYED = (Stream.BINARIZE, Stream.CORRUPTION, Stream.DROPOUT)  # what a step draws by place, in the order of its keys
WIDEST = 8192  # hidden units; the place of a unit must not depend on how far its layer is padded
BACKEND = "inductor"
WARM_UP_STEPS = 3  # before a capture, as CUDA graphs need them; with no trial active they change nothing


class TrainingLoop:
    """Gradient steps of all active trials of a stack at once."""

    def __init__(self, network: Vae, adam: Adam, train: Tensor, shape: ShapeClass, is_compiled: bool) -> None:
        """train: uint8 [N, D], on the network's device."""
        weight = network.logits.weight
        self._network, self._adam, self._train, self._shape = network, adam, train, shape
        n_slots, n_images, device, dtype = len(weight), len(train), weight.device, weight.dtype
        of_trials = partial(torch.zeros, n_slots, device=device, dtype=dtype)
        self._beta, self._warmth, self._growth, self._free_bits = (of_trials() for _ in range(4))
        self.noise_factor, self._dropout = of_trials(), of_trials()
        self._keys = torch.zeros(len(KEYED), n_slots, device=device, dtype=torch.int64)
        self.order = torch.zeros(n_slots, n_images, device=device, dtype=torch.int64)
        self.noise = torch.zeros(n_slots, n_images, shape.latent_size, device=device, dtype=dtype)
        self._position = torch.zeros((), device=device, dtype=torch.int64)
        self._total = torch.zeros(n_slots, 2, device=device, dtype=torch.float64)
        self.note = ""  # why a step is neither compiled nor captured though it was to be
        self._compiles, self._captures = is_compiled, train.is_cuda
        self._whole_batches = self._compiles or self._captures
        self._is_prepared = not self._whole_batches
        self.graph: torch.cuda.CUDAGraph | None = None
        self._loss = type(self).losses  # not the bound method: a cycle would keep the tensors of an old stack alive

    def seat(self, slot: int, config: TrialConfig) -> None:
        """Write what is a trial's own in every epoch into its slot."""
        self._beta[slot] = config.beta
        self._free_bits[slot] = config.free_bits or objective.NO_FREE_BITS
        self.noise_factor[slot] = config.noise_factor
        self._dropout[slot] = config.dropout
        self._warmth[slot], self._growth[slot] = 1.0, 0.0

    def begin(self, slot: int, config: TrialConfig, epoch: int, order: Tensor, noise: Tensor) -> None:
        """Write what is a trial's own in this epoch into its slot. order: int64 [N]; noise: [N, L] of the trial."""
        self.order[slot].copy_(order, non_blocking=True)
        padding.place(self.noise[slot], noise)
        if config.kl_warmup_epochs:
            self._warmth[slot] = (epoch - 1) / config.kl_warmup_epochs
            self._growth[slot] = 1 / (config.kl_warmup_epochs * len(self._train))
        if self._shape.draws_pixels or self._shape.has_dropout:
            keys = torch.tensor([key(config.seed, epoch, stream) for stream in KEYED])
            self._keys[:, slot] = keys.to(self._keys.device)

    def epoch(self, slots: Sequence[int]) -> Tensor:
        """Train these slots' trials on every image, in their own `order`; mean (D, R) over the images, float64 [K, 2].

        The numbers of the other slots mean nothing.
        """
        n_images, size = len(self._train), min(self._shape.batch_size, len(self._train))
        if not self._is_prepared:
            self._prepare(size)
        self._adam.activate(slots)
        self._position.zero_()
        self._total.zero_()
        self._network.zero_grad(set_to_none=True)  # an epoch that broke off may have left gradients
        for start in range(0, n_images, size):
            if self.graph is not None:
                self.graph.replay()
            else:
                # Where steps are compiled or captured all are of one shape, and `losses` leaves out of the last one
                # what is beyond the images.
                self._step(size if self._whole_batches else min(size, n_images - start))
        return self._total / n_images

    def _step(self, size: int) -> None:
        """One gradient step on the next `size` images of each trial's order; a trial that is not active stays."""
        places = self._position + torch.arange(size, device=self._position.device)
        places = places.clamp(max=len(self._train) - 1)
        visited, noise = self.order.index_select(-1, places), self.noise.index_select(-2, places)  # [K, B], [K, B, L]
        if self._compiles:
            any_number((visited, noise), 0)
        loss, terms = self._loss(self, visited, noise, self._position)
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self._total += terms
        self._position += size

    def losses(self, visited: Tensor, noise: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of the trials' losses, whose gradient is each trial's own; and the sums of (D, R), float64 [K, 2].

        visited: the images' places in the split, int64 [K, B]; noise: [K, B, L]; position: images of the epoch
        before this step; what is beyond the images of the split counts nothing. R is 0 where there is no posterior.
        """
        shape, of_binarize, of_corruption = self._shape, self._keys[0], self._keys[1]
        grey = torch.index_select(self._train, 0, visited.reshape(-1)).view(*visited.shape, -1)
        x = inputs.target(grey, shape.binarize, of_binarize, visited, noise.dtype)
        seen = inputs.corrupted(x, shape.noise, self.noise_factor, of_corruption, visited)
        masks = self._masks(visited) if shape.has_dropout else None
        with torch.autocast(x.device.type, torch.bfloat16) if shape.precision == "bf16" else nullcontext():
            posterior, pixels = self._network(seen, noise, masks)
        # Only the layers' products are in bfloat16. Sums over 784 pixels would lose digits in it.
        distortion = likelihood.distortion(shape.likelihood, pixels.to(x.dtype), x)
        kl = None
        if posterior is not None:
            kl = objective.kl_per_dimension(Posterior(*(tensor.to(x.dtype) for tensor in posterior)))
        rate = torch.zeros_like(distortion) if kl is None else kl.sum(-1)
        terms = torch.stack([distortion, rate], -1).detach()
        if self._whole_batches:
            # The batch's means are over the images that there are. Of a batch of them alone each factor is 1, which
            # changes no digit.
            is_there = (position + torch.arange(visited.shape[-1], device=x.device) < len(self._train)).to(x.dtype)
            factor = is_there * (len(is_there) / is_there.sum())
            terms, distortion = terms * is_there.unsqueeze(-1), distortion * factor
            kl = None if kl is None else kl * factor.unsqueeze(-1)
        weight = objective.kl_weight(self._beta, self._warmth, self._growth, position)
        loss = objective.weighted_loss(distortion, kl, weight, self._free_bits).sum()
        return loss, terms.sum(-2, dtype=torch.float64)

    def _masks(self, visited: Tensor) -> Tensor:
        """Dropout (Srivastava et al. 2014): 0 for a unit left out, else 1 / (1 - p); [2 * layers, K, B, H]."""
        shape, device = self._shape, visited.device
        n_layers = 2 * shape.hidden_layers
        layers = torch.arange(n_layers, device=device).view(-1, 1, 1, 1)
        units = torch.arange(shape.hidden_units, device=device)
        places = (visited.unsqueeze(-1) * n_layers + layers) * WIDEST + units
        share = self._dropout.view(-1, 1, 1)
        draw = counter_rng.uniform(self._keys[2].view(-1, 1, 1), places, self._dropout.dtype)
        return (draw > share) / (1 - share)

    def _prepare(self, size: int) -> None:
        """Compile, and on a GPU capture. Where either fails, for instance without a C compiler, go on without it."""
        # The steps on the way change no trial, because none is active.
        self._adam.activate([])
        if self._compiles:
            try:
                self._compile(size)
            except Exception as error:
                self._note("trains uncompiled, and slower", error)
                self._compiles, self._loss = False, type(self).losses
                assert isinstance(self._adam, StackedAdam)
                self._adam.compile(None)
        if self._captures:
            try:
                self._capture(size)
            except Exception as error:
                self._note("trains without a CUDA graph, and slower", error)
                self.graph = None
        self._network.zero_grad(set_to_none=True)
        self._is_prepared = True

    def _note(self, what: str, error: Exception) -> None:
        self.note = f"{what}: {' '.join(str(error).split())[:300]}"
        warnings.warn(self.note, stacklevel=2)

    def _compile(self, size: int) -> None:
        """Compile with the first step; for any number of slots, so that a pack which grows compiles nothing."""
        network = self._network
        of_slots = (*network.parameters(), self._beta, self._warmth, self._growth, self._free_bits)
        any_number((*of_slots, self.noise_factor, self._dropout), 0)
        any_number([mask for mask in (network.hidden_mask,) if mask is not None], 0)
        any_number([self._keys, *([] if network.chosen is None else [network.chosen])], 1)
        assert isinstance(self._adam, StackedAdam)
        self._loss = compiled(type(self).losses, BACKEND)
        self._adam.compile(BACKEND)
        self._position.zero_()
        self._step(size)

    def _capture(self, size: int) -> None:
        """Run a few full steps on a stream of their own, as CUDA graphs need it, then record one there."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                self._position.zero_()
                self._step(size)
            self._position.zero_()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Threads that draw the next epoch allocate pinned memory, which in the default mode would break the capture.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            self._step(size)
        self.graph = graph
