"""Images that a model makes up, drawn."""

import numpy as np
from matplotlib.figure import Figure

from report.drawing.style import fit_height, new_figure, styled, without_axes
from report.drawing.tiles import large_tile
from report.numbers.checkpoint.samples import Samples


@styled
def draw_samples(blocks: list[Samples], about: str) -> Figure:
    """A square of images for each distribution of z."""
    n_columns = int(np.ceil(np.sqrt(len(blocks[0].images))))
    pictures = [large_tile(block.images, n_columns) for block in blocks]
    side = max(5.4 if len(blocks) == 1 else 4.2, n_columns * 0.3)
    height = side * pictures[0].shape[0] / pictures[0].shape[1]
    title, note = "Samples from the prior", f"pixel means at {blocks[0].z_from}"
    if len(blocks) > 1:
        title, note = "Samples", "an autoencoder has no prior: pixel means at z from two guesses"
    figure = new_figure(title, f"{about}\n{note}", height + 1, side * len(blocks))
    for axes, picture, block in zip(figure.subplots(1, len(blocks), squeeze=False)[0], pictures, blocks, strict=True):
        axes.imshow(picture, vmin=0, vmax=255)
        without_axes(axes)
        if len(blocks) > 1:
            axes.set_title(block.z_from)
    return fit_height(figure)
