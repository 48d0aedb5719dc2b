"""How the trials of a sweep are marked in its figures: by state."""

from collections.abc import Sequence

from matplotlib.lines import Line2D

from report.drawing.style import HIGHLIGHT, VALIDATION
from tuning.records import State

MARKERS: dict[State, str] = {"complete": "o", "pruned": "v", "running": "s", "failed": "X"}
COLOURS: dict[State, str] = {"complete": VALIDATION, "pruned": "#94a4a2", "running": "#832db6", "failed": HIGHLIGHT}
NO_TRIAL = "No trial of this sweep has finished an epoch."


def state_handles(states: Sequence[State], colour: str | None = None) -> list[Line2D]:
    """For a legend: each state that occurs, in its own colour or in one for all."""
    return [
        Line2D([], [], ls="", marker=marker, color=colour or COLOURS[state], ms=6, mew=0, label=state)
        for state, marker in MARKERS.items()
        if state in states
    ]


def counted(n: int, noun: str) -> str:
    """'1 trial', '1,200 trials'."""
    return f"{n:,} {noun}{'s' * (n != 1)}"
