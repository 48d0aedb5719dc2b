"""The figures of one checkpoint: the numbers of report.views, drawn."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from report import views
from report.grid import SMALL, enlarge, large_tile, tile
from report.style import (
    FAINT,
    HIGHLIGHT,
    TRAIN,
    VALIDATION,
    category_colours,
    legend_beside,
    message_figure,
    new_figure,
    styled,
    without_axes,
)
from vae.checkpoint import Description

MAX_BARS = 64  # more latents than this are drawn as one curve
HALO = [withStroke(linewidth=3, foreground="white")]
CURVE_TITLES = {"elbo": "ELBO at \N{GREEK SMALL LETTER BETA} = 1", "rate": "rate R", "distortion": "distortion D"}


def checkpoint_figures(subject: views.Subject) -> Iterator[tuple[str, Figure]]:
    """Every figure of a checkpoint with its name, of the same names for every checkpoint."""
    about = describe(subject.description)
    held_out = f"{about} \N{MIDDLE DOT} {subject.split} split, {len(subject.images.labels):,} images"
    yield "reconstructions", draw_reconstructions(views.reconstructions(subject), held_out)
    yield "samples", draw_samples(views.samples(subject), about)
    yield "manifold", draw_manifold(views.manifold(subject), held_out)
    yield "latents", draw_latents(views.latents(subject), held_out)
    yield "kl_per_dimension", draw_kl_per_dimension(views.kl_per_dimension(subject), held_out)
    yield "learning_curves", draw_learning_curves(views.learning_curves(subject.history), about)


def describe(description: Description) -> str:
    """Which model it is, and below it how far it came."""
    config = description.config
    layers = f"{config.hidden_layers} \N{MULTIPLICATION SIGN} " if config.hidden_layers > 1 else ""
    model = [
        description.dataset,
        f"latent size {config.latent_size}",
        f"hidden units {layers}{config.hidden_units}",
        config.activation,
        f"\N{GREEK SMALL LETTER BETA} {config.beta:.4g}",
        f"learning rate {config.learning_rate:.3g}",
    ]
    reached = [f"epoch {description.epoch}"]
    if description.history:
        reached.append(f"validation ELBO {signed(description.history[-1].val_elbo)} nats")
    return "\n".join(" \N{MIDDLE DOT} ".join(parts) for parts in (model, reached))


def signed(value: float, digits: int = 2) -> str:
    """A number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


@styled
def draw_reconstructions(numbers: views.Reconstructions, about: str) -> Figure:
    """Rows in pairs: inputs, and their reconstructions below."""
    n_columns, (height, width) = numbers.n_columns, numbers.inputs.shape[1:]
    blocks = [(start, start + n_columns) for start in range(0, len(numbers.inputs), n_columns)]
    pairs = [
        large_tile(np.concatenate([numbers.inputs[start:stop], numbers.outputs[start:stop]]), n_columns)
        for start, stop in blocks
    ]
    figure = new_figure("Reconstructions of held-out images", about, 0.2 + len(pairs) * 1.32 * height / width)
    grid = figure.subplots(len(pairs), 1, squeeze=False)
    for axes, pair in zip(grid[:, 0], pairs, strict=True):
        axes.imshow(pair, vmin=0, vmax=255, aspect="equal")
        without_axes(axes)
        axes.set_yticks([pair.shape[0] * 0.25, pair.shape[0] * 0.75], ["input", "reconstruction"])
    return figure


@styled
def draw_samples(images: np.ndarray, about: str) -> Figure:
    n_columns = int(np.ceil(np.sqrt(len(images))))
    figure = new_figure("Samples from the prior", f"{about} \N{MIDDLE DOT} pixel means at z ~ N(0, I)", 5.4, 5.4)
    axes = figure.subplots()
    axes.imshow(large_tile(images, n_columns), vmin=0, vmax=255)
    without_axes(axes)
    return figure


@styled
def draw_manifold(numbers: views.Manifold, about: str) -> Figure:
    n_rows, n_columns, height, width = numbers.images.shape
    others = numbers.plane.latent_size - len(numbers.plane.dimensions)
    note = "places spaced evenly in the prior's probability"
    note += f"; the other {others} latent{'s' * (others > 1)} at 0" if others else ""
    figure = new_figure("Learned manifold", f"{about}\n{note}", *((6.1, 6.2) if n_rows > 1 else (0.95, 7.0)))
    axes = figure.subplots()
    gap = 0 if height >= 2 * SMALL else 2  # images that end in black need no line between them
    picture = tile(enlarge(numbers.images.reshape(-1, height, width)), n_columns, gap)
    axes.imshow(picture, vmin=0, vmax=255)
    without_axes(axes)
    shown = np.array([0, 2, 5, 8, 11, 14, 17, 19]) * n_columns // views.GRID
    texts = [signed(value) for value in numbers.places[shown]]
    axes.set_xticks((shown + 0.5) * picture.shape[1] / n_columns - 0.5, texts)
    axes.set_xlabel(latent_name(numbers.plane, 0))
    if n_rows > 1:
        axes.set_yticks((n_rows - shown - 0.5) * picture.shape[0] / n_rows - 0.5, texts)
        axes.set_ylabel(latent_name(numbers.plane, 1))
    return figure


def latent_name(plane: views.Plane, place: int) -> str:
    return f"z{plane.dimensions[place]}   (KL {plane.kl[place]:.2f} nats)"


@styled
def draw_latents(numbers: views.Latents, about: str) -> Figure:
    """Posterior means, coloured by label; of one latent, a row per class."""
    n_latents = numbers.plane.latent_size
    choice = f"\nthe two of {n_latents} latents with the highest KL" if n_latents > 2 else ""
    figure = new_figure("Posterior means of held-out images", about + choice, 5.6, 6.2)
    axes = figure.subplots()
    classes = np.unique(numbers.labels)
    if numbers.z.shape[1] == 1:
        _draw_rows(axes, numbers, classes)
    else:
        _draw_scatter(axes, numbers, classes)
    axes.set_xlabel(f"E[{latent_name(numbers.plane, 0).replace('   ', ' | x]   ')}")
    return figure


def _draw_scatter(axes: Axes, numbers: views.Latents, classes: np.ndarray) -> None:
    size = float(np.clip(12_000 / len(numbers.z), 3, 22))
    _scatter_in_turn(axes, numbers.z, numbers.labels, classes, size)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_ylabel(f"E[{latent_name(numbers.plane, 1).replace('   ', ' | x]   ')}")
    if 1 < len(classes) <= views.MAX_CLASSES:
        legend_beside(axes, "class")
        for label, (x, y) in zip(classes, views.label_places(numbers.z, numbers.labels), strict=True):
            axes.text(x, y, str(label), fontsize=12, fontweight="bold", ha="center", va="center", path_effects=HALO)


def _scatter_in_turn(axes: Axes, z: np.ndarray, labels: np.ndarray, classes: np.ndarray, size: float) -> None:
    """Class by class would bury the first: the points are drawn in the split's order, the legend by class."""
    colours = np.array(category_colours(len(classes)))[np.searchsorted(classes, labels)]
    axes.scatter(z[:, 0], z[:, 1], s=size, c=colours, alpha=0.75, linewidths=0)
    for label, colour in zip(classes, category_colours(len(classes)), strict=True):
        axes.scatter([], [], color=colour, label=str(label), linewidths=0)


def _draw_rows(axes: Axes, numbers: views.Latents, classes: np.ndarray) -> None:
    """A row per class: points spread within it by their rank, so that no random number is needed."""
    for row, (label, colour) in enumerate(zip(classes, category_colours(len(classes)), strict=True)):
        z = numbers.z[numbers.labels == label, 0]
        spread = (np.arange(len(z)) * 0.618034 % 1 - 0.5) * 0.7
        axes.scatter(z, row + spread, s=float(np.clip(6_000 / len(numbers.z), 2, 14)), color=colour, linewidths=0)
    axes.set_yticks(range(len(classes)), [str(label) for label in classes])
    axes.set_ylabel("class")


@styled
def draw_kl_per_dimension(numbers: views.KlPerDimension, about: str) -> Figure:
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
def draw_learning_curves(numbers: views.LearningCurves, about: str) -> Figure:
    title = "Learning curves"
    if len(numbers.epochs) == 0:
        return message_figure(title, about, "There is no history beside this model.")
    note = "\nabove each panel: validation, at the epoch of the best ELBO" if numbers.best else ""
    figure = new_figure(title, about + note, 3.1, 8.4)
    for axes, (name, curves) in zip(figure.subplots(1, 3), numbers.curves.items(), strict=True):
        for values, colour, label in zip(curves, (TRAIN, VALIDATION), ("train", "validation"), strict=True):
            axes.plot(numbers.epochs, values, color=colour, label=label, marker="." if len(values) < 4 else "")
        axes.set_title(CURVE_TITLES[name])
        if numbers.best is not None:
            value = getattr(numbers.best, f"val_{name}")
            axes.plot(numbers.best.epoch, value, "o", color=HIGHLIGHT, ms=5, label=f"best, epoch {numbers.best.epoch}")
            axes.set_title(f"{CURVE_TITLES[name]}: {signed(value)}")
        axes.set_ylim(*views.worth_showing(curves))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    figure.axes[0].set_ylabel("nats per image")
    figure.axes[-1].legend()
    return figure
