"""What another seed does: every trial of each configuration, with their mean and spread, drawn."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from report.drawing.markers import counted
from report.drawing.style import INK, VALIDATION, message_figure, new_figure, styled
from report.labels import named
from report.numbers.sweep.scores import Repeats

MAX_ROWS = 30
ROW = 0.36  # inches
ABOVE = 0.22  # of a row: the dots of the trials over the bar of their mean


@styled
def draw_repeats(numbers: Repeats, about: str) -> Figure:
    """A row per configuration, best mean on top."""
    title = f"Seeds: the validation {numbers.metric.name} of each trial, by configuration"
    if not numbers.configurations:
        return message_figure(title, about, "No configuration of this sweep has a trial in each of its seeds.")
    shown, sign = numbers.configurations[:MAX_ROWS], numbers.metric.sign
    figure = new_figure(title, about + _note(numbers), 0.75 + ROW * max(len(shown), 2))
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


def _note(numbers: Repeats) -> str:
    counts = sorted({len(one.scores) for one in numbers.configurations})
    notes = [f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "") + " seeds, best mean first"]
    if len(numbers.configurations) > MAX_ROWS:
        notes.append(f"the best {MAX_ROWS} of {len(numbers.configurations)} configurations")
    if numbers.n_failed:
        notes.append(f"{counted(numbers.n_failed, 'configuration')} with a failed trial not shown")
    return "\n" + " \N{MIDDLE DOT} ".join(notes)


def _labels(every: Sequence[dict[str, Any]]) -> list[str]:
    """The values that differ, or all of one."""
    names = list(dict.fromkeys(name for params in every for name in params))
    varying = [name for name in names if len({str(params.get(name)) for params in every}) > 1] or names
    labels = [", ".join(named(name, params[name]) for name in varying if name in params) for params in every]
    return [label or "the one configuration" for label in labels]
