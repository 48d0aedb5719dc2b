"""The latents of held-out images, drawn: the codes as points, and the KL of each latent as a bar."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from report.drawing.checkpoint.manifold import latent_name
from report.drawing.style import (
    FAINT,
    OF_TIME,
    VALIDATION,
    category_colours,
    lay_out,
    legend_beside,
    new_figure,
    shortened,
    styled,
)
from report.models.image_choice import MAX_CLASSES
from report.numbers.checkpoint.latents import KlPerDimension, Latents, name_places

HALO = [withStroke(linewidth=3, foreground="white")]
MAX_NAMES = 30  # of classes, written beside their points
LONGEST_NAME = 24  # characters
HEIGHT, WIDTH = 5.6, 6.4  # inches
MOST_NAMED = 32  # latents: more are counted, from the one with the highest KL
MAX_BARS = 64  # more latents than this are drawn as one outline


@styled
def draw_latents(numbers: Latents, about: str) -> Figure:
    """Points coloured by class, or by their place in the split. One latent: one row per class."""
    by = {"none": "", "PCA": ": principal components", "t-SNE": ": t-SNE"}[numbers.projection]
    figure = new_figure(
        f"Latents of held-out images{by}", "\n".join([about, *_notes(numbers)]), HEIGHT, _width(numbers)
    )
    axes = figure.subplots()
    if numbers.z.shape[1] == 1:
        (_draw_rows if _has_classes(numbers) else _draw_over_time)(axes, numbers)
    else:
        (_draw_classes if _has_classes(numbers) else _draw_places)(axes, numbers)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_ylabel(_axis(numbers, 1))
    axes.set_xlabel(_axis(numbers, 0))
    lay_out(figure)  # the equal aspect moves the limits; the next layout then knows the ticks of the new limits
    return figure


def _width(numbers: Latents) -> float:
    """In inches: wider where the names of the classes are long."""
    longest = max((len(name) for name in numbers.class_names), default=0)
    return WIDTH + 0.07 * max(0, min(longest, LONGEST_NAME) - 8)


def _notes(numbers: Latents) -> list[str]:
    """A line below the caption on how many images are drawn and how they were projected; [] if all, as they are."""
    n_points = len(numbers.z)
    parts = [f"{n_points:,} of the images, evenly spread"] if n_points < numbers.n_images else []
    if numbers.projection == "PCA":
        parts.append(f"the first two principal components of {numbers.latent_size} latents")
    elif numbers.projection == "t-SNE":
        parts.append(f"{numbers.latent_size} latents, perplexity {numbers.perplexity:g}")
        parts.append("what is near is alike, distances further apart mean nothing")
    return ["; ".join(parts)] if parts else []


def _has_classes(numbers: Latents) -> bool:
    return len(numbers.class_names) > 1 and len(np.unique(numbers.labels)) > 1


def _axis(numbers: Latents, place: int) -> str:
    if numbers.projection == "PCA":
        return f"principal component {place + 1}   ({100 * numbers.explained[place]:.1f} % of the variance)"
    if numbers.projection == "t-SNE":
        return f"t-SNE {place + 1}"
    assert numbers.plane is not None
    name = latent_name(numbers.plane, place)
    return f"E[{name.replace('   ', ' | x]   ')}" if numbers.plane.strength == "KL" else f"code {name}"


def _size(numbers: Latents) -> float:
    """The area of a point, in square points: small where there are many."""
    return float(np.clip(12_000 / len(numbers.z), 3, 22))


def _draw_classes(axes: Axes, numbers: Latents) -> None:
    """Draw the points in the split's order, because class by class the first classes would be buried."""
    classes = np.unique(numbers.labels)
    names = [shortened(numbers.class_names[label], LONGEST_NAME) for label in classes]
    palette = category_colours(len(classes))
    colours = np.array(palette)[np.searchsorted(classes, numbers.labels)]
    axes.scatter(numbers.z[:, 0], numbers.z[:, 1], s=_size(numbers), c=colours, alpha=0.9, linewidths=0)
    if len(classes) <= MAX_CLASSES:
        for name, colour in zip(names, palette, strict=True):
            axes.scatter([], [], color=colour, label=name, linewidths=0)
        legend_beside(axes, "class")
    if len(classes) <= MAX_NAMES:
        _write_names(axes, numbers, names)


def _write_names(axes: Axes, numbers: Latents, names: list[str]) -> None:
    """Write each name at the median of its points; short names are larger."""
    points = 12 if max(map(len, names)) <= 3 else 8
    per_inch = float(np.ptp(numbers.z, axis=0).max() or 1.0) / 4.6  # z per inch: the axes are about 4.6 inches a side
    sizes = np.array([(0.75 * len(name) + 0.3, 1.4) for name in names]) * points / 72 * per_inch
    places = name_places(numbers.z, numbers.labels, sizes)
    axes.update_datalim(np.concatenate([places - sizes / 2, places + sizes / 2]))
    axes.autoscale_view()
    for name, (x, y) in zip(names, places, strict=True):
        axes.text(x, y, name, fontsize=points, fontweight="bold", ha="center", va="center", path_effects=HALO)


def _draw_places(axes: Axes, numbers: Latents) -> None:
    """Without classes: colour by the place in the split, which is the time of a film."""
    points = axes.scatter(
        numbers.z[:, 0], numbers.z[:, 1], s=_size(numbers), c=numbers.places, cmap=OF_TIME, alpha=0.85, linewidths=0
    )
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(points, ax=axes, shrink=0.6, label=_of_place(numbers))


def _of_place(numbers: Latents) -> str:
    return "frame of the film, from the split's first" if numbers.is_film else "place in the split"


def _draw_rows(axes: Axes, numbers: Latents) -> None:
    """One row per class; points are spread within it by their index, so that no random number is needed."""
    classes = np.unique(numbers.labels)
    for row, (label, colour) in enumerate(zip(classes, category_colours(len(classes)), strict=True)):
        z = numbers.z[numbers.labels == label, 0]
        spread = (np.arange(len(z)) * 0.618034 % 1 - 0.5) * 0.7
        axes.scatter(z, row + spread, s=float(np.clip(6_000 / len(numbers.z), 2, 14)), color=colour, linewidths=0)
    if len(classes) <= MAX_NAMES:
        axes.set_yticks(range(len(classes)), [shortened(numbers.class_names[label], LONGEST_NAME) for label in classes])
    axes.set_ylabel("class")


def _draw_over_time(axes: Axes, numbers: Latents) -> None:
    axes.scatter(numbers.z[:, 0], numbers.places, s=_size(numbers), c=numbers.places, cmap=OF_TIME, linewidths=0)
    axes.set_ylabel(_of_place(numbers))


def ordinal(number: int) -> str:
    """1 -> '1st', 12 -> '12th', 203 -> '203rd'."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


@styled
def draw_kl_per_dimension(numbers: KlPerDimension, about: str) -> Figure:
    """Bars, the highest first; beyond MAX_BARS latents one outline."""
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
    named = n_latents <= MOST_NAMED
    axes.set_xlabel("latent dimension, highest KL first" if named else "rank of the latent dimension by its KL")
    _name_bars(axes, numbers.dimensions)
    axes.set_xlim(-0.6, max(n_latents, 8) - 0.4)
    axes.legend(
        handles=handles, title=f"rate R = {numbers.kl.sum():.2f} nats\nactive: Var[E[z | x]] > 0.01", alignment="left"
    )
    return figure


def _name_bars(axes: Axes, dimensions: np.ndarray) -> None:
    """Each by its index; of many only their ranks, "1st", which nobody takes for indices."""
    if len(dimensions) > MOST_NAMED:
        ranks = np.linspace(1, len(dimensions), 5).round().astype(int)
        axes.set_xticks(ranks - 1, [ordinal(int(rank)) for rank in ranks])
        return
    axes.set_xticks(range(len(dimensions)), [f"z{index}" for index in dimensions])
    axes.tick_params(axis="x", length=0, labelsize=8 if len(dimensions) <= 20 else 6.5)
