"""The trials' scores, drawn: in the order of their start, against each hyperparameter, and by seed."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from report.drawing.markers import COLOURS, HOLLOW, MARKERS, NO_TRIAL, state_handles
from report.drawing.style import INK, MUTED, VALIDATION, WIDTH, log_ticks, message_figure, new_figure, styled
from report.labels import counted, name_of, named, words
from report.numbers.sweep.scores import History, Metric, Point, Repeats, Slice, Slices

MAX_COLUMNS = 3  # of slices
SEEDS_NOTE = "\neach configuration: mean over its seeds, bar: standard deviation"
MAX_ROWS = 30  # of repeats
ROW = 0.36  # inches: a row of repeats
ABOVE = 0.22  # of a row: the dots of the trials stand above the bar of their mean


@styled
def draw_history(numbers: History, about: str) -> Figure:
    """Every trial by state, and the best so far as a step line."""
    title = "Optimisation history"
    if not numbers.points:
        return message_figure(title, about, NO_TRIAL)
    about += _seeds_note(numbers.points, numbers.has_repeats) + _border_note(numbers.points, numbers.floor)
    figure = new_figure(title, about, 3.8)
    axes = figure.subplots()
    counts = [point.number for point in numbers.points]
    running = numbers.metric.sign * np.where(np.isfinite(numbers.best_so_far), numbers.best_so_far, np.nan)
    axes.step([*counts, numbers.n_places], [*running, running[-1]], where="post", color=INK, lw=1.2, zorder=2)
    _scatter_states(axes, [(point.number, point) for point in numbers.points], numbers.floor, numbers.metric)
    _limit(axes, numbers.points, numbers.floor, numbers.metric)
    axes.set_xlim(0.5, numbers.n_places + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"{'configuration' if numbers.has_repeats else 'trial'}, in the order of their start")
    axes.set_ylabel(numbers.metric.label)
    best = Line2D([], [], color=INK, lw=1.2, label="best so far")
    axes.legend(handles=[*state_handles([point.state for point in numbers.points]), best])
    return figure


@styled
def draw_slices(numbers: Slices, about: str) -> Figure:
    """One panel per searched hyperparameter, all on one axis of scores."""
    title = f"Hyperparameters against the validation {numbers.metric.name}"
    if not numbers.slices:
        return message_figure(title, about, "No trial of this sweep has finished an epoch, or it searches nothing.")
    n_slices, points = len(numbers.slices), numbers.points
    n_columns = min(MAX_COLUMNS if n_slices != 4 else 2, n_slices)
    n_rows = math.ceil(n_slices / n_columns)
    about += _seeds_note(points, numbers.has_repeats) + _border_note(points, numbers.floor)
    figure = new_figure(title, about, 2.6 * n_rows, WIDTH if n_columns > 1 else 5.0)
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for axes, one in zip(grid.flat, numbers.slices, strict=False):
        _draw_slice(axes, one, numbers)
    for axes in list(grid.flat)[n_slices:]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(numbers.metric.label.replace(" (", "\n("))
    _limit(grid[0, 0], points, numbers.floor, numbers.metric)  # the panels share the axis
    figure.legend(handles=state_handles([point.state for point in points]), loc="outside lower center", ncols=4)
    return figure


def _draw_slice(axes: Axes, one: Slice, numbers: Slices) -> None:
    if one.choices is None:
        placed = [(float(point.params[one.name]), point) for point in one.points]
    else:
        order = [str(choice) for choice in one.choices]
        known = [point for point in one.points if str(point.params[one.name]) in order]
        placed = [(order.index(str(point.params[one.name])) + _spread(point), point) for point in known]
        axes.set_xticks(range(len(order)), [words(choice) for choice in order])
        axes.set_xlim(-0.5, len(order) - 0.5)
    _scatter_states(axes, placed, numbers.floor, numbers.metric)
    if one.log and placed:
        axes.set_xscale("log")
        ticks = log_ticks(*axes.get_xlim(), n_most=4)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(name_of(one.name))
    if one.n_without:
        note = f"not searched in {counted(one.n_without, 'configuration' if numbers.has_repeats else 'trial')}"
        axes.set_title(note, color=MUTED, fontsize=7.5)


def _spread(point: Point) -> float:
    """Where a trial stands among those of its choice: the golden ratio apart, so that no random number is needed."""
    return (point.number * 0.618034 % 1 - 0.5) * 0.5


def _seeds_note(points: Sequence[Point], has_repeats: bool) -> str:
    if not has_repeats:
        return ""
    counts = sorted({point.n for point in points})
    return f"{SEEDS_NOTE} \N{MIDDLE DOT} n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")


def _border_note(points: Sequence[Point], floor: float) -> str:
    n_beyond = sum(point.score < floor for point in points)
    return f"\n{counted(n_beyond, 'trial')} worse than the axis shows, at its border" if n_beyond else ""


def _scatter_states(axes: Axes, placed: list[tuple[float, Point]], floor: float, metric: Metric) -> None:
    """Draw each point by its state; one worse than `floor` stands on the border of the axes."""
    edge = 0.0 if metric.sign > 0 else 1.0
    for x, point in placed:
        colour = COLOURS[point.state]
        look: dict[str, Any] = {"marker": MARKERS[point.state], "s": 30, "zorder": 3}
        if point.state == "complete":
            look |= {"facecolors": colour, "edgecolors": "white", "linewidths": 0.5}
        else:
            look |= {"facecolors": "white", "edgecolors": colour, "linewidths": HOLLOW}
        if point.score < floor:
            axes.scatter(x, edge, transform=axes.get_xaxis_transform(), clip_on=False, **look)
            axes.update_datalim([(x, 0.0)], updatey=False)
            continue
        y = metric.sign * point.score
        if point.sd is not None:
            axes.errorbar(x, y, yerr=point.sd, color=colour, lw=1.2, capsize=2.5, zorder=2)
        axes.scatter(x, y, **look)


def _limit(axes: Axes, points: Sequence[Point], floor: float, metric: Metric) -> None:
    """Let the axis of nats reach from the worst point above the floor to the best, each with its spread."""
    shown = [point for point in points if point.score >= floor]
    ends = [metric.sign * point.score + side * (point.sd or 0.0) for point in shown for side in (-1, 1)]
    margin = 0.07 * (max(ends) - min(ends)) or 1.0
    axes.set_ylim(min(ends) - margin, max(ends) + margin)


@styled
def draw_repeats(numbers: Repeats, about: str) -> Figure:
    """One row per configuration, the best mean on top."""
    title = f"Seeds: the validation {numbers.metric.name} of each trial, by configuration"
    if not numbers.configurations:
        return message_figure(title, about, "No configuration of this sweep has a trial in each of its seeds.")
    shown, sign = numbers.configurations[:MAX_ROWS], numbers.metric.sign
    figure = new_figure(title, about + _repeats_note(numbers), 0.75 + ROW * max(len(shown), 2))
    axes = figure.subplots()
    for row, one in enumerate(shown):
        axes.scatter([sign * score for score in one.scores], [row - ABOVE] * len(one.scores), s=26, color=VALIDATION,
                     alpha=0.75, linewidths=0, zorder=2, label="a trial" if row == 0 else None)  # fmt: skip
        axes.errorbar(sign * one.mean, row, xerr=one.sd, color=INK, marker="|", ms=11, mew=1.6, lw=1.2, capsize=3,
                      zorder=3, label="mean and standard deviation" if row == 0 else None)  # fmt: skip
    axes.set_yticks(range(len(shown)), _labels([one.params for one in shown]))
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(max(len(shown), 2) - 0.5, -0.6)
    axes.grid(axis="y", color="#ececec", lw=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(numbers.metric.label)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _repeats_note(numbers: Repeats) -> str:
    counts = sorted({len(one.scores) for one in numbers.configurations})
    notes = [f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "") + " seeds, best mean first"]
    if len(numbers.configurations) > MAX_ROWS:
        notes.append(f"the best {MAX_ROWS} of {len(numbers.configurations)} configurations")
    if numbers.n_failed:
        notes.append(f"{counted(numbers.n_failed, 'configuration')} with a failed trial not shown")
    return "\n" + " \N{MIDDLE DOT} ".join(notes)


def _labels(every: Sequence[dict[str, Any]]) -> list[str]:
    """Name each configuration by the values that differ; a single one by all of its values."""
    names = list(dict.fromkeys(name for params in every for name in params))
    varying = [name for name in names if len({str(params.get(name)) for params in every}) > 1] or names
    labels = [", ".join(named(name, params[name]) for name in varying if name in params) for params in every]
    return [label or "the one configuration" for label in labels]
