"""The list of a checkpoint's figures: which ones a model has, and whether every text of each can be read.

A figure takes a fifth of a second. Where several models are drawn, the two that differ most are drawn every time and
the others where the slow tests run.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from report.drawing.checkpoint.figures import FIGURES, absent, checkpoint_figures
from report.drawing.checkpoint.options import FigureOptions
from report.drawing.style import render
from report.models.subject import Subject
from tests.material.figures import assert_can_be_read, words
from tests.material.reports import metrics, nan_metrics, twelve_epochs
from tests.material.subjects import untrained
from vae.datasets.mnist import FASHION
from vae.datasets.registry import load
from vae.datasets.types import Images
from vae.model.metrics import EpochMetrics

ALWAYS = ["reconstructions", "samples", "traversals", "learning_curves"]
OF_AN_ENCODER = ["interpolations", "latents"]

Model = Callable[..., Subject]
Drawn = Callable[..., dict[str, Figure]]


@pytest.fixture(scope="module")
def model(digits: dict[str, Images]) -> Model:
    """An untrained model of the given config, made once."""

    @cache
    def made(**config: Any) -> Subject:
        history = twelve_epochs(config.get("mode", "vae"), config.get("noise", "none"))
        return untrained(digits["validation"], (8, 8), history, **config)

    return made


@pytest.fixture(scope="module")
def drawn(model: Model) -> Drawn:
    """The figures of the model of the given config, drawn once."""

    @cache
    def figures(**config: Any) -> dict[str, Figure]:
        torch.set_num_threads(1)
        return dict(checkpoint_figures(model(**config)))

    return figures


def _slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


def _names(subject: Subject, **keywords: Any) -> list[str]:
    names = []
    for name, figure in checkpoint_figures(subject, **keywords):
        names.append(name)
        assert_can_be_read(figure)
    return names


# Every model


@pytest.mark.parametrize("latent_size", [_slow(1), 2, _slow(3), _slow(32), 200])
def test_every_figure_of_a_vae_can_be_read(drawn: Drawn, latent_size: int) -> None:
    figures = drawn(latent_size=latent_size, learning_rate=0.000123456)
    expected = {*ALWAYS, *OF_AN_ENCODER, "kl_per_dimension"} | ({"manifold"} if latent_size <= 2 else set())
    assert list(figures) == [name for name in FIGURES if name in expected]
    for figure in figures.values():
        assert_can_be_read(figure)


@pytest.mark.parametrize("noise", ["none", "gaussian", "salt_pepper"])
@pytest.mark.parametrize("latent_size", [1, 2, 12])
@pytest.mark.parametrize("mode", ["autoencoder", "decoder_only"])
def test_other_modes_lack_the_figures_that_make_no_sense_for_them(
    model: Model, mode: str, latent_size: int, noise: str
) -> None:
    expected = {"kl_per_dimension"}
    if mode == "decoder_only":
        expected |= {*OF_AN_ENCODER, "tsne"}
    if mode == "decoder_only" or noise == "none":
        expected.add("denoising")
    assert absent(model(mode=mode, latent_size=latent_size, noise=noise)).keys() == expected


@pytest.mark.parametrize(
    ("mode", "latent_size", "noise"),
    [
        ("autoencoder", 12, "salt_pepper"),
        ("decoder_only", 2, "gaussian"),
        *(_slow("autoencoder", size, noise) for size in (1, 2) for noise in ("none", "gaussian", "salt_pepper")),
        *(_slow("autoencoder", 12, noise) for noise in ("none", "gaussian")),
        *(_slow("decoder_only", size, noise) for size in (1, 12) for noise in ("none", "gaussian", "salt_pepper")),
        *(_slow("decoder_only", 2, noise) for noise in ("none", "salt_pepper")),
    ],
)
def test_every_figure_of_the_other_modes_can_be_read(drawn: Drawn, mode: str, latent_size: int, noise: str) -> None:
    figures = drawn(mode=mode, latent_size=latent_size, noise=noise)
    expected = {*ALWAYS} if mode == "decoder_only" else {*ALWAYS, *OF_AN_ENCODER}
    if mode != "decoder_only" and noise != "none":
        expected.add("denoising")
    if latent_size <= 2:
        expected.add("manifold")
    assert list(figures) == [name for name in FIGURES if name in expected]
    for figure in figures.values():
        assert_can_be_read(figure)


@pytest.mark.parametrize("likelihood", [_slow("bernoulli"), "continuous_bernoulli", _slow("gaussian")])
def test_a_long_description_can_be_read(drawn: Drawn, likelihood: str) -> None:
    config = {"noise": "salt_pepper", "binarize": "stochastic", "kl_warmup_epochs": 10, "free_bits": 0.25}
    figures = drawn(likelihood=likelihood, hidden_layers=3, dropout=0.2, **config)
    assert len(figures) == 8
    for figure in figures.values():
        assert_can_be_read(figure)


OF_CLASSES = ["reconstructions", "traversals", "interpolations", "latents"]  # the figures that name them
LONG_NAMES = tuple(f"a class of a very long name, number {number}" for number in range(10))


@pytest.mark.parametrize("latent_size", [_slow(1), 2, _slow(3)])
@pytest.mark.parametrize("names", [_slow(FASHION.class_names), LONG_NAMES], ids=["fashion", "long"])
def test_long_names_of_classes_can_be_read(digits: dict[str, Images], names: tuple[str, ...], latent_size: int) -> None:
    images, history = digits["validation"], twelve_epochs()
    subject = untrained(images, (8, 8), history, class_names=names, latent_size=latent_size)
    assert _names(subject, only=OF_CLASSES) == OF_CLASSES


@pytest.mark.parametrize("latent_size", [1, _slow(2)])
@pytest.mark.parametrize("n_classes", [_slow(2), _slow(3), 26, _slow(60)])
def test_many_classes_can_be_read(digits: dict[str, Images], n_classes: int, latent_size: int) -> None:
    images = Images(digits["validation"].pixels, np.arange(180) % n_classes)
    names = tuple(f"class {number}" for number in range(n_classes))
    subject = untrained(images, (8, 8), twelve_epochs(), class_names=names, latent_size=latent_size)
    assert _names(subject, only=OF_CLASSES) == OF_CLASSES


@pytest.mark.slow
@pytest.mark.mnist
def test_every_figure_of_an_mnist_model_can_be_read(data_dir: Path) -> None:
    images = load("mnist", data_dir, "validation")
    _names(untrained(images, (28, 28), twelve_epochs(), "mnist", hidden_layers=3))


@pytest.mark.parametrize("history", [[], [metrics(1)], [metrics(1), nan_metrics(2)], [nan_metrics(1)]])
@pytest.mark.filterwarnings("error")
def test_whatever_the_history_the_curves_can_be_drawn(digits: dict[str, Images], history: list[EpochMetrics]) -> None:
    subject = untrained(digits["validation"], (8, 8), history, latent_size=2)
    assert _names(subject, only=["learning_curves"]) == ["learning_curves"]


NOT_SQUARE = [
    (shape, latent_size, dataset)
    for shape in ((28, 20), (20, 28), (6, 40))
    for latent_size in (1, 2, 3)
    for dataset in ("freyface", "somewhere/else")
]
ALWAYS_DRAWN = (((28, 20), 2, "freyface"), ((6, 40), 1, "somewhere/else"))


@pytest.mark.parametrize(
    ("shape", "latent_size", "dataset"), [one if one in ALWAYS_DRAWN else _slow(*one) for one in NOT_SQUARE]
)
def test_images_without_classes_that_are_not_square_can_be_drawn(
    shape: tuple[int, int], latent_size: int, dataset: str
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, shape[0] * shape[1]), np.uint8)
    images = Images(pixels, np.zeros(40, np.int64))
    _names(untrained(images, shape, twelve_epochs(), dataset, latent_size=latent_size))


@pytest.mark.parametrize(
    ("mode", "latent_size"),
    [
        ("vae", 1),
        ("autoencoder", 3),
        *(_slow("vae", size) for size in (2, 3)),
        *(_slow("autoencoder", size) for size in (1, 2)),
        *(_slow("decoder_only", size) for size in (1, 2, 3)),
    ],
)
@pytest.mark.filterwarnings("error")
def test_the_smallest_split_can_be_drawn(digits: dict[str, Images], mode: str, latent_size: int) -> None:
    """A folder of few images has two in validation."""
    images = Images(digits["validation"].pixels[:2], digits["validation"].labels[:2])
    _names(untrained(images, (8, 8), twelve_epochs(mode), mode=mode, latent_size=latent_size))


@pytest.mark.parametrize(
    ("mode", "latent_size"),
    [
        ("autoencoder", 3),
        *(_slow("vae", size) for size in (1, 2, 3)),
        *(_slow("autoencoder", size) for size in (1, 2)),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_model_whose_codes_are_all_one_point_can_be_drawn(
    digits: dict[str, Images], mode: str, latent_size: int
) -> None:
    history = twelve_epochs(mode)
    subject = untrained(digits["validation"], (8, 8), history, mode=mode, latent_size=latent_size)
    with torch.no_grad():
        subject.model.mean.weight.zero_()
    again = Subject.of(subject.model, subject.description, "validation", subject.images, history)
    assert again.codes is not None
    assert np.ptp(again.codes, axis=0).max() == 0
    _names(again)


# What is asked for


SIZES = {
    "columns": ("reconstructions", 1, 60),
    "rows": ("reconstructions", 1, 18),
    "samples": ("samples", 1, 1000),
    "manifold_grid": ("manifold", 2, 40),
    "manifold_range": ("manifold", 0.01, 8.0),
    "traversals": ("traversals", 1, 12),
    "interpolations": ("interpolations", 1, 20),
    "latent_samples": ("latents", 2, 180),
}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("mode", ["vae", _slow("autoencoder")])
def test_whatever_the_size_the_figures_can_be_read(model: Model, name: str, mode: str) -> None:
    figure, *sizes = SIZES[name]
    for size in sizes:
        options = FigureOptions(**{name: size})
        assert _names(model(mode=mode, latent_size=12), options=options, only=[str(figure)]) == [figure]


@pytest.mark.parametrize(
    "asked", [{"only": ["manifold"]}, {"options": FigureOptions(manifold_grid=3), "only": ()}], ids=["only", "grid"]
)
def test_the_manifold_of_more_than_two_latents_is_drawn_where_it_is_asked_for(
    model: Model, asked: dict[str, Any]
) -> None:
    figures = dict(checkpoint_figures(model(latent_size=5), **asked))
    assert "the other 3 latents at 0" in words(figures["manifold"])


def test_only_what_is_asked_for_is_drawn(model: Model) -> None:
    assert _names(model(latent_size=2), only=["manifold", "samples"]) == ["samples", "manifold"]


@pytest.mark.parametrize(
    ("mode", "name", "reason"),
    [
        ("vae", "denoising", "without noise"),
        ("autoencoder", "kl_per_dimension", "no posterior"),
        ("decoder_only", "latents", "no code"),
        ("decoder_only", "interpolations", "no code"),
    ],
)
def test_a_figure_that_a_model_cannot_have_says_why_when_asked_for(
    model: Model, mode: str, name: str, reason: str
) -> None:
    ((shown, figure),) = checkpoint_figures(model(mode=mode, latent_size=2), only=[name])
    assert shown == name
    assert reason in words(figure)
    assert_can_be_read(figure)


def test_tsne_is_drawn_when_asked_for(model: Model) -> None:
    options = FigureOptions(tsne=True, perplexity=7.0, latent_samples=40)
    ((_, figure),) = checkpoint_figures(model(latent_size=3), options, only=["tsne"])
    assert_can_be_read(figure)
    assert "perplexity 7" in words(figure)
    assert "40 of the images" in words(figure)


# Whatever the figure


def test_a_figure_says_which_model_it_is_of(drawn: Drawn) -> None:
    for name, figure in drawn(latent_size=2, learning_rate=0.000123456).items():
        written = words(figure)
        assert "digits" in written
        assert "latent size 2" in written
        if name in ("reconstructions", "latents", "kl_per_dimension"):
            assert "validation split, 180 images" in written


@pytest.mark.slow
def test_the_same_figure_is_drawn_twice_the_same(model: Model, drawn: Drawn) -> None:
    config = {"latent_size": 3, "learning_rate": 0.000123456}
    first = {name: render(figure) for name, figure in drawn(**config).items()}
    torch.rand(10)  # a global generator that has moved on changes nothing
    assert first == {name: render(figure) for name, figure in checkpoint_figures(model(**config))}
