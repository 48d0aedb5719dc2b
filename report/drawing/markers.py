"""Marks that the figures of a sweep share: trials by state, solid and dashed lines."""

from collections.abc import Sequence

from matplotlib.lines import Line2D

from report.drawing.style import HIGHLIGHT, MUTED, VALIDATION
from tuning.records import State

MARKERS: dict[State, str] = {"complete": "o", "pruned": "v", "running": "s", "failed": "X"}
COLOURS: dict[State, str] = {"complete": VALIDATION, "pruned": "#94a4a2", "running": "#832db6", "failed": HIGHLIGHT}
DASH = (0, (4, 2))
NO_TRIAL = "No trial of this sweep has finished an epoch."


def state_handles(states: Sequence[State], colour: str | None = None) -> list[Line2D]:
    """For a legend: each state that occurs, in its own colour or all in one."""
    return [
        Line2D([], [], ls="", marker=marker, color=colour or COLOURS[state], ms=6, mew=0, label=state)
        for state, marker in MARKERS.items()
        if state in states
    ]


def line_handles(solid: str, dashed: str) -> list[Line2D]:
    """For a legend: what the solid and the dashed lines are."""
    return [
        Line2D([], [], color=MUTED, ls="-", label=solid),
        Line2D([], [], color=MUTED, ls=DASH, label=dashed),
    ]
