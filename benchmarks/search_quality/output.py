"""The table and the picture of what searches found."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter

from benchmarks.search_quality.numbers import Run, epochs_until, median_interval, paired, quartiles, regret
from vae.files import LocalFiles

WITHIN = 0.3  # nats of the best known
REFERENCE = "TPE + ASHA 3/3"  # what beta_study does: the others are compared with it, seed by seed
SHOWN = 8  # searches in a picture, beside the first; more cannot be told apart


def names_of(runs: Sequence[Run]) -> list[str]:
    """The searches, in the order in which they first ran."""
    return list(dict.fromkeys(run.search for run in runs))


def table(runs: Sequence[Run], best: float, within: float = WITHIN) -> str:
    """A table for each number of slots: Markdown."""
    parts = []
    for slots in sorted({run.slots for run in runs}):
        here = [run for run in runs if run.slots == slots]
        budget = max(run.budget for run in here)
        at = [budget // 4, budget // 2, budget]
        heads = [
            "search",
            "sweeps",
            "trials (complete)",
            *(f"regret at {n} trial-epochs" for n in at),
            f"95 % of its median at {budget}",
            f"larger than {REFERENCE}'s at {budget}, same seeds",
            f"trial-epochs until within {within} nats",
            "reached",
        ]
        usual = {run.seed: regret(run.found.steps, best, budget) for run in here if run.search == REFERENCE}
        rows = [
            _row(name, [run for run in here if run.search == name], best, at, within, usual) for name in names_of(here)
        ]
        lines = [f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows]]
        parts.append("\n".join([f"### {slots} slot{'s' if slots > 1 else ''}", "", *lines]))
    return "\n\n".join(parts)


def _row(
    name: str, runs: Sequence[Run], best: float, at: Sequence[int], within: float, usual: dict[int, float]
) -> list[str]:
    n_trials, n_complete = (np.median([getattr(run.found, of) for run in runs]) for of in ("n_trials", "n_complete"))
    regrets = [[regret(run.found.steps, best, n) for run in runs] for n in at]
    until = [epochs_until(run.found.steps, best, within) for run in runs]
    low, high = median_interval(regrets[-1])
    difference = paired(dict(zip((run.seed for run in runs), regrets[-1], strict=True)), usual)
    return [
        name,
        str(len(runs)),
        f"{n_trials:.0f} ({n_complete:.0f})",
        *(_spread(values, ".2f") for values in regrets),
        f"{low:.2f} to {high:.2f}",
        "" if name == REFERENCE or difference is None else f"{difference[0]:+.2f} ± {difference[1]:.2f}",
        _spread(until, ".0f"),
        f"{sum(map(math.isfinite, until))} of {len(until)}",
    ]


def _spread(values: Sequence[float], form: str) -> str:
    median, low, high = (format(value, form) if math.isfinite(value) else "not" for value in quartiles(values))
    return median if low == high else f"{median} ({low} to {high})"


def draw(runs: Sequence[Run], best: float, file: Path, shown: Sequence[str]) -> None:
    """Median regret against trial-epochs, and its quartiles where few lines are; a panel for each number of slots."""
    slots = sorted({run.slots for run in runs})
    figure, panels = plt.subplots(
        1, len(slots), figsize=(5 * len(slots) + 3, 5), sharey=True, squeeze=False, layout="constrained"
    )
    colours = plt.get_cmap("tab10")
    for axes, n_slots in zip(panels[0], slots, strict=True):
        for place, name in enumerate(shown):
            here = [run for run in runs if run.slots == n_slots and run.search == name]
            if here:
                _draw_line(axes, here, best, name, colours(place % 10))
        axes.set(title=f"{n_slots} slot{'s' if n_slots > 1 else ''}", xlabel="trial-epochs", yscale="log")
        axes.yaxis.set_major_locator(FixedLocator([0.1, 0.3, 1, 3, 10, 30]))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.axhline(WITHIN, color="0.4", linewidth=0.8, linestyle=":")
        axes.grid(alpha=0.25, which="both")
    panels[0][0].set_ylabel("regret, nats (median, quartiles)")
    figure.legend(
        *panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(slots) + 1, frameon=False
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)
    plt.close(figure)


def _draw_line(axes: Axes, runs: Sequence[Run], best: float, name: str, colour: tuple[float, ...]) -> None:
    budget = max(run.budget for run in runs)
    at = np.unique(np.linspace(max(30, budget // 20), budget, 60).astype(int))
    spread = np.array([quartiles([regret(run.found.steps, best, n) for run in runs]) for n in at])
    style = "--" if ":" in name else "-"
    axes.plot(at, spread[:, 0], style, color=colour, label=f"{name} (n={len(runs)})", linewidth=1.8)
    axes.fill_between(at, spread[:, 1], spread[:, 2], color=colour, alpha=0.10, linewidth=0)


def write_results(file: Path, title: str, above: Sequence[str], runs: Sequence[Run], best: float, picture: str) -> None:
    """The Markdown file of a measurement: the picture lies beside it."""
    text = "\n".join(
        [
            f"# {title}",
            "",
            *above,
            "",
            f"![Median regret against trial-epochs, a line for each search with its quartiles]({picture})",
            "",
            table(runs, best),
            "",
        ]
    )
    LocalFiles(file.parent).write(file.name, text.encode())
