"""Whether the tests of the figures can fail: what `assert_can_be_read` refuses."""

import pytest
from matplotlib.figure import Figure

from tests.material.figures import assert_can_be_read, words


def figure_with(*texts: tuple[float, float, str, float]) -> Figure:
    """x, y, text and rotation of each, in shares of the figure and degrees."""
    figure = Figure(figsize=(4, 3))
    for x, y, text, rotation in texts:
        figure.text(x, y, text, rotation=rotation)
    return figure


def test_texts_beside_and_above_each_other_can_be_read() -> None:
    figure = figure_with((0.1, 0.5, "left", 0), (0.5, 0.5, "right", 0), (0.1, 0.7, "above", 0))
    assert_can_be_read(figure)
    assert words(figure) == "left right above"


@pytest.mark.parametrize("rotation", [0, 90])
def test_two_texts_that_cover_each_other_are_refused(rotation: float) -> None:
    with pytest.raises(AssertionError, match="'one' and 'other' cover each other"):
        assert_can_be_read(figure_with((0.8, 0.1, "far", 0), (0.4, 0.5, "one", 0), (0.41, 0.51, "other", rotation)))


def test_a_slanted_text_may_cross_another() -> None:
    assert_can_be_read(figure_with((0.4, 0.5, "one", 0), (0.41, 0.51, "other", 30)))


@pytest.mark.parametrize(("x", "y"), [(-0.05, 0.5), (0.95, 0.5), (0.5, -0.05), (0.5, 0.99)])
def test_a_text_that_leaves_the_figure_is_refused(x: float, y: float) -> None:
    with pytest.raises(AssertionError, match="'a long text' leaves the figure"):
        assert_can_be_read(figure_with((x, y, "a long text", 0)))


def test_a_figure_without_a_text_is_refused() -> None:
    with pytest.raises(AssertionError, match="no text"):
        assert_can_be_read(Figure())
