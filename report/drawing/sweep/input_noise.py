"""What noise on the input costs, drawn."""

from matplotlib.figure import Figure

from report.drawing.markers import DASH, line_handles
from report.drawing.style import INK, category_colours, legend_beside, new_figure, styled
from report.labels import words
from report.numbers.sweep.input_noise import InputNoise

FACTOR = "noise factor of training and of the corrupted input\n(gaussian: standard deviation; salt and pepper: share)"


@styled
def draw_input_noise(numbers: InputNoise, about: str) -> Figure:
    """One colour per kind of noise; clean inputs solid, corrupted ones dashed."""
    what = "ELBO" if numbers.is_elbo else "distortion"
    figure = new_figure(f"Clean and corrupted inputs: the validation {what}", about, 3.8)
    axes = figure.subplots()
    for curve, colour in zip(numbers.curves, category_colours(len(numbers.curves)), strict=True):
        axes.plot(curve.factors, curve.clean, "o-", color=colour, ms=4, lw=1.3, label=words(curve.noise))
        axes.plot(curve.factors, curve.corrupted, "o", color=colour, ms=4, lw=1.3, ls=DASH)
    if numbers.without is not None:
        axes.axhline(numbers.without, color=INK, lw=1.1, ls=":", label="none")
    axes.set_xlabel(FACTOR)
    axes.set_ylabel(f"validation {what} (nats per image)")
    legend_beside(axes, "noise")
    figure.legend(handles=line_handles("clean input", "corrupted input"), loc="outside lower center", ncols=2)
    return figure
