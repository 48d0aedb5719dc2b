"""What is drawn of a model beside its images: ticks, names, colours."""

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from report.drawing.checkpoint.figures import checkpoint_figures
from report.drawing.checkpoint.options import FigureOptions
from report.drawing.style import signed
from report.models.subject import Subject
from report.numbers.checkpoint.manifold import manifold
from report.numbers.checkpoint.walks import traversals
from tests.material.figures import assert_can_be_read, words
from tests.material.reports import twelve_epochs
from tests.material.subjects import untrained
from vae.datasets.mnist import FASHION
from vae.datasets.types import Images

HISTORY = twelve_epochs()


def _drawn(subject: Subject, name: str, **options: Any) -> list[Axes]:
    ((_, figure),) = checkpoint_figures(subject, FigureOptions(**options), only=[name])
    assert_can_be_read(figure)
    return figure.axes


@pytest.mark.parametrize("mode", ["vae", "autoencoder"])
@pytest.mark.parametrize("grid", [2, 7, 20, 33])
def test_the_ticks_of_the_manifold_stand_at_the_images_they_name(
    digits: dict[str, Images], mode: str, grid: int
) -> None:
    subject = untrained(digits["validation"], (8, 8), twelve_epochs(mode), mode=mode, latent_size=2)
    (axes,) = _drawn(subject, "manifold", manifold_grid=grid)
    (picture,) = axes.get_images()
    left, right, bottom, top = picture.get_extent()
    places = manifold(subject, grid).places
    for along, ticks, labels, start, stop in (
        (places[0], axes.get_xticks(), axes.get_xticklabels(), left, right),
        (places[1], axes.get_yticks(), axes.get_yticklabels(), bottom, top),
    ):
        assert len(labels) == min(grid, 8)
        for tick, label in zip(ticks, labels, strict=True):
            index = int((tick - start) / (stop - start) * grid)  # from the left, or from the bottom
            assert label.get_text() == signed(along[index])


def test_the_manifold_has_the_size_range_and_spacing_that_it_is_given(digits: dict[str, Images]) -> None:
    subject = untrained(digits["validation"], (8, 8), HISTORY, latent_size=2)
    (axes,) = _drawn(subject, "manifold", manifold_grid=3, manifold_range=1.5, manifold_spacing="uniform")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["\N{MINUS SIGN}1.50", "0.00", "1.50"]


def test_rows_of_a_traversal_are_named_by_latent_and_kl(digits: dict[str, Images]) -> None:
    subject = untrained(digits["validation"], (8, 8), HISTORY, latent_size=3)
    axes = _drawn(subject, "traversals", traversal_image=7)[1]
    numbers = traversals(subject, 7)
    expected = [f"z{index}\nKL {kl:.2f} nats" for index, kl in zip(numbers.dimensions, numbers.strengths, strict=True)]
    assert [label.get_text() for label in axes.get_yticklabels()] == expected
    assert [label.get_text() for label in axes.get_xticklabels()][::5] == ["\N{MINUS SIGN}3.0", "0.0", "3.0"]
    assert f"image 7 (class {digits['validation'].labels[7]})" in words(axes.figure)  # type: ignore[arg-type]


def test_the_classes_of_the_latents_go_by_their_names(digits: dict[str, Images]) -> None:
    subject = untrained(digits["validation"], (8, 8), HISTORY, class_names=FASHION.class_names, latent_size=2)
    (axes,) = _drawn(subject, "latents")
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == list(FASHION.class_names)


def test_a_film_is_coloured_by_its_time() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 560), np.uint8)
    subject = untrained(Images(pixels, np.zeros(40, np.int64)), (28, 20), HISTORY, "freyface", latent_size=2)
    axes, bar = _drawn(subject, "latents")
    (points,) = axes.collections
    colours = points.get_array()
    assert colours is not None
    assert colours.tolist() == list(range(40))
    assert "frame" in bar.get_ylabel()
