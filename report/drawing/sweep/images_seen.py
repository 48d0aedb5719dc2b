"""The lower bound against the number of training images seen, drawn."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from report.drawing.markers import DASH, NO_TRIAL, line_handles
from report.drawing.style import category_colours, legend_beside, log_ticks, message_figure, new_figure, styled
from report.labels import BETA, filled
from report.numbers.sweep.images_seen import ImagesSeen

MOST_MARKED = 20  # epochs: longer curves have no marker at each
CHARACTERS = 26  # in a line of the legend


@styled
def draw_images_seen(numbers: ImagesSeen, about: str) -> Figure:
    """After Kingma & Welling 2013, figure 2: one colour per trial, training solid, validation dashed."""
    what = "Lower bound" if numbers.is_elbo else "Distortion"
    title = f"{what} against training images seen"
    if not numbers.curves:
        return message_figure(title, about, NO_TRIAL)
    figure = new_figure(title, about + _notes(numbers), 4.0)
    axes = figure.subplots()
    marker = "." if max(len(curve.images_seen) for curve in numbers.curves) <= MOST_MARKED else ""
    for curve, colour in zip(numbers.curves, category_colours(len(numbers.curves)), strict=True):
        axes.plot(
            curve.images_seen, curve.train, color=colour, marker=marker, lw=1.3, label=filled(curve.parts, CHARACTERS)
        )
        axes.plot(curve.images_seen, curve.validation, color=colour, marker=marker, lw=1.3, ls=DASH)
    axes.set_xscale("log")
    seen = np.concatenate([curve.images_seen for curve in numbers.curves])
    low, high = float(seen.min()), float(seen.max())
    axes.set_xlim(low / 1.08, high * 1.08 if high > low else low * 10)
    ticks = log_ticks(*axes.get_xlim(), n_most=6)
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(*numbers.limits)
    axes.set_xlabel("training images seen (epochs \N{MULTIPLICATION SIGN} images of the training split)")
    axes.set_ylabel(f"{f'ELBO at {BETA} = 1' if numbers.is_elbo else 'distortion'} (nats per image)")
    legend_beside(axes)
    figure.legend(handles=line_handles("train", "validation"), loc="outside lower center", ncols=2)
    return figure


def _notes(numbers: ImagesSeen) -> str:
    notes = [numbers.rule] if numbers.rule else []
    if numbers.has_noise:
        notes.append("of models with input noise: from the corrupted input, in training and in validation")
    return "".join(f"\n{note}" for note in notes)
