"""Walks through the latent space: traversals of one latent, and straight lines between two images' codes."""

from dataclasses import dataclass

import numpy as np

from report.models import image_choice
from report.models.subject import Strength, Subject
from report.numbers.checkpoint.manifold import RANGE, centre, code_range

MAX_TRAVERSALS, TRAVERSAL_STEPS = 10, 11
MAX_PAIRS, PAIR_STEPS = 6, 9


@dataclass(frozen=True)
class Traversals:
    """One image's code with one latent varied: uint8 [rows, columns, h, w], one latent per row, the strongest first.

    z: the values of the row's latent, [rows, columns]; at_image: its value in the code, [rows]. image: its place in
    the split; None without an encoder, where the other latents stay at 0. input, reconstruction: uint8 [h, w].
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
    """From -3 to 3, or over the range of an autoencoder's codes. Rows are ordered by KL, or by the codes' variance."""
    dimensions = subject.order[:n_latents]
    strength, values = subject.strength
    code = centre(subject) if subject.codes is None else subject.codes[image]
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
    """Straight lines between the codes of P pairs of held-out images, both ends included.

    pairs: the images' places in the split, [P, 2]; names: their classes, '' without labels; ends: the images
    themselves, uint8 [P, 2, h, w]; images: what is decoded along each line, uint8 [P, steps, h, w].
    """

    pairs: np.ndarray
    names: list[tuple[str, str]]
    ends: np.ndarray
    images: np.ndarray


def interpolations(subject: Subject, n_pairs: int = MAX_PAIRS) -> Interpolations:
    """Each pair is of two classes where there are classes. The model must have an encoder."""
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
