"""Put many small images into one picture."""

import math
from collections.abc import Sequence

import numpy as np

GAP = 1  # pixels of white between two images
SMALL = 10  # pixels a side: an image no larger is hard to tell from its neighbour
READABLE = 40  # pixels a side: smaller images are enlarged, because viewers blur them


def tile(images: np.ndarray, n_columns: int, gap: int = GAP) -> np.ndarray:
    """Images uint8 [n, h, w], row by row, as one uint8 [H, W]; white between them and in empty places."""
    n_images, height, width = images.shape
    n_rows = math.ceil(n_images / n_columns)
    canvas = np.full((n_rows * (height + gap) - gap, n_columns * (width + gap) - gap), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = index // n_columns * (height + gap), index % n_columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def enlarge(images: np.ndarray) -> np.ndarray:
    """Repeat the pixels of images uint8 [n, h, w] until an image is at least READABLE pixels high."""
    factor = math.ceil(READABLE / images.shape[1])
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def large_tile(images: np.ndarray, n_columns: int) -> np.ndarray:
    """Enlarge, then tile: so the gap is thin beside the image, however small the image is."""
    return tile(enlarge(images), n_columns, gap=2 * GAP)


def stacked(pictures: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """Pictures uint8 [H, W] of one width, below each other, with `gap` pixels of white between two."""
    space = np.full((gap, pictures[0].shape[1]), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (space, picture)][1:])
