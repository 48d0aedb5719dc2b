"""The lower bound against the number of training images seen, drawn."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from report.drawing.markers import DASH, NO_TRIAL, line_handles
from report.drawing.style import (
    TRAIN_IS_A_MEAN,
    category_colours,
    legend_beside,
    log_ticks,
    message_figure,
    new_figure,
    styled,
)
from report.labels import BETA
from report.numbers.sweep.images_seen import Curve, ImagesSeen

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
    labels, palette = _labels(numbers.curves), category_colours(len(numbers.curves))
    for curve, label, colour in zip(numbers.curves, labels, palette, strict=True):
        axes.plot(curve.images_seen, curve.train, color=colour, marker=marker, lw=1.3, label=label)
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


def _labels(curves: Sequence[Curve]) -> list[str]:
    """What sets the trials apart, if a line of the legend holds it for each of them; else their names."""
    labels = [", ".join(curve.parts) for curve in curves]
    if max(map(len, labels)) <= CHARACTERS:
        return labels
    return [f"trial {curve.trial_id}" for curve in curves]


def _notes(numbers: ImagesSeen) -> str:
    notes = [numbers.rule] if numbers.rule else []
    notes.append(TRAIN_IS_A_MEAN)
    if numbers.has_noise:
        notes.append("of models with input noise: from the corrupted input, in training and in validation")
    return "".join(f"\n{note}" for note in notes)
