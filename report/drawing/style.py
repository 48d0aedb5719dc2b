"""The style that all figures share, and a figure as a PNG. Figures are made without pyplot or other global state."""

import io
import math
import re
from collections.abc import Sequence
from typing import Any, Literal, get_args

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

Format = Literal["png", "pdf", "svg"]
FORMATS: tuple[Format, ...] = get_args(Format)
DPI = 160
WIDTH = 7.0  # inches: a text column of a page
MARGIN = 0.05  # inches
CHARACTERS_PER_INCH = 16  # in the subtitle
TRAIN_IS_A_MEAN = "train: mean over each epoch, while the weights move; validation: with the weights at its end"
INK, MUTED, FAINT = "#222222", "#6b6b6b", "#d9d9d9"
TRAIN, VALIDATION, NOISY, HIGHLIGHT = "#e76300", "#3f90da", "#832db6", "#bd1f01"
# The first two are of Okabe & Ito 2008; the others were searched so that any two stay apart for people without red or
# green cones (CIEDE2000 of 15 and more) and each stands out from white (contrast of 2 and more).
CATEGORIES = (
    "#0072b2", "#e69f00", "#70381c", "#008c70", "#111111", "#fc8cfc", "#fc1c70", "#8c0054", "#a8a8a8", "#8c7000",
)  # fmt: skip
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "image.interpolation": "nearest",
    "image.cmap": "gray",
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",
    "svg.hashsalt": "report",  # the same figure is the same file
}


def _without_its_light_end(name: str, stop: float) -> ListedColormap:
    """A map of matplotlib up to where its colours no longer stand out from white, at a contrast of 2."""
    return ListedColormap(matplotlib.colormaps[name](np.linspace(0, stop, 256)), f"{name} to {stop}")


OF_VALUES = _without_its_light_end("viridis", 0.74)
OF_TIME = _without_its_light_end("cividis", 0.78)  # readable with every common colour vision deficiency (Nunez 2018)

styled = matplotlib.rc_context(STYLE)  # a decorator: what the function draws has the style


def new_figure(title: str, subtitle: str, height: float, width: float = WIDTH) -> Figure:
    """title: in bold; subtitle: below it, which model it is of. height, width: inches of what is drawn below both."""
    subtitle = wrapped(subtitle, int(width * CHARACTERS_PER_INCH))
    top = 0.36 + 0.16 * len(subtitle.splitlines())
    total = height + top
    figure = Figure(figsize=(width, total), layout="constrained")
    engine = figure.get_layout_engine()
    engine.set(rect=(0, 0, 1, height / total))  # type: ignore[union-attr,call-arg]
    figure.text(0.08 / width, 1 - 0.08 / total, title, fontsize=11, fontweight="bold", va="top")
    figure.text(0.08 / width, 1 - 0.30 / total, subtitle, fontsize=8, color=MUTED, va="top", linespacing=1.35)
    return figure


def fit_height(figure: Figure) -> Figure:
    """Cut a figure of images to its height, which is known only once everything beside the images is laid out.

    The figure must have been made higher than needed; what is drawn moves up to the subtitle.
    """
    lay_out(figure)
    engine = figure.get_layout_engine()
    width, before = figure.get_size_inches()
    header = before * (1 - engine.get()["rect"][3])  # type: ignore[union-attr]
    boxes = [box for box in (axes.get_tightbbox() for axes in figure.axes) if box is not None]
    bottom, top = (min(box.y0 for box in boxes) / figure.dpi, max(box.y1 for box in boxes) / figure.dpi)
    after = header + (top - bottom) + 2 * MARGIN
    figure.set_layout_engine("none")
    for axes in figure.axes:
        place = axes.get_position()
        low = (place.y0 * before + after - header - MARGIN - top) / after
        axes.set_position((place.x0, low, place.width, place.height * before / after))
    for text in figure.texts:
        text.set_y(1 - (1 - text.get_position()[1]) * before / after)
    figure.set_size_inches(width, after)
    return figure


def lay_out(figure: Figure) -> None:
    """Move everything to its place without drawing, which would resample every image for nothing."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)


def wrapped(text: str, n_characters: int) -> str:
    """Break lines that are too long, always after a dot or a semicolon between two facts."""
    lines: list[str] = []
    for line in text.splitlines():
        current = ""
        for part in re.split(r"(?<=[\u00b7;]) ", line):
            if current and len(current) + 1 + len(part) > n_characters:
                lines.append(current.removesuffix(" \u00b7"))
                current = part
            else:
                current = f"{current} {part}".strip()
        lines.append(current)
    return "\n".join(lines)


def message_figure(title: str, subtitle: str, sentence: str) -> Figure:
    """In place of a figure that cannot be drawn, a sentence that says why."""
    figure = new_figure(title, subtitle, 1.4)
    figure.text(0.5, 0.3, sentence, ha="center", va="center", color=MUTED)
    return figure


def signed(value: float, digits: int = 2) -> str:
    """A number with a true minus sign; none before a zero."""
    return f"{value:z.{digits}f}".replace("-", "\N{MINUS SIGN}")


def shortened(text: str, n_characters: int) -> str:
    return text if len(text) <= n_characters else text[: n_characters - 1] + "\N{HORIZONTAL ELLIPSIS}"


def without_axes(axes: Axes) -> None:
    """For images: no frame and no ticks; the caller sets its own."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.set_yticks([])


def legend_beside(axes: Axes, title: str = "", n_columns: int = 1) -> None:
    axes.legend(title=title or None, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, ncols=n_columns)


def log_ticks(low: float, high: float, n_most: int = 5) -> list[float]:
    """Where to write plain numbers on a logarithmic axis from low to high: at most n_most places.

    matplotlib would write powers of ten if the axis holds several, and 2 x 10^2 if it holds none.
    """
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**exponent for exponent in exponents for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= n_most:
            return ticks
    return ticks[:: math.ceil(len(ticks) / n_most)]


def category_colours(n: int) -> Sequence[str]:
    """One colour per category; beyond ten they repeat, and only the labels tell the categories apart."""
    return [CATEGORIES[index % len(CATEGORIES)] for index in range(n)]


def render(figure: Figure, kind: Format = "png") -> bytes:
    """The figure as the bytes of a file of this format."""
    if kind == "png":
        return _png(figure)
    content = io.BytesIO()
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
    with matplotlib.rc_context(STYLE):
        figure.savefig(content, format=kind, dpi=DPI, metadata=undated)
    return content.getvalue()


def _png(figure: Figure) -> bytes:
    """Drawn once. savefig draws a figure twice, first without showing it, for layouts that its own pass moves."""
    content = io.BytesIO()
    figure.set_dpi(DPI)
    with matplotlib.rc_context(STYLE):
        FigureCanvasAgg(figure).print_png(content)  # type: ignore[no-untyped-call]
    return content.getvalue()
