"""Images that a model makes up, from its prior or from a Gaussian fitted to its codes."""

from dataclasses import dataclass

import numpy as np
import torch

from report.models.subject import Subject
from vae.randomness.streams import EVALUATION_SEED, Stream, generator

N_SAMPLES = 100


def samples(subject: Subject, n: int = N_SAMPLES) -> np.ndarray:
    """The decoder's means at z ~ N(0, I), uint8 [n, h, w]. Every model of one latent size is given the same z."""
    return subject.decode(standard_normal(n, subject.latent_size))


def fitted_samples(subject: Subject, n: int = N_SAMPLES) -> np.ndarray:
    """The decoder's means at z from a Gaussian fitted to the codes. For an autoencoder, which has no prior."""
    assert subject.codes is not None
    centre, covariance = gaussian_of(subject.codes)
    variances, axes = np.linalg.eigh(covariance)
    spread = axes * np.sqrt(variances.clip(min=0))  # its product with its transpose is the covariance
    return subject.decode(centre + standard_normal(n, subject.latent_size) @ spread.T)


def gaussian_of(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The maximum-likelihood mean [L] and covariance [L, L] of codes [N, L]."""
    return codes.mean(axis=0), np.cov(codes, rowvar=False, ddof=0).reshape(codes.shape[1], codes.shape[1])


def standard_normal(n: int, latent_size: int) -> np.ndarray:
    """z ~ N(0, I), [n, L]; always the same."""
    draw = generator(EVALUATION_SEED, 0, Stream.SAMPLES)
    return torch.randn(n, latent_size, generator=draw).double().numpy()


@dataclass(frozen=True)
class Samples:
    """Images uint8 [n, h, w] decoded from random z, and the words for where z comes from."""

    z_from: str
    images: np.ndarray


def sample_blocks(subject: Subject, n: int = N_SAMPLES) -> list[Samples]:
    """From the prior. An autoencoder has none: from the Gaussian of its codes and, to compare, from N(0, I)."""
    standard = Samples("z ~ N(0, I)", samples(subject, n))
    if subject.mode != "autoencoder":
        return [standard]
    return [Samples(f"z from a Gaussian fitted to the codes of {subject.split}", fitted_samples(subject, n)), standard]
