import math
from io import BytesIO

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from report.style import DPI, category_colours, log_ticks, new_figure, render, styled, wrapped


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
