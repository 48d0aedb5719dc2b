"""Rate against distortion of each trial, drawn."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from report.drawing.markers import HOLLOW, MARKERS, NO_TRIAL, state_handles
from report.drawing.style import HIGHLIGHT, MUTED, OF_VALUES, log_ticks, message_figure, new_figure, signed, styled
from report.labels import counted
from report.numbers.sweep.rate_distortion import RateDistortion, free_place
from report.numbers.sweep.scores import Point
from tuning.records import State

NO_RATE = "No trial of this sweep has a rate: only a vae has a posterior to compare with a prior."


@styled
def draw_rate_distortion(numbers: RateDistortion, about: str) -> Figure:
    """After Alemi et al. 2018, figure 1: down and left is better; along a dashed line the ELBO is the same."""
    title = "Rate against distortion of each trial"
    if not numbers.shown:
        return message_figure(title, about, NO_RATE if numbers.n_without else NO_TRIAL)
    figure = new_figure(title, about + _note(numbers), 4.8, 6.4)
    axes = figure.subplots()
    norm = _norm(numbers.colours, numbers.log_colours)
    for state, marker in MARKERS.items():
        chosen = [index for index, point in enumerate(numbers.shown) if point.state == state]
        if chosen:
            _scatter(axes, numbers.places[chosen], marker, OF_VALUES(norm(numbers.colours[chosen])), state)
    axes.set_xlim(*numbers.limits[0])
    axes.set_ylim(*numbers.limits[1])
    _draw_front(axes, numbers.front)
    _iso_elbo_lines(axes, numbers.places)
    _draw_bar(figure, axes, norm, numbers)
    axes.set_xlabel("rate R (nats per image)")
    axes.set_ylabel("distortion D (nats per image)")
    handles = state_handles([point.state for point in numbers.shown], MUTED) + _front_handle(numbers.front)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _scatter(axes: Axes, places: np.ndarray, marker: str, colours: np.ndarray, state: State) -> None:
    """Finished trials are filled; those on the border of the axes are drawn whole."""
    look: dict[str, Any] = {"facecolors": colours, "edgecolors": "white", "linewidths": 0.6}
    if state != "complete":
        look = {"facecolors": "white", "edgecolors": colours, "linewidths": HOLLOW}
    rates, distortions = places.T
    axes.scatter(rates, distortions, 42, marker=marker, zorder=3, clip_on=False, label=state, **look)


def _note(numbers: RateDistortion) -> str:
    notes = []
    if numbers.front:
        notes.append("front: the trials that no other beats in both rate and distortion")
    if numbers.n_beyond:
        notes.append(f"{counted(numbers.n_beyond, 'trial')} beyond the axes, at their border")
    if numbers.n_without:
        notes.append(f"{counted(numbers.n_without, 'trial')} without a rate not shown")
    return "".join(f"\n{note}" for note in notes)


def _places(shown: Sequence[Point]) -> np.ndarray:
    """Rates and distortions, [2, n]."""
    return np.array([(point.rate, point.distortion) for point in shown], dtype=float).T


def _norm(colours: np.ndarray, log: bool) -> Normalize:
    low, high = float(colours.min()), float(colours.max())
    if low == high:
        margin = 0.1 * abs(low) or 0.5
        low, high = low - margin, high + margin
    return LogNorm(low, high) if log else Normalize(low, high)


def _draw_front(axes: Axes, front: Sequence[Point]) -> None:
    """A step line, above which every trial is beaten in both, and a ring around each trial on the front."""
    if front:
        rates, distortions = _places(front)
        axes.step(rates, distortions, where="post", color=HIGHLIGHT, lw=1.1, zorder=2)
        axes.scatter(rates, distortions, s=88, facecolors="none", edgecolors=HIGHLIGHT, linewidths=1.1, zorder=4)


def _front_handle(front: Sequence[Point]) -> list[Line2D]:
    if not front:
        return []
    return [Line2D([], [], color=HIGHLIGHT, lw=1.1, marker="o", ms=8, mfc="none", label="on the front")]


def _iso_elbo_lines(axes: Axes, shown: np.ndarray) -> None:
    """Dashed lines of equal ELBO = -(D + R) across the axes, each labelled away from the points."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    rate, distortion = np.meshgrid(np.linspace(left, right, 100), np.linspace(bottom, top, 100))  # clabel needs many
    levels = MaxNLocator(14, steps=[1, 2, 5, 10]).tick_values(-(right + top), -(left + bottom))
    lines = axes.contour(
        rate, distortion, -(rate + distortion), levels=levels, colors="#b5b5b5", linestyles="dashed", linewidths=0.8
    )
    free = [free_place(level, shown, (left, bottom), (right, top)) for level in levels]
    places = [place for place in free if place is not None]
    axes.clabel(
        lines, fmt=lambda level: f"ELBO {signed(level, _decimals(levels))}", fontsize=7, colors=MUTED, manual=places
    )
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _decimals(levels: Sequence[float]) -> int:
    step = float(levels[1] - levels[0]) if len(levels) > 1 else 1.0
    return max(0, math.ceil(-math.log10(step)))


def _draw_bar(figure: Figure, axes: Axes, norm: Normalize, numbers: RateDistortion) -> None:
    bar = figure.colorbar(ScalarMappable(norm, OF_VALUES), ax=axes, label=numbers.colour_name, fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    if numbers.log_colours:
        ticks = log_ticks(float(numbers.colours.min()), float(numbers.colours.max()))
        bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        bar.minorticks_off()
