"""The manifold over a plane of the latent space, drawn."""

import math

import numpy as np
from matplotlib.figure import Figure

from report.drawing.style import WIDTH, fit_height, new_figure, signed, styled, without_axes
from report.drawing.tiles import SMALL, enlarge, tile
from report.models.subject import Strength
from report.numbers.checkpoint.manifold import Manifold, Plane

MAX_TICKS = 8  # along a side of the manifold
CELL = 0.3  # inches: least side of an image
NEARLY_BLACK = 32  # of 255
UNITS: dict[Strength, str] = {"KL": " nats", "variance": "", "none": ""}


@styled
def draw_manifold(numbers: Manifold, about: str) -> Figure:
    """After Kingma & Welling 2013, figure 4."""
    n_rows, n_columns, height, width = numbers.images.shape
    side = max(6.1 * math.sqrt(width / height), n_columns * CELL)  # inches; a tall image makes a narrower figure
    across = side if n_rows > 1 else max(WIDTH, n_columns * CELL)
    figure = new_figure(
        "Learned manifold", f"{about}\n{_note(numbers)}", across * n_rows / n_columns * height / width + 1, across
    )
    axes = figure.subplots()
    gap = 0 if height >= 2 * SMALL and _ends_in_black(numbers.images) else 2
    picture = tile(enlarge(numbers.images.reshape(-1, height, width)), n_columns, gap)
    axes.imshow(picture, vmin=0, vmax=255)
    without_axes(axes)
    shown = _ticks(n_columns)
    texts = [signed(value) for value in numbers.places[0][shown]]
    axes.set_xticks((shown + 0.5) * picture.shape[1] / n_columns - 0.5, texts)
    axes.set_xlabel(latent_name(numbers.plane, 0))
    if n_rows > 1:
        shown = _ticks(n_rows)
        texts = [signed(value) for value in numbers.places[1][shown]]
        axes.set_yticks((n_rows - shown - 0.5) * picture.shape[0] / n_rows - 0.5, texts)
        axes.set_ylabel(latent_name(numbers.plane, 1))
    return fit_height(figure)


def _ends_in_black(images: np.ndarray) -> bool:
    """Whether the images end in black, so that they need no line between them."""
    edges = (images[..., 0, :], images[..., -1, :], images[..., :, 0], images[..., :, -1])
    return max(float(edge.mean()) for edge in edges) < NEARLY_BLACK


def _ticks(n: int) -> np.ndarray:
    return np.linspace(0, n - 1, min(n, MAX_TICKS)).round().astype(int)


def _note(numbers: Manifold) -> str:
    limit = "" if numbers.limit is None else f"{numbers.limit:g}"
    note = {
        "normal": "places spaced evenly in the prior's probability"
        + (f" within \N{PLUS-MINUS SIGN}{limit}" * bool(limit)),
        "uniform": f"places spaced evenly from \N{MINUS SIGN}{limit} to {limit}",
        "codes": "an autoencoder has no prior: places spaced evenly over the middle 99 % of its codes",
    }[numbers.spacing]
    others = numbers.plane.latent_size - len(numbers.plane.dimensions)
    stay = "0" if numbers.plane.strength != "variance" else "the codes' mean"
    return note + (f"; the other {others} latent{'s' * (others > 1)} at {stay}" if others else "")


def latent_name(plane: Plane, place: int) -> str:
    """ "z3   (KL 4.50 nats)" """
    return f"z{plane.dimensions[place]}" + strength_words(plane.strength, plane.strengths[place], "   ({})")


def strength_words(strength: Strength, value: float, wording: str) -> str:
    """'KL 4.50 nats' in place of the {} of `wording`; '' where nothing is known."""
    return "" if strength == "none" else wording.format(f"{strength} {value:.2f}{UNITS[strength]}")
