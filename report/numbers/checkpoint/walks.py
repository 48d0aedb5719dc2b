"""Walks through the latent space: the manifold over a plane, traversals of one latent, lines between two images."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from report.models import image_choice
from report.models.subject import Strength, Subject

Spacing = Literal["normal", "uniform"]
GRID = 20  # places a side of the manifold
RANGE = 3.0  # of z, to either side of 0
MAX_TRAVERSALS, TRAVERSAL_STEPS = 10, 11
MAX_PAIRS, PAIR_STEPS = 6, 9
CODE_RANGE = (0.005, 0.995)  # quantiles of an autoencoder's codes; a few stray ones would leave the rest no room


@dataclass(frozen=True)
class Plane:
    """Two latents, or the only one: `dimensions` are their indices, x first; `strengths` how much they carry."""

    dimensions: tuple[int, ...]
    strengths: tuple[float, ...]
    strength: Strength
    latent_size: int


def plane(subject: Subject) -> Plane:
    """Latents 0 and 1 of a model with two, otherwise the two that carry most, the higher one first."""
    chosen = range(subject.latent_size) if subject.latent_size <= 2 else subject.order[:2]
    dimensions = tuple(int(index) for index in chosen)
    strength, values = subject.strength
    return Plane(dimensions, tuple(float(values[index]) for index in dimensions), strength, subject.latent_size)


@dataclass(frozen=True)
class Manifold:
    """The decoder's means over a plane, uint8 [rows, columns, h, w]: x grows to the right, y upwards.

    `places` are the values of z along x and along y, [columns] and [rows] upwards. A model with one latent has one
    row. spacing "codes": uniform over the range of the codes; limit: of |z|, where there is one.
    """

    plane: Plane
    places: tuple[np.ndarray, ...]
    images: np.ndarray
    spacing: Spacing | Literal["codes"]
    limit: float | None


def manifold(
    subject: Subject, grid: int = GRID, spacing: Spacing = "normal", limit: float | None = None, at: Plane | None = None
) -> Manifold:
    """Images at grid x grid places of a plane, the latents beside it at 0, or at the codes' mean.

    spacing normal: evenly in the prior's probability (Kingma & Welling 2013, figure 4), of the whole prior or of
    what lies within -limit .. limit. uniform: evenly from -limit to limit (3). An autoencoder has no prior: evenly
    over the range of its codes, or from -limit to limit. at: another plane than the one of `plane`.
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
    """The standard normal's quantiles at the middles of n equal parts of its probability within +-limit, [n]."""
    prior = NormalDist()
    low, high = (0.0, 1.0) if limit is None else (prior.cdf(-limit), prior.cdf(limit))
    return np.array([prior.inv_cdf(low + (high - low) * (index + 0.5) / n) for index in range(n)])


def code_range(subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Where all but a hundredth of an autoencoder's codes lie, lowest and highest, [L] each."""
    assert subject.codes is not None
    low, high = np.quantile(subject.codes, CODE_RANGE, axis=0)
    return low, high


def _over(subject: Subject, chosen: Plane, places: tuple[np.ndarray, ...]) -> np.ndarray:
    n_columns, n_rows = len(places[0]), len(places[1]) if len(places) == 2 else 1
    z = np.broadcast_to(_centre(subject), (n_rows, n_columns, subject.latent_size)).copy()
    z[:, :, chosen.dimensions[0]] = places[0]
    if len(places) == 2:
        z[:, :, chosen.dimensions[1]] = places[1][::-1, None]
    images = subject.decode(z.reshape(n_rows * n_columns, -1))
    return images.reshape(n_rows, n_columns, *images.shape[1:])


def _centre(subject: Subject) -> np.ndarray:
    """Where latents stay that a walk does not change, [L]: the prior's mean, or the codes'."""
    if subject.mode == "autoencoder" and subject.codes is not None:
        centre: np.ndarray = subject.codes.mean(axis=0)
        return centre
    return np.zeros(subject.latent_size)


@dataclass(frozen=True)
class Traversals:
    """One image's code with one latent moved: uint8 [rows, columns, h, w], a latent per row, most telling first.

    z: the latent's values, [rows, columns]; at_image: its value in the code, [rows]. image: which one of the split,
    None without an encoder, where the others stay at 0; input and reconstruction: uint8 [h, w].
    """

    dimensions: np.ndarray
    strengths: np.ndarray
    strength: Strength
    latent_size: int
    z: np.ndarray
    at_image: np.ndarray
    images: np.ndarray
    image: int | None
    class_name: str
    input: np.ndarray | None
    reconstruction: np.ndarray


def traversals(subject: Subject, image: int = 0, n_latents: int = MAX_TRAVERSALS) -> Traversals:
    """From -3 to 3, or over the range of an autoencoder's codes; rows by KL, or by the variance of the codes."""
    dimensions = subject.order[:n_latents]
    strength, values = subject.strength
    code = _centre(subject) if subject.codes is None else subject.codes[image]
    z = np.tile(np.linspace(-RANGE, RANGE, TRAVERSAL_STEPS), (len(dimensions), 1))
    if strength == "variance":
        low, high = code_range(subject)
        z = np.linspace(low[dimensions], high[dimensions], TRAVERSAL_STEPS, axis=1)
    moved = np.tile(code, (*z.shape, 1))
    moved[np.arange(len(dimensions)), :, dimensions] = z
    images = subject.decode(moved.reshape(-1, subject.latent_size))
    return Traversals(
        dimensions=dimensions,
        strengths=values[dimensions],
        strength=strength,
        latent_size=subject.latent_size,
        z=z,
        at_image=code[dimensions],
        images=images.reshape(*z.shape, *images.shape[1:]),
        image=None if subject.codes is None else image,
        class_name=subject.class_name(image) if subject.codes is not None else "",
        input=None if subject.codes is None else subject.inputs(np.array([image]))[0],
        reconstruction=subject.decode(code[None])[0],
    )


@dataclass(frozen=True)
class Interpolations:
    """Straight lines between the codes of two held-out images each, both ends included.

    pairs: the images' places in the split, [P, 2]; names: their classes, '' without labels; ends: the images
    themselves, uint8 [P, 2, h, w]; images: along the line, uint8 [P, steps, h, w].
    """

    pairs: np.ndarray
    names: list[tuple[str, str]]
    ends: np.ndarray
    images: np.ndarray


def interpolations(subject: Subject, n_pairs: int = MAX_PAIRS) -> Interpolations:
    """Of different classes where there are some; only of a model with an encoder."""
    assert subject.codes is not None
    pairs = image_choice.pairs(subject.images.labels, n_pairs)
    start, stop = subject.codes[pairs[:, 0], None], subject.codes[pairs[:, 1], None]  # [P, 1, L]
    share = np.linspace(0, 1, PAIR_STEPS)[:, None]
    images = subject.decode((start + (stop - start) * share).reshape(-1, subject.latent_size))
    shape = images.shape[1:]
    return Interpolations(
        pairs=pairs,
        names=[(subject.class_name(one), subject.class_name(other)) for one, other in pairs.tolist()],
        ends=subject.inputs(pairs.ravel()).reshape(-1, 2, *shape),
        images=images.reshape(-1, PAIR_STEPS, *shape),
    )
