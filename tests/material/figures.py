"""Whether the texts of a figure can be read, for the tests of every figure."""

import itertools
from unittest import mock

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def texts(figure: Figure) -> list[tuple[Text, np.ndarray]]:
    """Every text that is drawn and its corners (left, bottom, right, top) in pixels.

    matplotlib keeps texts that it does not draw, such as the labels of ticks outside the axes.
    """
    drawn: list[Text] = []
    draw = Text.draw

    def recording(text: Text, renderer: RendererAgg) -> None:
        drawn.extend([text] if text.get_visible() else [])
        draw(text, renderer)

    with mock.patch.object(Text, "draw", recording):
        FigureCanvasAgg(figure).draw()
    return [(text, text.get_window_extent().extents) for text in drawn if text.get_text().strip()]


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text, _ in texts(figure))


def assert_can_be_read(figure: Figure) -> None:
    """No text leaves the figure, no two upright texts cover each other."""
    width, height = figure.bbox.size
    found = texts(figure)
    assert found
    for text, (left, bottom, right, top) in found:
        outside = (left < -1, bottom < -1, right > width + 1, top > height + 1)
        assert not any(outside), f"{text.get_text()!r} leaves the figure: {left, bottom, right, top} of {width, height}"
    for (one, here), (other, there) in itertools.combinations(found, 2):
        if one.get_rotation() % 90 == 0 and other.get_rotation() % 90 == 0:
            apart = (here[:2] > there[2:] - 1).any() or (there[:2] > here[2:] - 1).any()
            assert apart, f"{one.get_text()!r} covers {other.get_text()!r}"
