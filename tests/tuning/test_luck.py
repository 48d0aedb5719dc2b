"""How far a seed moves a score, against textbook values, scipy's own test, and closed forms."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tuning.luck import difference, seed_spread, student_t

SCORES = st.lists(st.floats(-200.0, -50.0), min_size=2, max_size=8)


@pytest.mark.parametrize(("degrees", "t"), [(1, 12.7062), (2, 4.30265), (10, 2.22814), (30, 2.04227), (120, 1.97993)])
def test_students_t_is_that_of_the_printed_tables(degrees: int, t: float) -> None:
    assert student_t(degrees) == pytest.approx(t, rel=1e-4)


def test_students_t_with_one_and_two_degrees_is_the_closed_form() -> None:
    assert student_t(1, 0.9) == pytest.approx(math.tan(math.pi * 0.45), rel=1e-9)
    assert student_t(2, 0.9) == pytest.approx(0.9 * math.sqrt(2 / (1 - 0.81)), rel=1e-9)


@given(SCORES, SCORES)
def test_a_difference_has_welchs_interval(first: list[float], second: list[float]) -> None:
    if max(stats.tstd(first), stats.tstd(second)) < 1e-6:
        return  # scipy has no interval then
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    found = difference(first, second)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-3, abs=1e-4)
    assert found.is_decided == (found.low > 0 or found.high < 0)


def test_the_spread_is_pooled_over_the_configurations_that_have_several_seeds() -> None:
    """Squares about the means: 2 (two seeds 2 apart) and 2 (three seeds 1 apart), over 1 + 2 degrees."""
    spread = seed_spread([[-101.0, -99.0], [-5.0], [1.0, 2.0, 3.0]])
    assert spread is not None
    assert spread.sd == pytest.approx(math.sqrt(4 / 3))
    assert spread.degrees == 3
    assert seed_spread([[-101.0], []]) is None


def test_two_trials_of_one_seed_each_are_compared_by_what_a_seed_does_elsewhere() -> None:
    spread = seed_spread([[-101.0, -99.0], [1.0, 2.0, 3.0]])
    found = difference([-100.0], [-104.0], spread)
    assert found is not None
    reach = stats.t.ppf(0.975, 3) * math.sqrt(4 / 3) * math.sqrt(2)
    assert (found.value, found.high - found.value) == pytest.approx((4.0, reach), rel=1e-4)
    assert not found.is_decided
    assert difference([-100.0], [-104.0]) is None


def test_seeds_that_agree_to_the_digit_decide_any_difference() -> None:
    found = difference([-100.0, -100.0], [-100.5, -100.5])
    assert found is not None
    assert (found.low, found.high, found.is_decided) == (0.5, 0.5, True)
