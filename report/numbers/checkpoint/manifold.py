"""The manifold: what the decoder makes of every place on a plane through the latent space."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from report.models.subject import Strength, Subject

Spacing = Literal["normal", "uniform"]
GRID = 20  # places a side of the manifold
RANGE = 3.0  # of z, on either side of 0
CODE_RANGE = (0.005, 0.995)  # quantiles of an autoencoder's codes: a few stray codes would leave the rest no room


@dataclass(frozen=True)
class Plane:
    """Two latents, or the only one. dimensions: their indices, x first; strengths: how much each carries."""

    dimensions: tuple[int, ...]
    strengths: tuple[float, ...]
    strength: Strength
    latent_size: int


def plane(subject: Subject) -> Plane:
    """Latents 0 and 1 of a model with two; of a larger model the two that carry most, the stronger one first."""
    chosen = range(subject.latent_size) if subject.latent_size <= 2 else subject.order[:2]
    dimensions = tuple(int(index) for index in chosen)
    strength, values = subject.strength
    return Plane(dimensions, tuple(float(values[index]) for index in dimensions), strength, subject.latent_size)


@dataclass(frozen=True)
class Manifold:
    """The decoder's means over a plane, uint8 [rows, columns, h, w]: x grows to the right, y upwards.

    places: the values of z along x, [columns], and along y from the bottom upwards, [rows]; a model with one latent
    has x alone and one row. spacing: "codes" is uniform over the range of the codes. limit: the largest |z|, if set.
    """

    plane: Plane
    places: tuple[np.ndarray, ...]
    images: np.ndarray
    spacing: Spacing | Literal["codes"]
    limit: float | None


def manifold(
    subject: Subject, grid: int = GRID, spacing: Spacing = "normal", limit: float | None = None, at: Plane | None = None
) -> Manifold:
    """Decode grid x grid places of a plane. The other latents stay at 0, or at the mean of an autoencoder's codes.

    spacing "normal": even in the prior's probability (Kingma & Welling 2013, figure 4), over the whole prior or over
    -limit .. limit. "uniform": even in z from -limit to limit (default 3). An autoencoder has no prior: even over the
    range of its codes, or from -limit to limit. at: the plane; default `plane(subject)`.
    """
    chosen = at or plane(subject)
    of_codes = subject.mode == "autoencoder"
    if of_codes and limit is None:
        low, high = code_range(subject)
        places = tuple(np.linspace(low[index], high[index], grid) for index in chosen.dimensions)
        return Manifold(chosen, places, _over(subject, chosen, places), "codes", None)
    limit = RANGE if limit is None and spacing == "uniform" else limit
    if of_codes or spacing == "uniform":
        spacing, along = "uniform", np.linspace(-(limit or RANGE), limit or RANGE, grid)
    else:
        along = prior_quantiles(grid, limit)
    places = (along,) * len(chosen.dimensions)
    return Manifold(chosen, places, _over(subject, chosen, places), spacing, limit)


def prior_quantiles(n: int, limit: float | None = None) -> np.ndarray:
    """The standard normal's quantiles at the middles of n equal shares of its probability within +-limit, [n]."""
    prior = NormalDist()
    low, high = (0.0, 1.0) if limit is None else (prior.cdf(-limit), prior.cdf(limit))
    return np.array([prior.inv_cdf(low + (high - low) * (index + 0.5) / n) for index in range(n)])


def code_range(subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """The range of all but a hundredth of an autoencoder's codes: lowest and highest, [L] each."""
    assert subject.codes is not None
    low, high = np.quantile(subject.codes, CODE_RANGE, axis=0)
    return low, high


def _over(subject: Subject, chosen: Plane, places: tuple[np.ndarray, ...]) -> np.ndarray:
    n_columns, n_rows = len(places[0]), len(places[1]) if len(places) == 2 else 1
    z = np.broadcast_to(centre(subject), (n_rows, n_columns, subject.latent_size)).copy()
    z[:, :, chosen.dimensions[0]] = places[0]
    if len(places) == 2:
        z[:, :, chosen.dimensions[1]] = places[1][::-1, None]
    images = subject.decode(z.reshape(n_rows * n_columns, -1))
    return images.reshape(n_rows, n_columns, *images.shape[1:])


def centre(subject: Subject) -> np.ndarray:
    """Where the latents stay that a figure does not vary, [L]: the mean of the prior, or of an autoencoder's codes."""
    if subject.mode == "autoencoder" and subject.codes is not None:
        mean: np.ndarray = subject.codes.mean(axis=0)
        return mean
    return np.zeros(subject.latent_size)
