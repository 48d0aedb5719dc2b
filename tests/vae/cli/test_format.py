"""vae/cli/format.py."""

from typing import Any

import pytest

from vae.cli.format import duration, number, shown


def test_nats_have_two_decimals_and_a_number_that_is_missing_is_a_dash() -> None:
    assert [number(value) for value in (-108.125, 0.0, None)] == ["-108.12", "0.00", "-"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (42, "42 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (420, "7 min"),
        (89 * 60, "89 min"),
        (90 * 60, "1 h 30 min"),
        (3 * 3600 + 5 * 60, "3 h 05 min"),
        (100 * 3600, "100 h 00 min"),
    ],
)
def test_a_duration_is_short(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.001, "0.001"), (1.23456e-4, "0.0001235"), (0.33409, "0.3341"), (2.0, "2"), (64, "64"), ("relu", "relu")],
)
def test_a_value_is_short_enough_for_a_column(value: Any, expected: str) -> None:
    assert shown(value) == expected
