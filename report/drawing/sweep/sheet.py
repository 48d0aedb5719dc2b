"""The compared models of a sweep side by side, drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

from report.drawing.style import MUTED, category_colours, message_figure, new_figure, signed, styled, without_axes
from report.drawing.tiles import GAP as GAP_OF_SMALL
from report.drawing.tiles import SMALL, tile
from report.labels import filled
from report.models.image_choice import MAX_CLASSES
from report.numbers.checkpoint.latents import Latents
from report.numbers.checkpoint.manifold import Manifold
from report.numbers.sweep.sheet import Sheet, SheetColumn

RECONSTRUCTION = "reconstruction"
TITLE = "The compared models side by side"
NO_MODEL = "No compared trial has left a model that can be read."
WIDTH, GAP, LEFT, RIGHT = 1.75, 0.32, 1.35, 0.15  # inches: a column, the gap, the row names, the margin
ROW_GAP, LINE, TICKS, LEGEND = 0.16, 0.15, 0.08, 0.4  # inches: between rows, a line of text, below all rows
LEAST_WIDTH = 6.0  # inches: title and legend need as much above one or two columns
IMAGES_PER_ROW = 5
CHARACTERS, MAX_LINES = 21, 3  # of a column's name: in a line, and how many parts may have a line each
UNITS = "numbers: validation, nats per image"
PRIOR_RADIUS = 2.0  # holds 86 % of a 2-D standard normal: 1 - exp(-radius^2 / 2)


@dataclass(frozen=True)
class Row:
    """A view that a column may have. value: what is drawn, None if the model has no such view; then lacks says why.

    word: below one column's picture, what the row's name does not say of it.
    """

    name: str
    height: float
    value: Callable[[SheetColumn], Any]
    draw: Callable[[Axes, Any], None]
    lacks: str = ""
    word: Callable[[SheetColumn], str] = lambda _: ""


@styled
def draw_sheet(sheet: Sheet, about: str) -> Figure:
    """On the left the images that every model is given, then a column per model, one row per view.

    A view that more than half of the models lack has no row.
    """
    columns = sheet.columns
    if not columns:
        return message_figure(TITLE, about, NO_MODEL)
    rows = [row for row in _rows(columns) if 2 * _n_having(row, columns) >= len(columns)]
    names = _names(columns)
    n_lines = max(len(name.splitlines()) for name in names)
    header = LINE * (n_lines + max(len(_numbers(column).splitlines()) for column in columns)) + 0.12
    handles = _class_handles(columns) if any(row.draw is _draw_codes for row in rows) else []
    height = header + sum(row.height + ROW_GAP for row in rows) + (LEGEND if handles else TICKS)
    first = LEFT + (WIDTH + GAP) * _shows_inputs(rows)  # inches from the left to the first model
    width = max(first + len(columns) * (WIDTH + GAP) - GAP + RIGHT, LEAST_WIDTH)
    figure = new_figure(TITLE, about + _notes(columns, rows, sheet.rule), height, width)
    figure.set_layout_engine("none")  # every place is computed below
    if _shows_inputs(rows):
        _draw_inputs(figure, height, header, rows, columns[0])
    for number, (column, name) in enumerate(zip(columns, names, strict=True)):
        left = first + number * (WIDTH + GAP)
        _draw_header(figure, left, height, name, column)
        _draw_rows(figure, left, height - header, rows, column)
    _draw_row_names(figure, height - header, rows)
    if handles:
        figure.legend(handles=handles, loc="lower center", ncols=len(handles), handletextpad=0.1, columnspacing=1.0)
    return figure


def _rows(columns: Sequence[SheetColumn]) -> list[Row]:
    n_images, height, width = columns[0].inputs.shape
    per_row = min(IMAGES_PER_ROW, n_images)
    several, square = WIDTH * -(-n_images // per_row) * height / (per_row * width), WIDTH * height / width
    some_noise, some_prior = (any(getattr(one, name) for one in columns) for name in ("has_noise", "has_prior"))
    of_noise = Row("what the\nencoder sees", several, lambda one: one.seen, _draw_images)
    return [
        *([of_noise] if some_noise else []),
        Row(RECONSTRUCTION, several, lambda one: one.outputs, _draw_images, "no encoder"),
        Row("samples\nz ~ N(0, I)" if some_prior else "samples", square, lambda one: one.samples, _draw_images,
            word=lambda one: "" if one.has_prior else "z ~ a Gaussian fitted to the codes"),
        Row("manifold", square, lambda one: one.manifold, _draw_manifold, "not two latents"),
        Row("latents of\nheld-out images", WIDTH, _latents_and_prior, _draw_codes, "no codes in a plane"),
    ]  # fmt: skip


def _n_having(row: Row, columns: Sequence[SheetColumn]) -> int:
    return sum(row.value(column) is not None for column in columns)


def _shows_inputs(rows: Sequence[Row]) -> bool:
    """Whether there is something to compare them with: a decoder alone knows nothing of them."""
    return any(row.name == RECONSTRUCTION for row in rows)


def _draw_inputs(figure: Figure, height: float, header: float, rows: Sequence[Row], column: SheetColumn) -> None:
    """The held-out images, beside the reconstructions."""
    width = figure.get_size_inches()[0]
    figure.text((LEFT + WIDTH / 2) / width, height / figure.get_size_inches()[1], "held-out images",
                ha="center", va="top", fontsize=9, fontweight="bold")  # fmt: skip
    top = height - header
    for row in rows:
        if row.name == RECONSTRUCTION:
            _draw_images(_add_axes(figure, LEFT, top - row.height, row.height), column.inputs)
        top -= row.height + ROW_GAP


def _add_axes(figure: Figure, left: float, bottom: float, high: float) -> Axes:
    """Axes of a column's width, places in inches."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, bottom / height, WIDTH / width, high / height))
    without_axes(axes)
    return axes


def _latents_and_prior(column: SheetColumn) -> tuple[Latents, bool] | None:
    return None if column.latents is None else (column.latents, column.has_prior)


def _names(columns: Sequence[SheetColumn]) -> list[str]:
    """Each name on one line if all fit; otherwise all are broken between their parts."""
    if all(len(", ".join(column.parts)) <= CHARACTERS for column in columns):
        return [", ".join(column.parts) for column in columns]
    if max(len(column.parts) for column in columns) <= MAX_LINES:
        return ["\n".join(column.parts) for column in columns]
    return [filled(column.parts, CHARACTERS) for column in columns]


def _notes(columns: Sequence[SheetColumn], rows: Sequence[Row], rule: str) -> str:
    """The lines below the caption: what the columns do not say themselves."""
    drawn, notes = {row.name for row in rows}, [UNITS]
    planes = [column for column in columns if column.manifold is not None and "manifold" in drawn]
    if any(column.has_prior for column in planes):
        notes.append("manifold: over the prior, evenly in its probability")
    if any(not column.has_prior for column in planes):
        notes.append("manifold of an autoencoder: over the range of its codes")
    if any(column.latents is not None and column.has_prior for column in planes):
        notes.append("dashed circle: holds 86 % of the prior")
    lines = [rule] * bool(rule) + [" \N{MIDDLE DOT} ".join(notes)]
    return "".join(f"\n{line}" for line in lines)


def _draw_header(figure: Figure, left: float, top: float, name: str, column: SheetColumn) -> None:
    """Write the column's name, and below it its trial and its numbers on validation, in nats per image."""
    width, height = figure.get_size_inches()
    x, n_lines = (left + WIDTH / 2) / width, len(name.splitlines())
    figure.text(x, top / height, name, ha="center", va="top", fontsize=9, fontweight="bold", linespacing=1.15)
    below = (top - LINE * n_lines - 0.03) / height
    figure.text(x, below, _numbers(column), ha="center", va="top", fontsize=7.5, color=MUTED, linespacing=1.25)


def _numbers(column: SheetColumn) -> str:
    """'trial 0003', 'ELBO -104.21', and below these its rate and distortion; without a rate the distortion alone."""
    metrics, trial = column.metrics, f"trial {column.trial_id}"
    if metrics.val_elbo is None or metrics.val_rate is None:
        lines = [trial, f"distortion {signed(metrics.val_distortion)}"]
    else:
        rate, distortion = signed(metrics.val_rate, 1), signed(metrics.val_distortion, 1)
        lines = [trial, f"ELBO {signed(metrics.val_elbo)}", f"rate {rate}, distortion {distortion}"]
    if metrics.val_noisy_elbo is not None:
        lines.append(f"ELBO, corrupted input {signed(metrics.val_noisy_elbo)}")
    elif metrics.val_noisy_distortion is not None:
        lines.append(f"corrupted input {signed(metrics.val_noisy_distortion)}")
    return "\n".join(lines)


def _draw_rows(figure: Figure, left: float, top: float, rows: Sequence[Row], column: SheetColumn) -> None:
    for row in rows:
        top -= row.height + ROW_GAP
        axes = _add_axes(figure, left, top + ROW_GAP, row.height)
        value = row.value(column)
        if value is None:
            axes.text(0.5, 0.5, row.lacks, ha="center", va="center", color=MUTED, transform=axes.transAxes)
            continue
        row.draw(axes, value)
        if word := row.word(column):
            axes.set_xlabel(word, fontsize=6.5, labelpad=1.5, color=MUTED)


def _draw_row_names(figure: Figure, top: float, rows: Sequence[Row]) -> None:
    width, height = figure.get_size_inches()
    for row in rows:
        middle = top - row.height / 2
        figure.text((LEFT - GAP) / width, middle / height, row.name, ha="right", va="center", fontsize=8.5)
        top -= row.height + ROW_GAP


def _draw_images(axes: Axes, images: np.ndarray) -> None:
    _show(axes, tile(images, min(IMAGES_PER_ROW, len(images))))


def _draw_manifold(axes: Axes, manifold: Manifold) -> None:
    n_columns, height, width = manifold.images.shape[1:]
    gap = GAP_OF_SMALL if height <= SMALL else 0  # larger images end in a margin of their own
    _show(axes, tile(manifold.images.reshape(-1, height, width), n_columns, gap))


def _show(axes: Axes, picture: np.ndarray) -> None:
    """Antialias, because a pixel of the picture may not be a whole number of the figure's pixels."""
    axes.imshow(picture, vmin=0, vmax=255, aspect="auto", interpolation="antialiased")


def _draw_codes(axes: Axes, value: tuple[Latents, bool]) -> None:
    """The codes, coloured by class, on equal axes; each model has its own range."""
    latents, has_prior = value
    classes = np.unique(latents.labels)
    colours = np.array(category_colours(len(classes)))[np.searchsorted(classes, latents.labels)]
    axes.scatter(latents.z[:, 0], latents.z[:, 1], s=3, c=colours, linewidths=0)
    if has_prior:
        axes.add_patch(Circle((0, 0), PRIOR_RADIUS, fill=False, ls="--", lw=0.8, color=MUTED))
    axes.set_aspect("equal", adjustable="datalim")
    axes.xaxis.set_major_locator(MaxNLocator(5, prune="both"))
    axes.yaxis.set_major_locator(MaxNLocator(5, prune="both"))
    axes.tick_params(length=0, labelsize=6, labelcolor=MUTED, pad=1)
    axes.grid(color="#ececec", lw=0.6)
    axes.set_axisbelow(True)


def _class_handles(columns: Sequence[SheetColumn]) -> list[Line2D]:
    """For the legend of the scatter plots; none without a scatter plot, without classes, or with too many classes."""
    latents = next((column.latents for column in columns if column.latents is not None), None)
    classes = np.unique(latents.labels) if latents is not None else np.array([])
    if latents is None or not 1 < len(classes) <= MAX_CLASSES:
        return []
    named = zip(category_colours(len(classes)), classes, strict=True)
    return [
        Line2D([], [], ls="", marker="o", ms=4, mew=0, color=colour, label=_class_name(latents, int(label)))
        for colour, label in named
    ]


def _class_name(latents: Latents, label: int) -> str:
    return latents.class_names[label] if latents.class_names else str(label)
