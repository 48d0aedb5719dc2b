"""ELBO, rate and distortion of every epoch, drawn."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from report.drawing.style import (
    HIGHLIGHT,
    NOISY,
    TRAIN,
    TRAIN_IS_A_MEAN,
    VALIDATION,
    message_figure,
    new_figure,
    signed,
    styled,
)
from report.numbers.checkpoint.learning_curves import LearningCurves, worth_showing

TITLES = {"elbo": "ELBO at \N{GREEK SMALL LETTER BETA} = 1", "rate": "rate R", "distortion": "distortion D"}
LOOKS = {"train": (TRAIN, "-"), "validation": (VALIDATION, "-"), "validation, corrupted input": (NOISY, "--")}


@styled
def draw_learning_curves(numbers: LearningCurves, about: str) -> Figure:
    """One panel for each of ELBO, rate and distortion that the model has."""
    title = "Learning curves"
    if len(numbers.epochs) == 0:
        return message_figure(title, about, "There is no history beside this model.")
    note = (
        f"\nabove each panel: validation, at epoch {numbers.best.epoch}, whose weights these are"
        if numbers.best
        else ""
    )
    n_panels = len(numbers.curves)
    figure = new_figure(title, f"{about}{note}\n{TRAIN_IS_A_MEAN}", 3.3, 8.4 if n_panels > 1 else 5.6)
    for axes, (term, curves) in zip(
        figure.subplots(1, n_panels, squeeze=False)[0], numbers.curves.items(), strict=True
    ):
        _draw_panel(axes, numbers, term, curves)
    figure.axes[0].set_ylabel("nats per image")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _draw_panel(axes: Axes, numbers: LearningCurves, term: str, curves: dict[str, np.ndarray]) -> None:
    for label, values in curves.items():
        colour, line = LOOKS[label]
        axes.plot(numbers.epochs, values, line, color=colour, label=label, marker="." if len(values) < 4 else "")
    axes.set_title(TITLES[term])
    if numbers.best is not None:
        value = getattr(numbers.best, f"val_{term}")
        axes.plot(numbers.best.epoch, value, "o", color=HIGHLIGHT, ms=5, label=f"epoch {numbers.best.epoch}")
        axes.set_title(f"{TITLES[term]}: {signed(value)}")
    axes.set_ylim(*worth_showing(list(curves.values())))
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
