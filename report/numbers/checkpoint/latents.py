"""The latents of held-out images: the KL of each, and the codes as points, plain, by principal components or t-SNE."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from report.models import image_choice
from report.models.subject import Subject
from report.numbers.checkpoint.manifold import Plane, plane

N_POINTS = 2000
PERPLEXITY = 30.0
TSNE_SEED = 20131220
FILMS = ("freyface",)
Projection = Literal["none", "PCA", "t-SNE"]


@dataclass(frozen=True)
class KlPerDimension:
    """Highest KL first: the latent's index, its KL in nats per image, whether it is active. Each [L]."""

    dimensions: np.ndarray
    kl: np.ndarray
    active: np.ndarray


def kl_per_dimension(subject: Subject) -> KlPerDimension:
    """The model must be a vae: the other modes have no posterior."""
    assert subject.kl is not None
    assert subject.active is not None
    return KlPerDimension(subject.order, subject.kl[subject.order], subject.active[subject.order])


@dataclass(frozen=True)
class Latents:
    """Codes of held-out images as points: z [n, 1 or 2], labels [n], places [n] in the split of n_images.

    class_names: () without labels. is_film: the places are in the order of time. plane: which latents are drawn,
    where projection is "none". explained: the share of the codes' variance along each principal component.
    perplexity: t-SNE's.
    """

    projection: Projection
    z: np.ndarray
    labels: np.ndarray
    places: np.ndarray
    n_images: int
    class_names: tuple[str, ...]
    is_film: bool
    latent_size: int
    plane: Plane | None = None
    explained: tuple[float, ...] = ()
    perplexity: float | None = None


def latents(subject: Subject, n_points: int = N_POINTS) -> Latents:
    """One or two latents as they are; of more, the first two principal components. At most n_points images."""
    places, codes = _codes(subject, n_points)
    if subject.latent_size <= 2:
        return _latents(subject, places, "none", codes, plane=plane(subject))
    z, explained = principal_components(codes)
    return _latents(subject, places, "PCA", z, explained=explained)


def tsne(subject: Subject, n_points: int = N_POINTS, perplexity: float = PERPLEXITY) -> Latents:
    """t-SNE (van der Maaten & Hinton 2008) of the codes, started at their principal components. Takes up to a minute.

    Needs more points than the perplexity, and at least two latents.
    """
    from sklearn.manifold import TSNE  # a second to import, and only this needs it
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    places, codes = _codes(subject, n_points)
    projection = TSNE(perplexity=perplexity, init="pca", random_state=TSNE_SEED)
    with threadpool_limits(1):  # more threads are slower, see docs/log.md
        z = projection.fit_transform(codes.astype(np.float32)).astype(float)
    return _latents(subject, places, "t-SNE", z, perplexity=perplexity)


def _codes(subject: Subject, n_points: int) -> tuple[np.ndarray, np.ndarray]:
    assert subject.codes is not None
    places = image_choice.evenly(len(subject), n_points)
    return places, subject.codes[places]


def _latents(
    subject: Subject,
    places: np.ndarray,
    projection: Projection,
    z: np.ndarray,
    plane: Plane | None = None,
    explained: tuple[float, ...] = (),
    perplexity: float | None = None,
) -> Latents:
    labels, names = subject.images.labels[places], subject.class_names
    about = (len(subject), names, subject.description.dataset in FILMS, subject.latent_size)
    return Latents(projection, z, labels, places, *about, plane, explained, perplexity)


def principal_components(codes: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
    """Codes [n, L] as their first two components [n, 2], and the share of the variance along each."""
    from sklearn.decomposition import PCA  # a second to import, and only this needs it

    z = np.zeros((len(codes), 2))
    if np.ptp(codes, axis=0).max() == 0:  # all at one point: there is no direction
        return z, (0.0, 0.0)
    n_components = min(2, *codes.shape)
    pca = PCA(n_components, svd_solver="full").fit(codes)
    z[:, :n_components] = pca.transform(codes)
    shares = [*map(float, pca.explained_variance_ratio_), 0.0]
    return z, (shares[0], shares[1])


def name_places(z: np.ndarray, labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Where each class's name goes, [n_classes, 2]: at the median of its points, moved where two names would overlap.

    sizes: width and height of each name, in units of z, [n_classes, 2]. Two names that overlap are pushed apart
    along the side on which they overlap less.
    """
    places = np.stack([np.median(z[labels == label], axis=0) for label in np.unique(labels)])
    apart = (sizes[:, None] + sizes[None]) / 2  # [n, n, 2]
    for _ in range(200):
        between = places[:, None] - places[None]
        overlap = apart - np.abs(between)  # above zero on both axes: the names cover each other
        covers = (overlap > 1e-9 * apart).all(-1) & ~np.eye(len(places), dtype=bool)
        if not covers.any():
            break
        places = places + _pushes(between, overlap, apart, covers).sum(1)
    return places


def _pushes(between: np.ndarray, overlap: np.ndarray, apart: np.ndarray, covers: np.ndarray) -> np.ndarray:
    """How far each name moves away from each other name, [n, n, 2]: half of their overlap, and a hundredth more."""
    along = np.argmin(overlap / apart, axis=-1)[..., None] == np.arange(2)  # [n, n, 2]
    order = np.sign(np.arange(len(between))[:, None] - np.arange(len(between))[None])[..., None]
    direction = np.where(between == 0, order, np.sign(between))
    return np.where(covers[..., None] & along, direction * overlap * 0.505, 0.0)
