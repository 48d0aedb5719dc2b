"""The rate by latent, and the numbers of every epoch, drawn."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from report.drawing.style import FAINT, HIGHLIGHT, NOISY, TRAIN, VALIDATION, message_figure, new_figure, signed, styled
from report.numbers.checkpoint.curves import KlPerDimension, LearningCurves, worth_showing

MAX_BARS = 64  # more latents than this are drawn as one curve
TITLES = {"elbo": "ELBO at \N{GREEK SMALL LETTER BETA} = 1", "rate": "rate R", "distortion": "distortion D"}
LOOKS = {"train": (TRAIN, "-"), "validation": (VALIDATION, "-"), "validation, corrupted input": (NOISY, "--")}


@styled
def draw_kl_per_dimension(numbers: KlPerDimension, about: str) -> Figure:
    """Sorted bars; beyond MAX_BARS latents one outline."""
    n_latents = len(numbers.kl)
    figure = new_figure("KL of each latent dimension", about, 3.6)
    axes = figure.subplots()
    places = np.arange(n_latents)
    width = 0.8 if n_latents <= MAX_BARS else 1.0
    handles = []
    for active, colour, name in ((True, VALIDATION, "active"), (False, FAINT, "not active")):
        chosen = numbers.active == active
        axes.bar(places[chosen], numbers.kl[chosen], width, color=colour)
        handles.append(Patch(color=colour, label=f"{name}: {chosen.sum()} of {n_latents}"))
    axes.set_ylabel("KL (nats per image)")
    axes.set_xlabel("latent dimension, highest KL first")
    _name_bars(axes, numbers.dimensions)
    axes.set_xlim(-0.6, max(n_latents, 8) - 0.4)
    axes.legend(
        handles=handles, title=f"rate R = {numbers.kl.sum():.2f} nats\nactive: Var[E[z | x]] > 0.01", alignment="left"
    )
    return figure


def _name_bars(axes: Axes, dimensions: np.ndarray) -> None:
    if len(dimensions) <= 32:
        axes.set_xticks(range(len(dimensions)), [f"z{index}" for index in dimensions])
        axes.tick_params(axis="x", length=0, labelsize=8 if len(dimensions) <= 20 else 6.5)


@styled
def draw_learning_curves(numbers: LearningCurves, about: str) -> Figure:
    """A panel for each of ELBO, rate and distortion that the model has."""
    title = "Learning curves"
    if len(numbers.epochs) == 0:
        return message_figure(title, about, "There is no history beside this model.")
    note = (
        f"\nabove each panel: validation, at epoch {numbers.best.epoch}, whose weights these are"
        if numbers.best
        else ""
    )
    n_panels = len(numbers.curves)
    figure = new_figure(title, about + note, 3.3, 8.4 if n_panels > 1 else 5.6)
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
