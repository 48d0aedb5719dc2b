"""The codes of held-out images as points, drawn."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from report.drawing.checkpoint.walks import latent_name
from report.drawing.style import category_colours, legend_beside, new_figure, shortened, styled
from report.models.image_choice import MAX_CLASSES
from report.numbers.checkpoint.latents import Latents, name_places

HALO = [withStroke(linewidth=3, foreground="white")]
MAX_NAMES = 30  # of classes, written beside their points
LONGEST_NAME = 24  # characters
HEIGHT, WIDTH = 5.6, 6.4  # inches
OF_TIME = "cividis"  # told apart with every common colour vision deficiency (Nunez et al. 2018)


@styled
def draw_latents(numbers: Latents, about: str) -> Figure:
    """Coloured by label, or by the place in the split; of one latent, a row per class."""
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
    figure.draw_without_rendering()  # the equal aspect moves the limits; the next layout knows the ticks that makes
    return figure


def _width(numbers: Latents) -> float:
    """Inches: more where the names of the classes are long."""
    longest = max((len(name) for name in numbers.class_names), default=0)
    return WIDTH + 0.07 * max(0, min(longest, LONGEST_NAME) - 8)


def _notes(numbers: Latents) -> list[str]:
    """The line below the subtitle, if there is something to say: how many images, and how they were projected."""
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
    """Of a point, in square points: small where there are many."""
    return float(np.clip(12_000 / len(numbers.z), 3, 22))


def _draw_classes(axes: Axes, numbers: Latents) -> None:
    """Class by class would bury the first: the points are drawn in the split's order, the legend by class."""
    classes = np.unique(numbers.labels)
    names = [shortened(numbers.class_names[label], LONGEST_NAME) for label in classes]
    palette = category_colours(len(classes))
    colours = np.array(palette)[np.searchsorted(classes, numbers.labels)]
    axes.scatter(numbers.z[:, 0], numbers.z[:, 1], s=_size(numbers), c=colours, alpha=0.75, linewidths=0)
    if len(classes) <= MAX_CLASSES:
        for name, colour in zip(names, palette, strict=True):
            axes.scatter([], [], color=colour, label=name, linewidths=0)
        legend_beside(axes, "class")
    if len(classes) <= MAX_NAMES:
        _write_names(axes, numbers, names)


def _write_names(axes: Axes, numbers: Latents, names: list[str]) -> None:
    """Each at its points' median, larger if it is short."""
    points = 12 if max(map(len, names)) <= 3 else 8
    per_inch = float(np.ptp(numbers.z, axis=0).max() or 1.0) / 4.6  # of z; the axes are about 4.6 inches a side
    sizes = np.array([(0.75 * len(name) + 0.3, 1.4) for name in names]) * points / 72 * per_inch
    places = name_places(numbers.z, numbers.labels, sizes)
    axes.update_datalim(np.concatenate([places - sizes / 2, places + sizes / 2]))
    axes.autoscale_view()
    for name, (x, y) in zip(names, places, strict=True):
        axes.text(x, y, name, fontsize=points, fontweight="bold", ha="center", va="center", path_effects=HALO)


def _draw_places(axes: Axes, numbers: Latents) -> None:
    """Without classes: coloured by the place in the split, which of a film is its time."""
    points = axes.scatter(
        numbers.z[:, 0], numbers.z[:, 1], s=_size(numbers), c=numbers.places, cmap=OF_TIME, alpha=0.85, linewidths=0
    )
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(points, ax=axes, shrink=0.6, label=_of_place(numbers))


def _of_place(numbers: Latents) -> str:
    return "frame of the film, from the split's first" if numbers.is_film else "place in the split"


def _draw_rows(axes: Axes, numbers: Latents) -> None:
    """A row per class: points spread within it by their rank, so that no random number is needed."""
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
