"""Drawings of a checkpoint: whether every text can be read. What is drawn, the tests of report.views check."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from report.drawing.captions import describe
from report.drawing.checkpoint.figures import FIGURES, checkpoint_figures
from report.drawing.checkpoint.options import FigureOptions
from report.drawing.style import render, signed
from report.models.subject import Subject
from report.numbers.checkpoint.walks import manifold, traversals
from tests.material.figures import assert_can_be_read, words
from tests.material.reports import metrics, nan_metrics
from vae.config import TrialConfig
from vae.datasets.mnist import FASHION
from vae.datasets.registry import load
from vae.datasets.types import Images
from vae.model.metrics import EpochMetrics, Terms
from vae.model.network import Vae, initial_weights
from vae.storage.checkpoint import Description

ALWAYS = ["reconstructions", "samples", "manifold", "traversals", "learning_curves"]
OF_AN_ENCODER = ["interpolations", "latents"]


def _subject(
    images: Images,
    shape: tuple[int, int],
    history: list[EpochMetrics],
    dataset: str = "digits",
    class_names: tuple[str, ...] | None = None,
    **config: Any,
) -> Subject:
    """An untrained model: what the figures say is not of interest here, whether they can be drawn is."""
    chosen = TrialConfig(**config)
    n_pixels = shape[0] * shape[1]
    model = Vae.alone(n_pixels, chosen)
    model.load_state_dict(initial_weights(n_pixels, chosen))
    description = Description(chosen, dataset, shape, max(1, len(history)), history)
    return Subject.of(model, description, "validation", images, history, class_names)


def _history(mode: str = "vae", noise: str = "none") -> list[EpochMetrics]:
    """Twelve epochs of a trial, with the numbers that its mode has."""
    found = []
    for epoch in range(1, 13):
        terms = Terms(200.0 / epoch, 20.0 if mode == "vae" else None)
        noisy = terms if noise != "none" and mode != "decoder_only" else None
        found.append(EpochMetrics.of(epoch, 1.0, terms, terms, noisy, 0.5))
    return found


HISTORY = _history()


def _names(subject: Subject, **keywords: Any) -> list[str]:
    names = []
    for name, figure in checkpoint_figures(subject, **keywords):
        names.append(name)
        assert_can_be_read(figure)
    return names


@pytest.mark.parametrize("latent_size", [1, 2, 3, 32, 200])
def test_every_figure_of_a_vae_can_be_read(digits: dict[str, Images], latent_size: int) -> None:
    subject = _subject(digits["validation"], (8, 8), HISTORY, latent_size=latent_size, learning_rate=0.000123456)
    expected = {*ALWAYS, *OF_AN_ENCODER, "kl_per_dimension"}
    assert _names(subject) == [name for name in FIGURES if name in expected]


@pytest.mark.parametrize("noise", ["none", "gaussian", "salt_pepper"])
@pytest.mark.parametrize("latent_size", [1, 2, 12])
@pytest.mark.parametrize("mode", ["autoencoder", "decoder_only"])
def test_other_modes_have_the_figures_that_make_sense_for_them(
    digits: dict[str, Images], mode: str, latent_size: int, noise: str
) -> None:
    history = _history(mode, noise)
    config = {"mode": mode, "latent_size": latent_size, "noise": noise}
    names = _names(_subject(digits["validation"], (8, 8), history, **config))
    expected = {*ALWAYS} if mode == "decoder_only" else {*ALWAYS, *OF_AN_ENCODER}
    if mode != "decoder_only" and noise != "none":
        expected.add("denoising")
    assert names == [name for name in FIGURES if name in expected]


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian"])
def test_a_long_description_can_be_read(digits: dict[str, Images], likelihood: str) -> None:
    config = {"noise": "salt_pepper", "binarize": "stochastic", "kl_warmup_epochs": 10, "free_bits": 0.25}
    subject = _subject(
        digits["validation"],
        (8, 8),
        _history(noise="gaussian"),
        likelihood=likelihood,
        hidden_layers=3,
        dropout=0.2,
        **config,
    )
    assert len(_names(subject)) == 9


def test_long_names_of_classes_and_many_classes_can_be_read(digits: dict[str, Images]) -> None:
    validation = digits["validation"]
    named = ["reconstructions", "traversals", "interpolations", "latents"]
    long = tuple(f"a class of a very long name, number {number}" for number in range(10))
    for latent_size, names in itertools.product((1, 2, 3), (FASHION.class_names, long)):
        _names(_subject(validation, (8, 8), HISTORY, class_names=names, latent_size=latent_size), only=named)
    for n_classes in (2, 3, 26, 60):
        images = Images(validation.pixels, np.arange(180) % n_classes)
        names = tuple(f"class {number}" for number in range(n_classes))
        for latent_size in (1, 2):
            _names(_subject(images, (8, 8), HISTORY, class_names=names, latent_size=latent_size), only=named)


@pytest.mark.mnist
def test_every_figure_of_an_mnist_model_can_be_read(data_dir: Path) -> None:
    images = load("mnist", data_dir, "validation")
    _names(_subject(images, (28, 28), HISTORY, "mnist", hidden_layers=3))


@pytest.mark.parametrize("history", [[], [metrics(1)], [metrics(1), nan_metrics(2)], [nan_metrics(1)]])
@pytest.mark.filterwarnings("error")
def test_whatever_the_history_the_curves_can_be_drawn(digits: dict[str, Images], history: list[EpochMetrics]) -> None:
    subject = _subject(digits["validation"], (8, 8), history, latent_size=2)
    assert _names(subject, only=["learning_curves"]) == ["learning_curves"]


@pytest.mark.parametrize("latent_size", [1, 2, 3])
@pytest.mark.parametrize("shape", [(28, 20), (20, 28), (6, 40)])
def test_images_without_classes_that_are_not_square_can_be_drawn(shape: tuple[int, int], latent_size: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, shape[0] * shape[1]), np.uint8)
    images = Images(pixels, np.zeros(40, np.int64))
    for dataset in ("freyface", "somewhere/else"):
        _names(_subject(images, shape, HISTORY, dataset, latent_size=latent_size))


@pytest.mark.parametrize("mode", ["vae", "autoencoder", "decoder_only"])
@pytest.mark.filterwarnings("error")
def test_the_smallest_split_can_be_drawn(digits: dict[str, Images], mode: str) -> None:
    """A folder of few images has two in validation."""
    images = Images(digits["validation"].pixels[:2], digits["validation"].labels[:2])
    for latent_size in (1, 2, 3):
        _names(_subject(images, (8, 8), _history(mode), mode=mode, latent_size=latent_size))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mode", ["vae", "autoencoder"])
def test_a_model_whose_codes_are_all_one_point_can_be_drawn(digits: dict[str, Images], mode: str) -> None:
    for latent_size in (1, 2, 3):
        subject = _subject(digits["validation"], (8, 8), _history(mode), mode=mode, latent_size=latent_size)
        with torch.no_grad():
            subject.model.mean.weight.zero_()
        again = Subject.of(subject.model, subject.description, "validation", subject.images, subject.history)
        assert again.codes is not None
        assert np.ptp(again.codes, axis=0).max() == 0
        _names(again)


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
@pytest.mark.parametrize("mode", ["vae", "autoencoder"])
def test_whatever_the_size_the_figures_can_be_read(digits: dict[str, Images], name: str, mode: str) -> None:
    subject = _subject(digits["validation"], (8, 8), _history(mode), mode=mode, latent_size=12)
    figure, *sizes = SIZES[name]
    for size in sizes:
        assert _names(subject, options=FigureOptions(**{name: size}), only=[str(figure)]) == [figure]


def test_only_what_is_asked_for_is_drawn(digits: dict[str, Images]) -> None:
    subject = _subject(digits["validation"], (8, 8), HISTORY, latent_size=2)
    assert _names(subject, only=["manifold", "samples"]) == ["samples", "manifold"]


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
    digits: dict[str, Images], mode: str, name: str, reason: str
) -> None:
    subject = _subject(digits["validation"], (8, 8), _history(mode), mode=mode, latent_size=2)
    ((drawn, figure),) = checkpoint_figures(subject, only=[name])
    assert drawn == name
    assert reason in words(figure)
    assert_can_be_read(figure)


def test_tsne_is_drawn_when_asked_for(digits: dict[str, Images]) -> None:
    subject = _subject(digits["validation"], (8, 8), HISTORY, latent_size=3)
    options = FigureOptions(tsne=True, perplexity=7.0, latent_samples=40)
    ((_, figure),) = checkpoint_figures(subject, options, only=["tsne"])
    assert_can_be_read(figure)
    assert "perplexity 7" in words(figure)
    assert "40 of the images" in words(figure)


def test_a_figure_says_which_model_it_is_of(digits: dict[str, Images]) -> None:
    subject = _subject(digits["validation"], (8, 8), [metrics(1, 80.0, 23.5)], latent_size=2, beta=4.0)
    about = describe(subject.description)
    for fact in ("digits", "latent size 2", "β 4", "epoch 1", "ELBO \N{MINUS SIGN}103.50 nats"):
        assert fact in about
    for name, figure in checkpoint_figures(subject):
        written = words(figure)
        assert "digits" in written
        assert "latent size 2" in written
        if name in ("reconstructions", "latents", "kl_per_dimension"):
            assert "validation split, 180 images" in written


@pytest.mark.parametrize(
    ("config", "says", "is_silent_of"),
    [
        ({"mode": "autoencoder", "beta": 3.0}, ["autoencoder", "distortion 16.67 nats"], ["β", "ELBO"]),
        ({"mode": "decoder_only", "noise": "gaussian"}, ["decoder only"], ["noise", "β"]),
        ({"noise": "gaussian", "noise_factor": 0.5}, ["Gaussian noise 0.5", "β 1"], ["binarised"]),
        ({"likelihood": "gaussian", "binarize": "threshold"}, ["Gaussian likelihood", "binarised at one half"], []),
        ({"kl_warmup_epochs": 5, "free_bits": 0.1, "dropout": 0.3}, ["5 epochs", "free bits 0.1", "dropout 0.3"], []),
    ],
)
def test_the_description_says_what_is_not_as_usual(
    config: dict[str, Any], says: list[str], is_silent_of: list[str]
) -> None:
    about = describe(Description(TrialConfig(**config), "digits", (8, 8), 12, _history(config.get("mode", "vae"))))
    assert all(fact in about for fact in says), about
    assert not any(fact in about for fact in is_silent_of), about


def _drawn(subject: Subject, name: str, **options: Any) -> list[Axes]:
    ((_, figure),) = checkpoint_figures(subject, FigureOptions(**options), only=[name])
    assert_can_be_read(figure)
    return figure.axes


@pytest.mark.parametrize("mode", ["vae", "autoencoder"])
@pytest.mark.parametrize("grid", [2, 7, 20, 33])
def test_the_ticks_of_the_manifold_stand_at_the_images_they_name(
    digits: dict[str, Images], mode: str, grid: int
) -> None:
    subject = _subject(digits["validation"], (8, 8), _history(mode), mode=mode, latent_size=2)
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
    subject = _subject(digits["validation"], (8, 8), HISTORY, latent_size=2)
    (axes,) = _drawn(subject, "manifold", manifold_grid=3, manifold_range=1.5, manifold_spacing="uniform")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["\N{MINUS SIGN}1.50", "0.00", "1.50"]


def test_rows_of_a_traversal_are_named_by_latent_and_kl(digits: dict[str, Images]) -> None:
    subject = _subject(digits["validation"], (8, 8), HISTORY, latent_size=3)
    axes = _drawn(subject, "traversals", traversal_image=7)[1]
    numbers = traversals(subject, 7)
    expected = [f"z{index}\nKL {kl:.2f} nats" for index, kl in zip(numbers.dimensions, numbers.strengths, strict=True)]
    assert [label.get_text() for label in axes.get_yticklabels()] == expected
    assert [label.get_text() for label in axes.get_xticklabels()][::5] == ["\N{MINUS SIGN}3.0", "0.0", "3.0"]
    assert f"image 7 (class {digits['validation'].labels[7]})" in words(axes.figure)  # type: ignore[arg-type]


def test_the_classes_of_the_latents_go_by_their_names(digits: dict[str, Images]) -> None:
    subject = _subject(digits["validation"], (8, 8), HISTORY, class_names=FASHION.class_names, latent_size=2)
    (axes,) = _drawn(subject, "latents")
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == list(FASHION.class_names)


def test_a_film_is_coloured_by_its_time() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 560), np.uint8)
    subject = _subject(Images(pixels, np.zeros(40, np.int64)), (28, 20), HISTORY, "freyface", latent_size=2)
    axes, bar = _drawn(subject, "latents")
    (points,) = axes.collections
    colours = points.get_array()
    assert colours is not None
    assert colours.tolist() == list(range(40))
    assert "frame" in bar.get_ylabel()


def test_the_same_figure_is_drawn_twice_the_same(digits: dict[str, Images]) -> None:
    subject = _subject(digits["validation"], (8, 8), HISTORY, latent_size=3)
    first = {name: render(figure) for name, figure in checkpoint_figures(subject)}
    torch.rand(10)  # a global generator that has moved on changes nothing
    assert first == {name: render(figure) for name, figure in checkpoint_figures(subject)}
