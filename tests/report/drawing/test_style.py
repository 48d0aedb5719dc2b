import math
from io import BytesIO

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.image import imread

from report.drawing.style import (
    DPI,
    category_colours,
    fit_height,
    log_ticks,
    new_figure,
    render,
    shortened,
    signed,
    styled,
    wrapped,
)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(2, 64, [2, 5, 10, 20, 50]), (0.1, 10, [0.1, 0.3, 1, 3, 10]), (90, 210, [100, 150, 200]), (1e-4, 1, None)],
)
def test_log_ticks_are_round_numbers(low: float, high: float, expected: list[float] | None) -> None:
    ticks = log_ticks(low, high)
    assert ticks == pytest.approx(expected or [1e-4, 1e-3, 1e-2, 1e-1, 1])


@given(st.floats(-6, 3), st.floats(0.01, 9), st.integers(2, 6))
def test_log_ticks_are_few_and_within_the_axis(exponent: float, decades: float, n_most: int) -> None:
    low, high = 10**exponent, 10 ** (exponent + decades)
    ticks = log_ticks(low, high, n_most)
    assert len(ticks) <= n_most
    assert all(low <= tick <= high for tick in ticks)
    if decades > 1:
        assert ticks


@given(st.lists(st.text("abcdef ", min_size=1, max_size=12), min_size=1, max_size=9), st.integers(15, 60))
def test_a_wrapped_line_loses_no_word_and_fits(parts: list[str], n_characters: int) -> None:
    text = " \N{MIDDLE DOT} ".join(parts)
    lines = wrapped(text, n_characters).splitlines()
    assert " ".join(lines).replace("\N{MIDDLE DOT}", " ").split() == text.replace("\N{MIDDLE DOT}", " ").split()
    assert all(len(line) <= n_characters for line in lines)


def test_a_figure_is_as_wide_as_it_says_and_higher_by_its_titles() -> None:
    one = imread(BytesIO(render(new_figure("title", "one line", height=2.0, width=4.0))))
    two = imread(BytesIO(render(new_figure("title", "two\nlines", height=2.0, width=4.0))))
    assert one.shape[1] == 4 * DPI
    assert two.shape[0] > one.shape[0] > 2 * DPI


def test_ten_categories_have_ten_colours() -> None:
    assert len(set(category_colours(10))) == 10
    assert len(category_colours(13)) == 13


def test_drawing_leaves_matplotlibs_settings_as_they_were() -> None:
    before = dict(matplotlib.rcParams)

    @styled
    def draw() -> float:
        return float(matplotlib.rcParams["font.size"])

    assert draw() == 9
    render(new_figure("title", "about", 1.0))
    assert dict(matplotlib.rcParams) == before
    assert math.isclose(before["font.size"], matplotlib.rcParams["font.size"])


def test_a_negative_number_has_a_true_minus_and_zero_none() -> None:
    assert signed(-103.456) == "\N{MINUS SIGN}103.46"
    assert signed(2.0, 0) == "2"
    assert signed(-0.001) == "0.00"


@given(st.text(max_size=20), st.integers(1, 20))
def test_a_shortened_text_fits_and_says_that_it_is_shortened(text: str, n_characters: int) -> None:
    short = shortened(text, n_characters)
    assert len(short) <= n_characters
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


def _figure_of(picture: np.ndarray, height: float) -> Figure:
    figure = new_figure("title", "about", height, 4.0)
    axes = figure.subplots()
    axes.imshow(picture)
    axes.set_xlabel("x")
    return fit_height(figure)


@pytest.mark.parametrize("shape", [(10, 40), (40, 40), (80, 40)])
def test_a_figure_is_cut_to_its_images_whatever_height_it_was_made_with(shape: tuple[int, int]) -> None:
    low, high = (_figure_of(np.zeros(shape), height) for height in (9.0, 12.0))
    assert low.get_size_inches() == pytest.approx(high.get_size_inches(), abs=0.02)
    low.draw_without_rendering()
    box = low.axes[0].get_tightbbox()
    assert box is not None
    assert box.y0 == pytest.approx(0.05 * low.dpi, abs=2)
    assert box.x0 > -1
    picture = low.axes[0].get_window_extent()
    assert picture.height / picture.width == pytest.approx(shape[0] / shape[1], rel=0.01)
    about = low.texts[1].get_window_extent()
    assert 0 < about.y0 - box.y1 < 0.2 * low.dpi  # right below the subtitle
