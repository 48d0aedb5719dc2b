"""The figures of a sweep: the numbers of report.study, drawn."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from report import study
from report.figures import signed
from report.style import HIGHLIGHT, INK, MUTED, VALIDATION, WIDTH, log_ticks, message_figure, new_figure, styled
from tuning.records import State, SweepRecord

MARKERS: dict[State, str] = {"complete": "o", "pruned": "v", "running": "s", "failed": "X"}
COLOURS: dict[State, str] = {"complete": VALIDATION, "pruned": "#94a4a2", "running": "#832db6", "failed": HIGHLIGHT}
NO_TRIAL = "No trial of this sweep has finished an epoch."
ELBO_LABEL = "validation ELBO (nats per image)"
MAX_COLUMNS = 3


def sweep_figures(sweep: SweepRecord) -> Iterator[tuple[str, Figure]]:
    """Every figure of a sweep with its name; each is there whatever the sweep has reached."""
    about = describe(sweep)
    yield "rate_distortion", draw_rate_distortion(study.rate_distortion(sweep), about)
    yield "optimisation_history", draw_history(study.history(sweep), about)
    yield "parameter_importance", draw_importance(study.importance(sweep), about)
    yield "slices", draw_slices(study.slices(sweep), about)


def describe(sweep: SweepRecord) -> str:
    """Which sweep it is, in a line: trials by state."""
    counts = {state: sum(record.state == state for record in sweep.trials) for state in MARKERS}
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    trials = f"{len(sweep.trials)} trial{'s' * (len(sweep.trials) != 1)}" + (f": {states}" if states else "")
    return " \N{MIDDLE DOT} ".join((sweep.name, sweep.dataset, trials))


@styled
def draw_rate_distortion(numbers: study.RateDistortion, about: str) -> Figure:
    """After Alemi et al. 2018, figure 1: down and left is better, a dashed line is one ELBO."""
    title = "Rate against distortion, best epoch of each trial"
    if not numbers.shown:
        return message_figure(title, about, NO_TRIAL)
    figure = new_figure(title, about + _hidden_note(numbers.n_hidden), 4.8, 6.4)
    axes = figure.subplots()
    norm = _norm(numbers.colours, numbers.log_colours)
    for state, marker in MARKERS.items():
        chosen = [index for index, point in enumerate(numbers.shown) if point.state == state]
        rates = [numbers.shown[index].rate for index in chosen]
        distortions = [numbers.shown[index].distortion for index in chosen]
        if chosen:
            drawn = axes.scatter(
                rates, distortions, c=numbers.colours[chosen], norm=norm, cmap="viridis", marker=marker,
                s=42, edgecolors="white", linewidths=0.6, zorder=3, label=state,
            )  # fmt: skip
    axes.margins(0.08)
    _iso_elbo_lines(axes, numbers.shown)
    bar = figure.colorbar(drawn, ax=axes, label=numbers.colour_name, fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    if numbers.log_colours:
        ticks = log_ticks(float(numbers.colours.min()), float(numbers.colours.max()))
        bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        bar.minorticks_off()
    axes.set_xlabel("rate R (nats per image)")
    axes.set_ylabel("distortion D (nats per image)")
    handles = _state_handles([point.state for point in numbers.shown], MUTED)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(MARKERS))
    return figure


def _norm(colours: np.ndarray, log: bool) -> Normalize:
    low, high = float(colours.min()), float(colours.max())
    if low == high:
        margin = 0.1 * abs(low) or 0.5
        low, high = low - margin, high + margin
    return LogNorm(low, high) if log else Normalize(low, high)


def _iso_elbo_lines(axes: Axes, shown: list[study.Point]) -> None:
    """Dashed lines of equal ELBO = -(D + R) over what the axes show, each with its value away from the points."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    rate, distortion = np.meshgrid(np.linspace(left, right, 100), np.linspace(bottom, top, 100))  # clabel wants many
    levels = MaxNLocator(14, steps=[1, 2, 5, 10]).tick_values(-(right + top), -(left + bottom))
    lines = axes.contour(
        rate, distortion, -(rate + distortion), levels=levels, colors="#b5b5b5", linestyles="dashed", linewidths=0.8
    )
    points = np.array([(point.rate, point.distortion) for point in shown])
    free = [study.free_place(level, points, (left, bottom), (right, top)) for level in levels]
    places = [place for place in free if place is not None]
    axes.clabel(
        lines, fmt=lambda level: f"ELBO {signed(level, _decimals(levels))}", fontsize=7, colors=MUTED, manual=places
    )
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _decimals(levels: Sequence[float]) -> int:
    step = float(levels[1] - levels[0]) if len(levels) > 1 else 1.0
    return max(0, math.ceil(-math.log10(step)))


def _hidden_note(n_hidden: int) -> str:
    return f"\n{n_hidden} trial{'s' * (n_hidden > 1)} far below the rest not shown" if n_hidden else ""


def _state_handles(states: Sequence[State], colour: str | None = None) -> list[Line2D]:
    return [
        Line2D([], [], ls="", marker=marker, color=colour or COLOURS[state], ms=6, mew=0, label=state)
        for state, marker in MARKERS.items()
        if state in states
    ]


@styled
def draw_history(numbers: study.History, about: str) -> Figure:
    title = "Optimisation history"
    if not numbers.points:
        return message_figure(title, about, NO_TRIAL)
    figure = new_figure(title, about, 3.8)
    axes = figure.subplots()
    counts = [point.number for point in numbers.points]
    running = np.where(np.isfinite(numbers.best_so_far), numbers.best_so_far, np.nan)
    axes.step([*counts, numbers.n_trials], [*running, running[-1]], where="post", color=INK, lw=1.2, zorder=2)
    _scatter_states(axes, [(point.number, point) for point in numbers.points], numbers.floor)
    axes.set_xlim(0.5, numbers.n_trials + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial, in the order of their start")
    axes.set_ylabel(ELBO_LABEL)
    best = Line2D([], [], color=INK, lw=1.2, label="best so far")
    axes.legend(handles=[*_state_handles([point.state for point in numbers.points]), best])
    return figure


def _scatter_states(axes: Axes, placed: list[tuple[float, study.Point]], floor: float) -> None:
    """Trials by state; one below `floor` sits on the lower edge with an arrow down."""
    for x, point in placed:
        if point.elbo >= floor:
            style = {"marker": MARKERS[point.state], "s": 30, "edgecolors": "white", "linewidths": 0.5}
            axes.scatter(x, point.elbo, color=COLOURS[point.state], zorder=3, **style)  # type: ignore[arg-type]
        else:
            axes.annotate(
                "", (x, 0), (x, 0.06), xycoords=axes.get_xaxis_transform(), textcoords=axes.get_xaxis_transform(),
                arrowprops={"arrowstyle": "->", "color": COLOURS[point.state]},
            )  # fmt: skip
    shown = [point.elbo for _, point in placed if point.elbo >= floor]
    if shown:
        margin = 0.07 * (max(shown) - min(shown)) or 1.0
        axes.set_ylim(min(shown) - margin, max(shown) + margin)


@styled
def draw_importance(numbers: study.Importance, about: str) -> Figure:
    title = "Parameter importance for the validation ELBO"
    if numbers.why_not:
        return message_figure(title, about, numbers.why_not)
    when = "complete trials" if numbers.by_epoch is None else f"trials, by epoch {numbers.by_epoch}, which all reached,"
    note = f"PED-ANOVA: what sets the best {numbers.n_top} of {numbers.n_trials} {when} apart"
    figure = new_figure(title, f"{about}\n{note}", 0.8 + 0.34 * len(numbers.shares))
    axes = figure.subplots()
    names, shares = list(numbers.shares)[::-1], list(numbers.shares.values())[::-1]
    bars = axes.barh(names, shares, color=VALIDATION, height=0.65)
    axes.bar_label(bars, [f"{share:.0%}" for share in shares], padding=3, fontsize=8)
    axes.set_xlim(0, max(shares) * 1.12)
    axes.set_xlabel("share of the importance")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return figure


@styled
def draw_slices(numbers: list[study.Slice], about: str) -> Figure:
    title = "Hyperparameters against the validation ELBO"
    if not numbers:
        return message_figure(title, about, "No trial of this sweep has finished an epoch, or it searches nothing.")
    n_columns = min(MAX_COLUMNS if len(numbers) != 4 else 2, len(numbers))
    n_rows = math.ceil(len(numbers) / n_columns)
    figure = new_figure(title, about, 2.6 * n_rows, WIDTH if n_columns > 1 else 5.0)
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for axes, one in zip(grid.flat, numbers, strict=False):
        _draw_slice(axes, one)
    for axes in list(grid.flat)[len(numbers) :]:
        axes.set_visible(False)
    figure.supylabel(ELBO_LABEL, fontsize=9)
    states = [point.state for one in numbers for point in one.points]
    figure.legend(handles=_state_handles(states), loc="outside lower center", ncols=len(MARKERS))
    return figure


def _draw_slice(axes: Axes, numbers: study.Slice) -> None:
    if numbers.choices is None:
        placed = [(float(point.params[numbers.name]), point) for point in numbers.points]
    else:
        order = [str(choice) for choice in numbers.choices]
        known = [point for point in numbers.points if str(point.params[numbers.name]) in order]
        placed = [(order.index(str(point.params[numbers.name])) + _spread(point), point) for point in known]
        axes.set_xticks(range(len(order)), order)
        axes.set_xlim(-0.5, len(order) - 0.5)
    _scatter_states(axes, placed, numbers.floor)
    if numbers.log:
        axes.set_xscale("log")
        ticks = log_ticks(*axes.get_xlim(), n_most=4)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(numbers.name)


def _spread(point: study.Point) -> float:
    """Trials of one choice side by side, the golden ratio apart: no random number."""
    return (point.number * 0.618034 % 1 - 0.5) * 0.5
