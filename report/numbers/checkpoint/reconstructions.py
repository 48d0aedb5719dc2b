"""Held-out images beside what a model makes of them: its reconstructions, and what it restores of corrupted ones."""

from dataclasses import dataclass

import numpy as np

from report.models import image_choice
from report.models.subject import Subject
from vae.randomness.streams import evaluation_noise


@dataclass(frozen=True)
class Reconstructions:
    """Held-out images and the decoder's mean at their code, uint8 [n, h, w]; n_columns of them make a row.

    class_names: the class of each column; () where the images of a column differ in class. is_random: the model has
    no encoder, so the outputs are decoded from random z.
    """

    inputs: np.ndarray
    outputs: np.ndarray
    n_columns: int
    class_names: tuple[str, ...]
    is_random: bool = False


def reconstructions(subject: Subject, n_columns: int | None = None, n_rows: int = image_choice.ROWS) -> Reconstructions:
    """The first few images of each class, one class per column; without classes, images spread over the split."""
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
    """Held-out images, their corrupted copies, and the decoder's mean at the code of each copy, uint8 [n, h, w].

    class_names: as in Reconstructions.
    """

    clean: np.ndarray
    corrupted: np.ndarray
    restored: np.ndarray
    n_columns: int
    class_names: tuple[str, ...]


def denoising(subject: Subject, n_columns: int | None = None, n_rows: int = image_choice.ROWS) -> Denoising:
    """The images that `reconstructions` shows. The model must have input noise."""
    places, n_columns = image_choice.grid(subject.images.labels, n_columns, n_rows)
    names = _names_of_columns(subject, places, n_columns)
    return Denoising(subject.inputs(places), subject.corrupted(places), subject.restored(places), n_columns, names)
