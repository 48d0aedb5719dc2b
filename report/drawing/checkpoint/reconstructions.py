"""Held-out images beside what a model makes of them, drawn."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.drawing.style import WIDTH, fit_height, new_figure, shortened, styled, without_axes
from report.drawing.tiles import large_tile, stacked
from report.numbers.checkpoint.reconstructions import Denoising, Reconstructions

COLUMNS = 10  # images that a text column has room for
COLUMN, LINE = 0.6, 0.15  # inches: least width and least height of an image


@styled
def draw_reconstructions(numbers: Reconstructions, about: str) -> Figure:
    """Rows come in pairs: inputs, and their reconstructions below."""
    rows = {"input": numbers.inputs, "reconstruction": numbers.outputs}
    if not numbers.is_random:
        return _draw_groups("Reconstructions of held-out images", about, rows, numbers.n_columns, numbers.class_names)
    about += "\nno encoder: below each image what the decoder makes of a random z ~ N(0, I), which knows nothing of it"
    rows = {"input": numbers.inputs, "from random z": numbers.outputs}
    return _draw_groups("What comes back without an encoder", about, rows, numbers.n_columns, numbers.class_names)


@styled
def draw_denoising(numbers: Denoising, about: str) -> Figure:
    """Rows come in threes: clean, corrupted, restored."""
    rows = {"clean": numbers.clean, "corrupted": numbers.corrupted, "restored": numbers.restored}
    return _draw_groups("Denoising of held-out images", about, rows, numbers.n_columns, numbers.class_names)


def _draw_groups(
    title: str, about: str, rows: dict[str, np.ndarray], n_columns: int, class_names: tuple[str, ...]
) -> Figure:
    """rows: uint8 [n, h, w] each. A group stacks the next n_columns images of every row."""
    images = np.stack(list(rows.values()))  # [rows, n, h, w]
    n_rows, _, height, width = images.shape
    groups = images.reshape(n_rows, -1, n_columns, height, width).swapaxes(0, 1)
    pictures = [large_tile(group.reshape(-1, height, width), n_columns) for group in groups]
    picture = stacked(pictures, pictures[0].shape[0] // (n_rows * 4))
    side = max(COLUMN, (WIDTH - 1) / n_columns if n_columns >= COLUMNS else 0, LINE * width / height)  # inches
    across = max(WIDTH, n_columns * side + 1)
    figure = new_figure(title, about, across * picture.shape[0] / picture.shape[1] + 1, across)
    axes = figure.subplots()
    axes.imshow(picture, vmin=0, vmax=255)
    without_axes(axes)
    step = (picture.shape[0] + pictures[0].shape[0] // (n_rows * 4)) / len(pictures)
    middles = np.add.outer(np.arange(len(pictures)) * step, (np.arange(n_rows) + 0.5) * pictures[0].shape[0] / n_rows)
    axes.set_yticks(middles.ravel() - 0.5, list(rows) * len(pictures))
    _name_columns(axes, picture.shape[1], class_names)
    return fit_height(figure)


def _name_columns(axes: Axes, width: int, class_names: tuple[str, ...]) -> None:
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0)
    places = (np.arange(len(class_names)) + 0.5) * width / max(len(class_names), 1) - 0.5
    axes.set_xticks(places, [shortened(name, 11) for name in class_names], fontsize=7)
