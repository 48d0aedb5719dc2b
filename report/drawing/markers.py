"""Marks that the figures of a sweep share: trials by state, solid and dashed lines."""

from collections.abc import Sequence

from matplotlib.lines import Line2D

from report.drawing.style import HIGHLIGHT, MUTED, VALIDATION
from tuning.records import State

MARKERS: dict[State, str] = {"complete": "o", "pruned": "v", "running": "s", "failed": "X"}
COLOURS: dict[State, str] = {"complete": VALIDATION, "pruned": "#7b8a88", "running": "#832db6", "failed": HIGHLIGHT}
HOLLOW = 1.2  # points: the line of a mark that is not filled, because its trial has not finished
DASH = (0, (4, 2))
NO_TRIAL = "No trial of this sweep has finished an epoch."


def state_handles(states: Sequence[State], colour: str | None = None) -> list[Line2D]:
    """For a legend: each state that occurs, in its own colour or all in one; only finished trials are filled."""
    return [_state_handle(state, colour or COLOURS[state]) for state in MARKERS if state in states]


def _state_handle(state: State, colour: str) -> Line2D:
    fill, line = (colour, 0.0) if state == "complete" else ("white", HOLLOW)
    return Line2D([], [], ls="", marker=MARKERS[state], color=colour, mfc=fill, ms=6, mew=line, label=state)


def line_handles(solid: str, dashed: str) -> list[Line2D]:
    """For a legend: what the solid and the dashed lines are."""
    return [
        Line2D([], [], color=MUTED, ls="-", label=solid),
        Line2D([], [], color=MUTED, ls=DASH, label=dashed),
    ]
