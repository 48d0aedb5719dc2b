"""vae/countdown.py."""

import pytest

from vae.cli import progress
from vae.cli.progress import Lines


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was said of 100 steps that take two seconds each."""
    clock = iter(range(0, 10_000, 2))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    lines: list[str] = []
    told = Lines("Images", 100, lines.append)
    for _ in range(100):
        told(1)
    return lines


def test_there_is_a_line_every_ten_seconds_with_the_time_left(said: list[str]) -> None:
    assert said[0] == "Images: 5 of 100, 190 s left"
    assert said[1] == "Images: 10 of 100, 180 s left"
    assert len(said) == 19  # and none at the end


def test_what_takes_less_than_ten_seconds_is_silent() -> None:
    told = Lines("Images", 3, lambda line: pytest.fail(line))
    for _ in range(3):
        told(1)


def test_a_large_number_is_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    lines: list[str] = []
    Lines("Images", 4000, lines.append)(1000)
    assert lines == ["Images: 1,000 of 4,000, 90 s left"]
