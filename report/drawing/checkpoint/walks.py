"""Traversals and interpolations, drawn."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from report.drawing.checkpoint.manifold import strength_words
from report.drawing.style import HIGHLIGHT, WIDTH, fit_height, new_figure, shortened, signed, styled, without_axes
from report.drawing.tiles import GAP, large_tile
from report.numbers.checkpoint.walks import Interpolations, Traversals

LINE = 0.13  # inches of a row of text


@styled
def draw_traversals(numbers: Traversals, about: str) -> Figure:
    """One row per latent; on the left the image whose code is varied."""
    n_rows, n_columns, height, width = numbers.images.shape
    n_lines = {"KL": 2, "variance": 3, "none": 1}[numbers.strength]  # of the name of a row
    across = max(WIDTH, 1.6 + n_columns * n_lines * LINE * width / height)
    high = max(n_rows / n_columns, 0.25) * across * height / width
    figure = new_figure("Traversals of single latents", f"{about}\n{_of_traversals(numbers)}", high + 1, across)
    left, right = figure.subplots(1, 2, width_ratios=(1, 9))
    _draw_origin(left, numbers)
    picture = large_tile(numbers.images.reshape(-1, height, width), n_columns)
    right.imshow(picture, vmin=0, vmax=255)
    without_axes(right)
    right.set_anchor("N")
    right.set_yticks((np.arange(n_rows) + 0.5) * picture.shape[0] / n_rows - 0.5, _names_of_rows(numbers), fontsize=7)
    texts = ["lowest", "middle", "highest"] if numbers.strength == "variance" else [signed(z, 1) for z in numbers.z[0]]
    shown = np.linspace(0, n_columns - 1, len(texts))
    right.set_xticks((shown + 0.5) * picture.shape[1] / n_columns - 0.5, texts)
    right.set_xlabel("z of the row's latent")
    _frame_own_places(right, numbers, picture.shape)
    return fit_height(figure)


def _of_traversals(numbers: Traversals) -> str:
    n_rows = len(numbers.dimensions)
    which = f"{n_rows} of {numbers.latent_size} latents" if n_rows < numbers.latent_size else "every latent"
    order = {"KL": ", highest KL first", "variance": ", highest variance of the code first", "none": ""}
    along = "over the middle 99 % of the codes" if numbers.strength == "variance" else "from \N{MINUS SIGN}3 to 3"
    if numbers.image is None:
        return f"{which}, {along}; no encoder: the others stay at 0"
    of_class = f" (class {shortened(numbers.class_name, 24)})" if numbers.class_name else ""
    around = f"the others as in the code of image {numbers.image:,}{of_class}; framed: nearest to it"
    return f"{which}{order[numbers.strength]}, {along}; {around}"


def _draw_origin(axes: Axes, numbers: Traversals) -> None:
    """The image and its reconstruction, or what the decoder makes of z = 0."""
    both = [numbers.reconstruction] if numbers.input is None else [numbers.input, numbers.reconstruction]
    names = ["z = 0"] if numbers.input is None else ["image", "decoded"]
    picture = large_tile(np.stack(both), 1)
    axes.imshow(picture, vmin=0, vmax=255)
    without_axes(axes)
    axes.set_anchor("N")
    axes.set_title(names[0], fontsize=7, loc="center", pad=3)
    axes.set_xlabel(names[1] if len(names) > 1 else "", fontsize=7, labelpad=3)


def _names_of_rows(numbers: Traversals) -> list[str]:
    names = []
    for index, value, z in zip(numbers.dimensions, numbers.strengths, numbers.z, strict=True):
        name = f"z{index}" + strength_words(numbers.strength, value, "\n{}")
        if numbers.strength == "variance":
            name = f"{name}\n{signed(z[0], 1)} \N{HORIZONTAL ELLIPSIS} {signed(z[-1], 1)}"
        names.append(name)
    return names


def _frame_own_places(axes: Axes, numbers: Traversals, shape: tuple[int, ...]) -> None:
    """Frame the image whose z is nearest to the code's own, in the rows whose range holds it."""
    n_rows, n_columns = numbers.z.shape
    height, width = shape[0] / n_rows, shape[1] / n_columns
    for row, (z, own) in enumerate(zip(numbers.z, numbers.at_image, strict=True)):
        nearest = int(np.argmin(np.abs(z - own)))
        if numbers.image is not None and z[0] <= own <= z[-1]:
            corner = (nearest * width - 0.5, row * height - 0.5)
            axes.add_patch(
                Rectangle(corner, width, height, fill=False, edgecolor=HIGHLIGHT, linewidth=1.2, clip_on=False)
            )


@styled
def draw_interpolations(numbers: Interpolations, about: str) -> Figure:
    """One row per pair: an image, what is decoded on the way, the other image."""
    n_pairs, n_steps, height, width = numbers.images.shape
    note = "straight lines between the two images' codes; the first and the last step are their reconstructions"
    across = max(WIDTH, 2 + (n_steps + 2) * LINE * width / height)
    high = across * n_pairs / (n_steps + 2) * height / width
    figure = new_figure("Interpolations between held-out images", f"{about}\n{note}", high + 1, across)
    axes = figure.subplots()
    ends, line = (large_tile(numbers.ends[:, side], 1) for side in (0, 1)), numbers.images
    first, last = ends
    walk = large_tile(line.reshape(-1, height, width), n_steps)
    space = np.full((len(walk), first.shape[1] // 3), 255, np.uint8)
    picture = np.concatenate([first, space, walk, space, last], axis=1)
    axes.imshow(picture, vmin=0, vmax=255)
    without_axes(axes)
    axes.xaxis.tick_top()
    middles = (first.shape[1] / 2, picture.shape[1] / 2, picture.shape[1] - last.shape[1] / 2)
    axes.set_xticks(middles, ["image", "decoded on the way", "image"])
    axes.tick_params(axis="x", length=0)
    _name_ends(axes, numbers, picture.shape)
    return fit_height(figure)


def _name_ends(axes: Axes, numbers: Interpolations, shape: tuple[int, ...]) -> None:
    middles = (np.arange(len(numbers.pairs)) + 0.5) * shape[0] / len(numbers.pairs) - 0.5
    named = [
        tuple(shortened(name, 14) or f"image {place:,}" for name, place in zip(names, pair, strict=True))
        for names, pair in zip(numbers.names, numbers.pairs.tolist(), strict=True)
    ]
    axes.set_yticks(middles, [first for first, _ in named])
    for middle, (_, last) in zip(middles, named, strict=True):
        axes.text(shape[1] + 2 * GAP + 4, middle, last, fontsize=8, va="center_baseline")
