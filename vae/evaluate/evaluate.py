"""Evaluate: every number of a trained model on a split.

The pixels' part (distortion, rate, the bound) comes from model/ and importance.py, the latents' part from latents.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae.backend.denormals import no_denormals
from vae.backend.threads import one_torch_thread
from vae.config import EVALUATION_BATCH
from vae.datasets.types import Images
from vae.errors import CheckpointError
from vae.evaluate.importance import Advance, importance_weighted_bound
from vae.evaluate.latents import MOST_REFERENCES, active_units, mutual_information, neighbour_accuracy
from vae.evaluate.result import Evaluation, ImportanceWeighted, NeighbourAccuracy
from vae.model import objective
from vae.model.elbo import evaluation_inputs, mean_distortion_and_rate
from vae.model.metrics import Terms, has_rate
from vae.model.network import Posterior, Vae
from vae.randomness.streams import evaluation_noise

MOST_INFORMING = 10_000  # images, the first ones, for the mutual information, whose cost is quadratic in them


@dataclass(frozen=True)
class Importance:
    """How much to spend on the importance-weighted bound: so many samples for each of the split's first images.

    n_threads: CPU threads that share the images; their number does not change the bound.
    """

    n_samples: int = 500
    n_images: int = 1000
    n_threads: int = 1


@dataclass(frozen=True)
class Neighbours:
    """What the neighbours' accuracy needs: the split's labels [N], and the training images that vote."""

    labels: np.ndarray
    train: Images
    n_neighbours: int = 5

    @property
    def reference(self) -> Images:
        return Images(self.train.pixels[:MOST_REFERENCES], self.train.labels[:MOST_REFERENCES])


@torch.no_grad()
@no_denormals()
@one_torch_thread()
def evaluate(
    model: Vae,
    pixels: Tensor,
    importance: Importance | None = None,
    neighbours: Neighbours | None = None,
    advance: Advance = lambda _: None,
    noise_factor: float | None = None,
) -> Evaluation:
    """Every number of a plain model on a whole split, with the noise that every evaluation shares.

    pixels: uint8 [N, D]. importance and neighbours are optional because they take long; `advance` is told of the
    bound's images, and of none of them before each other long part, so that it can end the evaluation by an error.
    noise_factor: the trial's, needed where it trained on noisy input. Raises CheckpointError where the
    weights give no finite numbers.
    """
    pixels = pixels.to(model.logits.weight.device)
    terms = _terms(model, pixels)
    if not np.isfinite(terms.distortion):
        raise CheckpointError(f"weights that have diverged: the distortion is {terms.distortion}")
    noisy = _noisy_terms(model, pixels, noise_factor)
    bound = _importance_weighted(model, pixels, importance, advance)
    advance(0)
    near = _neighbours(model, pixels, neighbours)
    advance(0)
    return Evaluation(
        n_images=len(pixels),
        distortion=terms.distortion,
        elbo=terms.elbo,
        rate=terms.rate,
        noisy_distortion=noisy.distortion if noisy else None,
        noisy_elbo=noisy.elbo if noisy else None,
        noisy_rate=noisy.rate if noisy else None,
        importance_weighted=bound,
        neighbours=near,
        **_of_posterior(model, pixels, terms),
    )


def _noise(model: Vae, pixels: Tensor) -> Tensor:
    return evaluation_noise(len(pixels), model.latent_size).to(model.logits.weight)


def _noisy_terms(model: Vae, pixels: Tensor, noise_factor: float | None) -> Terms | None:
    """From the corrupted input. None for a model that was trained on the clean one."""
    if model.shape.noise == "none":
        return None
    assert noise_factor is not None, "a model that trained on noisy input is evaluated with its noise factor"
    return _terms(model, pixels, noise_factor)


def _terms(model: Vae, pixels: Tensor, noise_factor: float | None = None) -> Terms:
    noise = _noise(model, pixels)
    factor = None if noise_factor is None else torch.tensor(noise_factor, dtype=noise.dtype, device=noise.device)
    distortion, rate = mean_distortion_and_rate(model, pixels, noise, factor).tolist()
    return Terms(distortion, rate if has_rate(model.shape.mode) else None)


def _importance_weighted(
    model: Vae, pixels: Tensor, importance: Importance | None, advance: Advance
) -> ImportanceWeighted | None:
    if importance is None or model.shape.mode == "autoencoder":
        return None
    x = torch.cat(list(_targets(model, pixels[: importance.n_images])))
    bounds = importance_weighted_bound(model, x, importance.n_samples, importance.n_threads, advance)
    return ImportanceWeighted(
        bound=float(bounds.bound.mean()),
        standard_error=_standard_error(bounds.bound),
        elbo=float(bounds.elbo.mean()),
        n_samples=importance.n_samples,
        n_images=len(x),
        effective_samples=float(bounds.effective_samples.mean()),
        proposal="prior" if model.shape.mode == "decoder_only" else "posterior",
        gain_standard_error=_standard_error(bounds.bound - bounds.elbo),
    )


def _standard_error(of_images: Tensor) -> float | None:
    """Of the mean over the images; None for one image."""
    return float(of_images.std()) / len(of_images) ** 0.5 if len(of_images) > 1 else None


def _of_posterior(model: Vae, pixels: Tensor, terms: Terms) -> dict[str, Any]:
    """Active units, KL per dimension and mutual information; nothing for a model without a posterior."""
    if terms.rate is None:
        return {}
    parts = [model.encode(x) for x in _targets(model, pixels)]
    posterior = Posterior(*(torch.cat(of_parts) for of_parts in zip(*parts, strict=True)))
    kl = objective.kl_per_dimension(posterior).double()
    first = Posterior(*(of_all[:MOST_INFORMING] for of_all in posterior))
    z = first.mean + torch.exp(0.5 * first.log_variance) * _noise(model, pixels)[:MOST_INFORMING]
    information = mutual_information(first, z)
    return {
        "active_units": int(active_units(posterior.mean).sum()),
        "kl_per_dimension": kl.mean(0).tolist(),
        "mutual_information": information.value,
        "mutual_information_ceiling": information.ceiling,
        "marginal_kl": float(kl[:MOST_INFORMING].sum(-1).mean()) - information.value,
    }


def _neighbours(model: Vae, pixels: Tensor, given: Neighbours | None) -> NeighbourAccuracy | None:
    """None without an encoder, and where the training images have fewer than two labels."""
    if given is None or model.shape.mode == "decoder_only" or len(np.unique(given.reference.labels)) < 2:
        return None
    reference, n = given.reference, given.n_neighbours
    known = codes(model, torch.from_numpy(reference.pixels))
    accuracy = neighbour_accuracy(codes(model, pixels), given.labels, known, reference.labels, n)
    return NeighbourAccuracy(accuracy, n, len(known))


@torch.no_grad()
def codes(model: Vae, pixels: Tensor) -> np.ndarray:
    """E_q[z|x] of a vae, the code of an autoencoder, [N, L], from the clean input. pixels: uint8 [N, D]."""
    pixels = pixels.to(model.logits.weight.device)
    return torch.cat([model.code(x) for x in _targets(model, pixels)]).cpu().numpy()


def _targets(model: Vae, pixels: Tensor) -> Iterator[Tensor]:
    """The clean images as the decoder should reproduce them, a batch [B, D] at a time."""
    for start in range(0, len(pixels), EVALUATION_BATCH):
        batch = pixels[start : start + EVALUATION_BATCH]
        x, _ = evaluation_inputs(model, batch, torch.arange(start, start + len(batch), device=pixels.device))
        yield x
