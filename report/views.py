"""What one checkpoint shows, as plain numbers: model and held-out images -> the numbers of each figure."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from vae import objective
from vae.checkpoint import Description
from vae.config import EVALUATION_BATCH
from vae.data import Images
from vae.evaluate import ACTIVE_UNIT_VARIANCE
from vae.metrics import EpochMetrics, best
from vae.model import Vae, as_float
from vae.streams import EVALUATION_SEED, Stream, generator

PAIRS_PER_CLASS = 3
MAX_CLASSES = 10  # more kinds of labels than this are not shown one by one
N_SAMPLES = 100
LABEL_DISTANCE = 0.05  # of the figure's span, between the names of two classes
GRID = 20  # places a side of the manifold


@dataclass(frozen=True)
class Subject:
    """A model, the split it is looked at on and what the split's posteriors are.

    means: E_q[z|x], [N, L]. kl: nats, mean over the images, [L]. active: Var_x(means) > 0.01, [L].
    """

    model: Vae
    description: Description
    split: str
    images: Images
    history: list[EpochMetrics]
    means: np.ndarray
    kl: np.ndarray
    active: np.ndarray

    @classmethod
    @torch.no_grad()
    def of(
        cls, model: Vae, description: Description, split: str, images: Images, history: list[EpochMetrics]
    ) -> "Subject":
        batches = torch.split(torch.from_numpy(images.pixels), EVALUATION_BATCH)
        posteriors = [model.encode(as_float(batch)) for batch in batches]
        means = torch.cat([posterior.mean for posterior in posteriors]).double()
        kl = torch.cat([objective.kl_per_dimension(posterior) for posterior in posteriors])
        active = means.var(0) > ACTIVE_UNIT_VARIANCE
        arrays = (means.numpy(), kl.mean(0, dtype=torch.float64).numpy(), active.numpy())
        return cls(model, description, split, images, history, *arrays)

    @property
    def latent_size(self) -> int:
        return int(self.means.shape[1])

    @torch.no_grad()
    def decode(self, z: np.ndarray) -> np.ndarray:
        """Pixel means of latents [n, L], as uint8 [n, height, width]."""
        logits = self.model.decode(torch.from_numpy(z).to(self.model.mean.weight))
        return self.grey(logits.sigmoid())

    def grey(self, x: Tensor) -> np.ndarray:
        grey: np.ndarray = (x * 255).round().to(torch.uint8).reshape(-1, *self.description.image_shape).numpy()
        return grey


@dataclass(frozen=True)
class Reconstructions:
    """Held-out images and the decoder's mean at E_q[z|x], uint8 [n, h, w]; n_columns of them make a row."""

    inputs: np.ndarray
    outputs: np.ndarray
    n_columns: int


def reconstructions(subject: Subject) -> Reconstructions:
    """The first few images of each class, a class per column; without classes the split's first images."""
    labels = subject.images.labels
    classes = np.unique(labels)
    if 1 < len(classes) <= MAX_CLASSES:
        chosen = np.stack([np.flatnonzero(labels == label)[:PAIRS_PER_CLASS] for label in classes], axis=1).ravel()
        n_columns = len(classes)
    else:
        chosen, n_columns = np.arange(min(len(labels), PAIRS_PER_CLASS * MAX_CLASSES)), MAX_CLASSES
    inputs = subject.images.pixels[chosen].reshape(-1, *subject.description.image_shape)
    return Reconstructions(inputs, subject.decode(subject.means[chosen]), n_columns)


def samples(subject: Subject) -> np.ndarray:
    """The decoder's means at z ~ N(0, I), the same z for every model of this latent size, uint8 [n, h, w]."""
    draw = generator(EVALUATION_SEED, 0, Stream.SAMPLES)
    return subject.decode(torch.randn(N_SAMPLES, subject.latent_size, generator=draw).numpy())


@dataclass(frozen=True)
class Plane:
    """Two latents, or the only one: `dimensions` are their indices, x first; `kl` their nats."""

    dimensions: tuple[int, ...]
    kl: tuple[float, ...]
    latent_size: int


def plane(subject: Subject) -> Plane:
    """Latents 0 and 1 of a model with two, otherwise the two of the highest KL, the higher one first."""
    if subject.latent_size <= 2:
        dimensions = tuple(range(subject.latent_size))
    else:
        dimensions = tuple(int(index) for index in np.argsort(-subject.kl, kind="stable")[:2])
    return Plane(dimensions, tuple(float(subject.kl[index]) for index in dimensions), subject.latent_size)


@dataclass(frozen=True)
class Manifold:
    """The decoder's means over a plane, uint8 [rows, columns, h, w]: x grows to the right, y upwards.

    `places` are the values of z along either side. A model with one latent has one row.
    """

    plane: Plane
    places: np.ndarray
    images: np.ndarray


def manifold(subject: Subject) -> Manifold:
    """Places spaced evenly in the prior's probability (Kingma & Welling 2013, figure 4); other latents at 0."""
    chosen, places = plane(subject), prior_quantiles(GRID)
    n_rows = GRID if len(chosen.dimensions) == 2 else 1
    z = np.zeros((n_rows, GRID, subject.latent_size))
    z[:, :, chosen.dimensions[0]] = places
    if n_rows > 1:
        z[:, :, chosen.dimensions[1]] = places[::-1, None]
    images = subject.decode(z.reshape(n_rows * GRID, -1))
    return Manifold(chosen, places, images.reshape(n_rows, GRID, *images.shape[1:]))


def prior_quantiles(n: int) -> np.ndarray:
    """The standard normal's quantiles at (i + 1/2) / n, [n]."""
    return np.array([NormalDist().inv_cdf((index + 0.5) / n) for index in range(n)])


@dataclass(frozen=True)
class Latents:
    """E_q[z|x] of the held-out images in a plane: z [N, 1 or 2], labels [N]."""

    plane: Plane
    z: np.ndarray
    labels: np.ndarray


def latents(subject: Subject) -> Latents:
    chosen = plane(subject)
    return Latents(chosen, subject.means[:, list(chosen.dimensions)], subject.images.labels)


def label_places(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Where each class's name goes, [n_classes, 2]: its median, moved where two would cover each other."""
    places = np.stack([np.median(z[labels == label], axis=0) for label in np.unique(labels)])
    apart = LABEL_DISTANCE * float(np.ptp(z, axis=0).max() or 1.0)
    for _ in range(100):
        between = places[:, None] - places[None]  # [n, n, 2]
        distance = np.linalg.norm(between, axis=-1, keepdims=True)
        close = (distance < apart) & (distance > 0)
        if not close.any():
            break
        push = np.where(close, between / np.where(close, distance, 1.0) * (apart * 1.01 - distance) / 2, 0.0)
        places = places + push.sum(1)
    return places


@dataclass(frozen=True)
class KlPerDimension:
    """Highest first: the latent's index, its KL in nats per image, whether it is active. Each [L]."""

    dimensions: np.ndarray
    kl: np.ndarray
    active: np.ndarray


def kl_per_dimension(subject: Subject) -> KlPerDimension:
    order = np.argsort(-subject.kl, kind="stable")
    return KlPerDimension(order, subject.kl[order], subject.active[order])


@dataclass(frozen=True)
class LearningCurves:
    """Nats per image by epoch; NaN where a trial diverged. curves: {"elbo": (train [E], validation [E]), ...}."""

    epochs: np.ndarray
    curves: dict[str, tuple[np.ndarray, np.ndarray]]
    best: EpochMetrics | None


def learning_curves(history: list[EpochMetrics]) -> LearningCurves:
    def column(name: str) -> np.ndarray:
        values = np.array([getattr(metrics, name) for metrics in history], dtype=float)
        return np.where(np.isfinite(values), values, np.nan)

    curves = {name: (column(f"train_{name}"), column(f"val_{name}")) for name in ("elbo", "rate", "distortion")}
    return LearningCurves(np.array([metrics.epoch for metrics in history], dtype=int), curves, best(history))


def worth_showing(curves: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """Limits that leave out the steep start: a twentieth of the epochs, at least one where there are five."""
    n_epochs = len(curves[0])
    start = max(1, n_epochs // 20) if n_epochs >= 5 else 0
    late = np.concatenate([curve[start:] for curve in curves])
    if not np.isfinite(late).any():
        return 0.0, 1.0
    low, high = float(np.nanmin(late)), float(np.nanmax(late))
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin
