"""The figures of a sweep: the numbers of report.numbers.sweep.scores and its neighbours, drawn."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from report.drawing.markers import COLOURS, MARKERS, NO_TRIAL, counted, state_handles
from report.drawing.style import INK, MUTED, VALIDATION, WIDTH, log_ticks, message_figure, new_figure, styled
from report.drawing.sweep.images_seen import draw_bound
from report.drawing.sweep.input_noise import draw_noise_curves
from report.drawing.sweep.rate_distortion import draw_rate_distortion
from report.drawing.sweep.repeats import draw_repeats
from report.labels import name_of, words
from report.numbers.sweep import scores
from report.numbers.sweep.compared import compared
from report.numbers.sweep.images_seen import bound
from report.numbers.sweep.importance import Importance, importance
from report.numbers.sweep.input_noise import noise_curves
from report.numbers.sweep.rate_distortion import rate_distortion
from tuning.records import SweepRecord
from vae.datasets.registry import short_name

MAX_COLUMNS = 3
SEEDS_NOTE = "\neach configuration: mean over its seeds, bar: standard deviation"


def sweep_figures(sweep: SweepRecord) -> Iterator[tuple[str, Figure]]:
    """Every figure of a sweep that needs no model, with its name; whatever the sweep has reached, each is there.

    Only the two last depend on what is searched: repeats, and noise on the input.
    """
    about, metric = describe(sweep), scores.metric_of(sweep)
    yield "rate_distortion", draw_rate_distortion(rate_distortion(sweep), about)
    yield "optimisation_history", draw_history(scores.history(sweep), about)
    yield "parameter_importance", draw_importance(importance(sweep), metric, about)
    yield "slices", draw_slices(scores.slices(sweep), about)
    yield "bound_per_images_seen", draw_bound(bound(sweep, compared(sweep)), about)
    if scores.has_repeats(sweep):
        yield "repeats", draw_repeats(scores.repeats(sweep), about)
    if (by_noise := noise_curves(sweep)).curves:
        yield "denoising", draw_noise_curves(by_noise, about)


def describe(sweep: SweepRecord) -> str:
    """Which sweep it is, in a line: trials by state."""
    counts = {state: sum(record.state == state for record in sweep.trials) for state in MARKERS}
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    trials = counted(len(sweep.trials), "trial") + (f": {states}" if states else "")
    return " \N{MIDDLE DOT} ".join((sweep.name, short_name(sweep.dataset), trials))


def _seeds_note(points: Sequence[scores.Point], has_repeats: bool) -> str:
    if not has_repeats:
        return ""
    counts = sorted({point.n for point in points})
    return f"{SEEDS_NOTE} \N{MIDDLE DOT} n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")


@styled
def draw_history(numbers: scores.History, about: str) -> Figure:
    title = "Optimisation history"
    if not numbers.points:
        return message_figure(title, about, NO_TRIAL)
    figure = new_figure(title, about + _seeds_note(numbers.points, numbers.has_repeats), 3.8)
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


def _scatter_states(axes: Axes, placed: list[tuple[float, scores.Point]], floor: float, metric: scores.Metric) -> None:
    """Trials by state; one worse than `floor` sits on the edge of the axes with an arrow that leaves them."""
    edge, inside = (0.0, 0.06) if metric.sign > 0 else (1.0, 0.94)
    for x, point in placed:
        colour = COLOURS[point.state]
        if point.score >= floor:
            y, style = metric.sign * point.score, {"marker": MARKERS[point.state], "s": 30, "edgecolors": "white"}
            if point.sd is not None:
                axes.errorbar(x, y, yerr=point.sd, color=colour, lw=1.2, capsize=2.5, zorder=2)
            axes.scatter(x, y, color=colour, zorder=3, linewidths=0.5, **style)  # type: ignore[arg-type]
        else:
            axes.annotate(
                "", (x, edge), (x, inside), xycoords=axes.get_xaxis_transform(),
                textcoords=axes.get_xaxis_transform(), arrowprops={"arrowstyle": "->", "color": colour},
            )  # fmt: skip


def _limit(axes: Axes, points: Sequence[scores.Point], floor: float, metric: scores.Metric) -> None:
    """The axis of nats, from the worst point that is not below the floor to the best, with their spread."""
    shown = [point for point in points if point.score >= floor]
    ends = [metric.sign * point.score + side * (point.sd or 0.0) for point in shown for side in (-1, 1)]
    margin = 0.07 * (max(ends) - min(ends)) or 1.0
    axes.set_ylim(min(ends) - margin, max(ends) + margin)


@styled
def draw_importance(numbers: Importance, metric: scores.Metric, about: str) -> Figure:
    title = f"Parameter importance for the validation {metric.name}"
    if numbers.left_out:
        about += f"\nleft out, because not every trial has it: {', '.join(map(name_of, numbers.left_out))}"
    if numbers.why_not:
        return message_figure(title, about, numbers.why_not)
    when = "complete trials" if numbers.by_epoch is None else f"trials, by epoch {numbers.by_epoch}, which all reached,"
    note = f"PED-ANOVA: what sets the best {numbers.n_top} of {numbers.n_trials} {when} apart"
    figure = new_figure(title, f"{about}\n{note}", 0.8 + 0.34 * len(numbers.shares))
    axes = figure.subplots()
    names, shares = [name_of(name) for name in numbers.shares][::-1], list(numbers.shares.values())[::-1]
    bars = axes.barh(names, shares, color=VALIDATION, height=0.65)
    axes.bar_label(bars, [f"{share:.0%}" for share in shares], padding=3, fontsize=8)
    axes.set_xlim(0, max(shares) * 1.12)
    axes.set_xlabel("share of the importance")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return figure


@styled
def draw_slices(numbers: scores.Slices, about: str) -> Figure:
    title = f"Hyperparameters against the validation {numbers.metric.name}"
    if not numbers.slices:
        return message_figure(title, about, "No trial of this sweep has finished an epoch, or it searches nothing.")
    n_slices, points = len(numbers.slices), numbers.points
    n_columns = min(MAX_COLUMNS if n_slices != 4 else 2, n_slices)
    n_rows = math.ceil(n_slices / n_columns)
    about += _seeds_note(points, numbers.has_repeats)
    figure = new_figure(title, about, 2.6 * n_rows, WIDTH if n_columns > 1 else 5.0)
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for axes, one in zip(grid.flat, numbers.slices, strict=False):
        _draw_slice(axes, one, numbers)
    for axes in list(grid.flat)[n_slices:]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(numbers.metric.label.replace(" (", "\n("))
    _limit(grid[0, 0], points, numbers.floor, numbers.metric)  # of all: they share it
    figure.legend(handles=state_handles([point.state for point in points]), loc="outside lower center", ncols=4)
    return figure


def _draw_slice(axes: Axes, one: scores.Slice, numbers: scores.Slices) -> None:
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


def _spread(point: scores.Point) -> float:
    """Trials of one choice side by side, the golden ratio apart: no random number."""
    return (point.number * 0.618034 % 1 - 0.5) * 0.5
