"""Numbers as people read them: nats, durations, and the values of hyperparameters."""

from typing import Any


def number(value: float | None) -> str:
    """Nats; '-' where the trial has no such number."""
    return "-" if value is None else f"{value:.2f}"


def shown(value: Any) -> str:
    """A hyperparameter's value: four significant digits, the same in a table, a figure and a line."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """'42 s', '7 min', '3 h 05 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
