"""Whether the texts of a figure can be read, for the tests of every figure."""

from unittest import mock
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

_read: WeakKeyDictionary[Figure, list[tuple[Text, np.ndarray]]] = WeakKeyDictionary()


def texts(figure: Figure) -> list[tuple[Text, np.ndarray]]:
    """Every text that is drawn and its corners (left, bottom, right, top) in pixels; read once for each figure.

    matplotlib keeps texts that it does not draw, such as the labels of ticks outside the axes.
    """
    if figure not in _read:
        drawn = [text for text in _drawn(figure) if text.get_text().strip()]
        _read[figure] = [(text, text.get_window_extent().extents) for text in drawn]
    return _read[figure]


def _drawn(figure: Figure) -> list[Text]:
    """The visible texts, in the order in which they are drawn; images, which have no text, are left out."""
    drawn: list[Text] = []
    draw = Text.draw

    def recording(text: Text, renderer: RendererBase) -> None:
        drawn.extend([text] if text.get_visible() else [])
        draw(text, renderer)

    with mock.patch.object(Text, "draw", recording), mock.patch.object(AxesImage, "draw"):
        figure.draw_without_rendering()
    return drawn


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text, _ in texts(figure))


def assert_can_be_read(figure: Figure) -> None:
    """No text leaves the figure, no two upright texts cover each other."""
    width, height = figure.bbox.size
    found = texts(figure)
    assert found, "the figure has no text"
    for text, (left, bottom, right, top) in found:
        outside = (left < -1, bottom < -1, right > width + 1, top > height + 1)
        assert not any(outside), f"{text.get_text()!r} leaves the figure: {left, bottom, right, top} of {width, height}"
    upright = [(text.get_text(), corners) for text, corners in found if text.get_rotation() % 90 == 0]
    corners = np.array([corners for _, corners in upright])
    low, high = corners[:, None, :2], corners[:, None, 2:]
    apart = (low > high.swapaxes(0, 1) - 1).any(-1)  # [n, n]: to the right of or above the other
    covering = np.argwhere(np.triu(~(apart | apart.T), k=1))
    assert len(covering) == 0, " and ".join(f"{upright[place][0]!r}" for place in covering[0]) + " cover each other"


def picture(axes: Axes) -> np.ndarray:
    """The one image that the axes show, as it was given to them."""
    (image,) = axes.get_images()
    return np.asarray(image.get_array())


def greys(axes: Axes, n_rows: int, n_columns: int) -> list[list[int]]:
    """The grey value in the middle of each tile of the axes' image."""
    shown = picture(axes)
    rows, columns = (
        ((np.arange(n) + 0.5) * size / n).astype(int) for n, size in zip((n_rows, n_columns), shown.shape, strict=True)
    )
    values: list[list[int]] = shown[np.ix_(rows, columns)].tolist()
    return values


def flat(*values: int) -> np.ndarray:
    """An image of 4 x 4 pixels of each grey value, uint8 [n, 4, 4]."""
    return np.tile(np.array(values, np.uint8)[:, None, None], (1, 4, 4))
