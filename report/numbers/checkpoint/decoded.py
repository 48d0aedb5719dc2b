"""What a model gives back of images, and what it makes up."""

from dataclasses import dataclass

import numpy as np
import torch

from report.models import image_choice
from report.models.subject import Subject
from vae.randomness.streams import EVALUATION_SEED, Stream, evaluation_noise, generator

N_SAMPLES = 100


@dataclass(frozen=True)
class Reconstructions:
    """Held-out images and the decoder's mean at their code, uint8 [n, h, w]; n_columns of them make a row.

    class_names: of each column, () where its images are of no one class. A model without an encoder gives back what
    it makes of random z: is_random.
    """

    inputs: np.ndarray
    outputs: np.ndarray
    n_columns: int
    class_names: tuple[str, ...]
    is_random: bool = False


def reconstructions(subject: Subject, n_columns: int | None = None, n_rows: int = image_choice.ROWS) -> Reconstructions:
    """The first few images of each class, a class per column; without classes the split's first images."""
    places, n_columns = image_choice.grid(subject.images.labels, n_columns, n_rows)
    names = _names_of_columns(subject, places, n_columns)
    is_random = subject.codes is None
    z = evaluation_noise(len(subject), subject.latent_size).numpy() if subject.codes is None else subject.codes
    return Reconstructions(subject.inputs(places), subject.decode(z[places]), n_columns, names, is_random)


def _names_of_columns(subject: Subject, places: np.ndarray, n_columns: int) -> tuple[str, ...]:
    labels = subject.images.labels[places].reshape(-1, n_columns)
    if len(np.unique(labels)) == 1 or (labels != labels[0]).any():
        return ()
    return tuple(subject.class_name(place) for place in places[:n_columns])


@dataclass(frozen=True)
class Denoising:
    """Held-out images, the same corrupted, and the decoder's mean at the code of those, uint8 [n, h, w].

    class_names: as of Reconstructions.
    """

    clean: np.ndarray
    corrupted: np.ndarray
    restored: np.ndarray
    n_columns: int
    class_names: tuple[str, ...]


def denoising(subject: Subject, n_columns: int | None = None, n_rows: int = image_choice.ROWS) -> Denoising:
    """The images that `reconstructions` shows; only of a model with input noise."""
    places, n_columns = image_choice.grid(subject.images.labels, n_columns, n_rows)
    names = _names_of_columns(subject, places, n_columns)
    return Denoising(subject.inputs(places), subject.corrupted(places), subject.restored(places), n_columns, names)


def samples(subject: Subject, n: int = N_SAMPLES) -> np.ndarray:
    """The decoder's means at z ~ N(0, I), the same z for every model of this latent size, uint8 [n, h, w]."""
    return subject.decode(standard_normal(n, subject.latent_size))


def fitted_samples(subject: Subject, n: int = N_SAMPLES) -> np.ndarray:
    """The same with z from a Gaussian fitted to the codes, for an autoencoder, which has no prior."""
    assert subject.codes is not None
    centre, covariance = gaussian_of(subject.codes)
    variances, axes = np.linalg.eigh(covariance)
    spread = axes * np.sqrt(variances.clip(min=0))  # its product with its transpose is the covariance
    return subject.decode(centre + standard_normal(n, subject.latent_size) @ spread.T)


def gaussian_of(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [L] and covariance [L, L] of codes [N, L], as maximum likelihood has them."""
    return codes.mean(axis=0), np.cov(codes, rowvar=False, ddof=0).reshape(codes.shape[1], codes.shape[1])


def standard_normal(n: int, latent_size: int) -> np.ndarray:
    """[n, L]"""
    draw = generator(EVALUATION_SEED, 0, Stream.SAMPLES)
    return torch.randn(n, latent_size, generator=draw).double().numpy()


@dataclass(frozen=True)
class Samples:
    """Images made up, uint8 [n, h, w], and where their z are from."""

    z_from: str
    images: np.ndarray


def sample_blocks(subject: Subject, n: int = N_SAMPLES) -> list[Samples]:
    """From the prior; of an autoencoder from the distribution of its codes and, to compare, from N(0, I)."""
    standard = Samples("z ~ N(0, I)", samples(subject, n))
    if subject.mode != "autoencoder":
        return [standard]
    return [Samples(f"z from a Gaussian fitted to the codes of {subject.split}", fitted_samples(subject, n)), standard]
