"""Whether colours can be told apart, by everybody, and from white paper."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from report.drawing.markers import COLOURS
from report.drawing.style import CATEGORIES, HIGHLIGHT, NOISY, OF_TIME, OF_VALUES, TRAIN, VALIDATION
from tests.material.colours import SEEN_AS, ciede2000, contrast_with_white, lab


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [  # Sharma, Wu & Dalal 2005, table 1: pairs 1, 7, 9, 17, 18, 26 and 34
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (61, -5, 29), 22.8977),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_difference_of_colours_is_that_of_its_authors(
    one: tuple[float, ...], other: tuple[float, ...], expected: float
) -> None:
    assert ciede2000(np.array(one, float), np.array(other, float)) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("eyes", SEEN_AS)
def test_any_two_classes_have_colours_that_these_eyes_tell_apart(eyes: str) -> None:
    seen = lab(np.array([to_rgb(colour) for colour in CATEGORIES]), eyes)
    apart = ciede2000(seen[:, None], seen[None])[~np.eye(len(seen), dtype=bool)]
    assert apart.min() > (20 if eyes == "all cones" else 15)


@pytest.mark.parametrize("eyes", SEEN_AS)
def test_train_and_validation_have_colours_that_these_eyes_tell_apart(eyes: str) -> None:
    pairs = lab(np.array([to_rgb(colour) for colour in (TRAIN, VALIDATION)]), eyes)
    assert ciede2000(pairs[0], pairs[1]) > 20


def test_every_colour_of_a_mark_stands_out_from_white() -> None:
    marks = [*CATEGORIES, *COLOURS.values(), TRAIN, VALIDATION, NOISY, HIGHLIGHT]
    assert contrast_with_white(np.array([to_rgb(colour) for colour in marks])).min() >= 2
    assert contrast_with_white(np.array([1.0, 1.0, 0.0])) == pytest.approx(1.07, abs=0.01)  # yellow, by WCAG


@pytest.mark.parametrize("colours", [OF_VALUES, OF_TIME], ids=["values", "time"])
def test_a_scale_of_colours_gets_lighter_and_ends_before_it_fades_into_white(colours: object) -> None:
    contrast = contrast_with_white(colours(np.linspace(0, 1, 50))[:, :3])  # type: ignore[operator]
    assert contrast.min() >= 2
    assert (np.diff(contrast) < 0).all()
