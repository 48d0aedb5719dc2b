"""What the figures of a model show, read back from them: pictures, lines, bars, colours. Legibility is tested apart."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from report.drawing.checkpoint.latents import draw_kl_per_dimension, draw_latents, ordinal
from report.drawing.checkpoint.learning_curves import draw_learning_curves
from report.drawing.checkpoint.manifold import draw_manifold
from report.drawing.checkpoint.reconstructions import draw_denoising, draw_reconstructions
from report.drawing.checkpoint.samples import draw_samples
from report.drawing.checkpoint.walks import draw_interpolations, draw_traversals
from report.drawing.style import FAINT, HIGHLIGHT, TRAIN, VALIDATION
from report.numbers.checkpoint.latents import KlPerDimension, Latents, kl_per_dimension
from report.numbers.checkpoint.learning_curves import learning_curves
from report.numbers.checkpoint.manifold import manifold
from report.numbers.checkpoint.reconstructions import Denoising, Reconstructions
from report.numbers.checkpoint.samples import Samples
from report.numbers.checkpoint.walks import Interpolations, traversals
from tests.material.figures import flat, greys, picture, words
from tests.material.subjects import grey, subject
from vae.model.metrics import EpochMetrics, Terms

MINUS = "\N{MINUS SIGN}"


def _texts(labels: Sequence[Text]) -> list[str]:
    return [label.get_text() for label in labels]


def _number(text: str) -> float:
    return float(text.replace(MINUS, "-"))


# images


def test_inputs_stand_above_their_reconstructions() -> None:
    axes = draw_reconstructions(Reconstructions(flat(10, 20, 30), flat(110, 120, 130), 3, ("a", "b", "c")), "").axes[0]
    assert greys(axes, 2, 3) == [[10, 20, 30], [110, 120, 130]]
    assert _texts(axes.get_yticklabels()) == ["input", "reconstruction"]
    assert axes.get_yticks()[0] < axes.get_yticks()[1]  # rows count downwards
    assert _texts(axes.get_xticklabels()) == ["a", "b", "c"]


def test_clean_corrupted_and_restored_images_stand_below_each_other() -> None:
    axes = draw_denoising(Denoising(flat(10, 20), flat(60, 70), flat(110, 120), 2, ("a", "b")), "").axes[0]
    assert greys(axes, 3, 2) == [[10, 20], [60, 70], [110, 120]]
    assert _texts(axes.get_yticklabels()) == ["clean", "corrupted", "restored"]


def test_samples_stand_row_by_row_below_where_their_z_is_from() -> None:
    blocks = [Samples("fitted", flat(1, 2, 3, 4)), Samples("standard", flat(5, 6, 7, 8))]
    for axes, name, first in zip(draw_samples(blocks, "").axes, ("fitted", "standard"), (1, 5), strict=True):
        assert axes.get_title(loc="left") == name
        assert greys(axes, 2, 2) == [[first, first + 1], [first + 2, first + 3]]


def test_each_image_of_the_manifold_is_what_is_decoded_at_its_ticks() -> None:
    """The decoder writes z0 into the upper left of four pixels and z1 into the upper right."""
    axes = draw_manifold(manifold(subject(np.zeros((3, 2))), grid=3), "").axes[0]
    shown = picture(axes)
    side = shown.shape[0] / 3
    x, y = ([_number(text) for text in _texts(labels)] for labels in (axes.get_xticklabels(), axes.get_yticklabels()))
    assert axes.get_xlabel().startswith("z0")
    assert axes.get_ylabel().startswith("z1")
    for column, row_tick in ((0, 0), (2, 0), (0, 2), (2, 2)):
        place = axes.get_yticks()[row_tick]
        image = shown[int(place - side / 2 + 1) :, int(column * side + 1) :]
        z0, z1 = image[int(side * 0.2), int(side * 0.2)], image[int(side * 0.2), int(side * 0.7)]
        assert [int(z0), int(z1)] == pytest.approx([grey(x[column]), grey(y[row_tick])], abs=1)


def test_a_row_of_a_traversal_moves_the_latent_that_it_is_named_by_and_frames_the_images_own_place() -> None:
    codes = np.stack([np.linspace(-0.2, 0.2, 21), np.linspace(-2, 2, 21)], axis=1)  # z1 carries more
    numbers = traversals(subject(codes), image=18)
    axes = draw_traversals(numbers, "").axes[1]
    names = [text.split("\n")[0] for text in _texts(axes.get_yticklabels())]
    assert names == ["z1", "z0"]
    shown = picture(axes)
    high, wide = shown.shape[0] / 2, shown.shape[1] / 11
    for row, latent in enumerate((1, 0)):
        line = shown[int((row + 0.2) * high), :]
        ends = [int(line[int((column + 0.2 + 0.5 * latent) * wide)]) for column in (0, 10)]
        assert ends == pytest.approx([grey(-3), grey(3)], abs=1)
    frames = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    columns = [round((frame.get_x() + 0.5) / wide) for frame in frames]
    expected = [int(np.abs(np.linspace(-3, 3, 11) - codes[18, latent]).argmin()) for latent in (1, 0)]
    assert columns == expected
    assert [round((frame.get_y() + 0.5) / high) for frame in frames] == [0, 1]


def test_an_interpolation_goes_from_the_first_image_to_the_second() -> None:
    ends, walk = flat(10, 250).reshape(1, 2, 4, 4), flat(60, 120, 180).reshape(1, 3, 4, 4)
    axes = draw_interpolations(Interpolations(np.array([[3, 8]]), [("three", "eight")], ends, walk), "").axes[0]
    line = picture(axes)[10]
    shown = line[np.flatnonzero(np.diff(line, prepend=0))]  # every grey that the row of pixels changes to
    assert [int(value) for value in shown if value != 255] == [10, 60, 120, 180, 250]
    assert _texts(axes.get_yticklabels()) == ["three"]
    assert _texts(axes.texts) == ["eight"]


# curves


def _history() -> list[EpochMetrics]:
    """Each of the six curves has numbers of its own; the ELBO of epoch 2 is the best."""
    rows = [(90.0, 9.0, 100.0, 5.0), (70.0, 8.0, 75.0, 6.0), (60.0, 7.0, 85.0, 7.0)]
    return [
        EpochMetrics.of(epoch, 1.0, Terms(a, b), Terms(c, d), None, 0.5) for epoch, (a, b, c, d) in enumerate(rows, 1)
    ]


def _line(axes: Axes, label: str) -> Line2D:
    (found,) = (line for line in axes.lines if line.get_label() == label)
    return found


def test_learning_curves_are_those_of_their_split_and_term() -> None:
    figure = draw_learning_curves(learning_curves(_history()), "")
    expected = {
        "ELBO": ([-99.0, -78.0, -67.0], [-105.0, -81.0, -92.0]),
        "rate": ([9.0, 8.0, 7.0], [5.0, 6.0, 7.0]),
        "distortion": ([90.0, 70.0, 60.0], [100.0, 75.0, 85.0]),
    }
    for axes, (term, values) in zip(figure.axes, expected.items(), strict=True):
        assert axes.get_title(loc="left").startswith(term)
        for label, colour, series in zip(("train", "validation"), (TRAIN, VALIDATION), values, strict=True):
            line = _line(axes, label)
            assert np.asarray(line.get_ydata()).tolist() == series
            assert np.asarray(line.get_xdata()).tolist() == [1, 2, 3]
            assert line.get_color() == colour
    assert "train: mean over each epoch, while the weights move" in words(figure)


def test_the_best_epoch_is_marked_on_the_validation_curve() -> None:
    for axes, value in zip(draw_learning_curves(learning_curves(_history()), "").axes, (-81.0, 6.0, 75.0), strict=True):
        mark = _line(axes, "epoch 2")
        assert np.asarray(mark.get_xydata()).tolist() == [[2.0, value]]
        assert mark.get_color() == HIGHLIGHT
        assert _number(axes.get_title(loc="left").split(": ")[1]) == value


# latents


def _latents() -> Latents:
    z = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 3.0], [3.0, 3.0]])
    return Latents("PCA", z, np.array([2, 0, 1, 2]), np.arange(4), 4, ("a", "b", "c"), False, 5, explained=(0.5, 0.2))


def test_points_of_the_latents_have_the_colour_of_their_class_in_the_legend() -> None:
    numbers = _latents()
    axes = draw_latents(numbers, "").axes[0]
    legend = axes.get_legend()
    assert legend is not None
    colours = {
        text.get_text(): to_hex(handle.get_facecolor()[0])  # type: ignore[union-attr]
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }
    points = axes.collections[0]
    assert np.asarray(points.get_offsets()).tolist() == numbers.z.tolist()
    assert [to_hex(colour) for colour in points.get_facecolors()] == [colours[name] for name in ("c", "a", "b", "c")]


def test_classes_of_one_latent_have_a_row_that_is_named_by_them() -> None:
    numbers = replace(_latents(), z=np.array([[0.5], [1.0], [2.0], [3.0]]), latent_size=1, projection="t-SNE")
    axes = draw_latents(replace(numbers, perplexity=1.0), "").axes[0]
    assert _texts(axes.get_yticklabels()) == ["a", "b", "c"]
    rows = {round(float(y)): x for row in axes.collections for x, y in np.asarray(row.get_offsets())}
    assert {row: float(x) for row, x in rows.items() if row < 2} == {0: 1.0, 1: 2.0}


def test_a_bar_is_the_kl_of_the_latent_that_it_is_named_by_and_grey_where_it_is_not_active() -> None:
    codes = np.stack([np.linspace(-0.01, 0.01, 21), np.linspace(-2, 2, 21), np.linspace(-1, 1, 21)], axis=1)
    model = subject(codes)
    axes = draw_kl_per_dimension(kl_per_dimension(model), "").axes[0]
    assert _texts(axes.get_xticklabels()) == ["z1", "z2", "z0"]
    bars = sorted((bar.get_x(), bar.get_height(), bar.get_facecolor()) for bar in axes.patches)  # type: ignore[attr-defined]
    expected = [float(np.mean(codes[:, latent] ** 2) / 2) for latent in (1, 2, 0)]  # KL of N(m, 1) and N(0, 1)
    assert [height for _, height, _ in bars] == pytest.approx(expected, abs=1e-5)
    assert [colour for _, _, colour in bars] == [to_rgba(VALIDATION), to_rgba(VALIDATION), to_rgba(FAINT)]
    legend = axes.get_legend()
    assert legend is not None
    assert _texts(legend.get_texts()) == ["active: 2 of 3", "not active: 1 of 3"]


def test_of_many_latents_the_axis_counts_ranks_that_nobody_takes_for_indices() -> None:
    numbers = KlPerDimension(np.arange(100)[::-1], np.linspace(2, 0, 100), np.arange(100) < 50)
    axes = draw_kl_per_dimension(numbers, "").axes[0]
    assert dict(zip(axes.get_xticks().tolist(), _texts(axes.get_xticklabels()), strict=True)) == {
        0: "1st", 25: "26th", 49: "50th", 74: "75th", 99: "100th",
    }  # fmt: skip
    assert axes.get_xlabel() == "rank of the latent dimension by its KL"
    assert [ordinal(number) for number in (2, 3, 11, 112, 121)] == ["2nd", "3rd", "11th", "112th", "121st"]
