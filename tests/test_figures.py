"""Drawings: whether every text can be read. What is drawn, test_views and test_study check."""

import itertools
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from report_material import SEARCH, metrics, nan_metrics, record, sweep

from report.figures import checkpoint_figures, describe, signed
from report.study_figures import sweep_figures
from report.views import Subject, prior_quantiles
from tuning.records import SweepRecord
from vae.checkpoint import Description
from vae.config import TrialConfig
from vae.data import Images, load
from vae.metrics import EpochMetrics
from vae.model import Vae, initial_weights

NAMES = ["reconstructions", "samples", "manifold", "latents", "kl_per_dimension", "learning_curves"]
SWEEP_NAMES = ["rate_distortion", "optimisation_history", "parameter_importance", "slices"]


def _subject(
    images: Images, shape: tuple[int, int], history: list[EpochMetrics], dataset: str = "digits", **config: Any
) -> Subject:
    """An untrained model: what the figures say is not of interest here, whether they can be drawn is."""
    chosen = TrialConfig(**config)
    n_pixels = shape[0] * shape[1]
    model = Vae(n_pixels, chosen)
    model.load_state_dict(initial_weights(n_pixels, chosen))
    description = Description(chosen, dataset, shape, max(1, len(history)), history)
    return Subject.of(model, description, "validation", images, history)


def _texts(figure: Figure) -> list[tuple[Text, np.ndarray]]:
    """Every text that is drawn and its corners (left, bottom, right, top) in pixels.

    matplotlib keeps texts that it does not draw, such as the labels of ticks outside the axes.
    """
    drawn: list[Text] = []
    draw = Text.draw

    def recording(text: Text, renderer: RendererAgg) -> None:
        drawn.extend([text] if text.get_visible() else [])
        draw(text, renderer)

    with mock.patch.object(Text, "draw", recording):
        FigureCanvasAgg(figure).draw()
    return [(text, text.get_window_extent().extents) for text in drawn if text.get_text().strip()]


def _words(figure: Figure) -> str:
    return " ".join(text.get_text() for text, _ in _texts(figure))


def _assert_can_be_read(figure: Figure) -> None:
    """No text leaves the figure, no two upright texts cover each other."""
    width, height = figure.bbox.size
    texts = _texts(figure)
    assert texts
    for text, (left, bottom, right, top) in texts:
        outside = (left < -1, bottom < -1, right > width + 1, top > height + 1)
        assert not any(outside), f"{text.get_text()!r} leaves the figure: {left, bottom, right, top} of {width, height}"
    for (one, here), (other, there) in itertools.combinations(texts, 2):
        if one.get_rotation() % 90 == 0 and other.get_rotation() % 90 == 0:
            apart = (here[:2] > there[2:] - 1).any() or (there[:2] > here[2:] - 1).any()
            assert apart, f"{one.get_text()!r} covers {other.get_text()!r}"


HISTORY = [metrics(epoch, 200.0 / epoch) for epoch in range(1, 13)]


@pytest.mark.parametrize("latent_size", [1, 2, 3, 32, 200])
def test_every_figure_of_a_checkpoint_can_be_read(digits: dict[str, Images], latent_size: int) -> None:
    subject = _subject(digits["validation"], (8, 8), HISTORY, latent_size=latent_size, learning_rate=0.000123456)
    names = []
    for name, figure in checkpoint_figures(subject):
        names.append(name)
        _assert_can_be_read(figure)
    assert names == NAMES


@pytest.mark.mnist
def test_every_figure_of_an_mnist_model_can_be_read(data_dir: Path) -> None:
    images = load("mnist", data_dir, "validation")
    for _, figure in checkpoint_figures(_subject(images, (28, 28), HISTORY, "mnist", hidden_layers=3)):
        _assert_can_be_read(figure)


@pytest.mark.parametrize("history", [[], [metrics(1)], [metrics(1), nan_metrics(2)], [nan_metrics(1)]])
@pytest.mark.filterwarnings("error")
def test_whatever_the_history_the_curves_can_be_drawn(digits: dict[str, Images], history: list[EpochMetrics]) -> None:
    figures = dict(checkpoint_figures(_subject(digits["validation"], (8, 8), history, latent_size=2)))
    _assert_can_be_read(figures["learning_curves"])


def test_images_without_classes_that_are_not_square_can_be_drawn() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 28 * 20), np.uint8)
    images = Images(pixels, np.zeros(40, np.int64))
    for _, figure in checkpoint_figures(_subject(images, (28, 20), HISTORY, latent_size=3)):
        _assert_can_be_read(figure)


def test_a_figure_says_which_model_it_is_of(digits: dict[str, Images]) -> None:
    subject = _subject(digits["validation"], (8, 8), [metrics(1, 80.0, 23.5)], latent_size=2, beta=4.0)
    about = describe(subject.description)
    for fact in ("digits", "latent size 2", "β 4", "epoch 1", "ELBO \N{MINUS SIGN}103.50 nats"):
        assert fact in about
    for name, figure in checkpoint_figures(subject):
        written = _words(figure)
        assert "digits" in written
        assert "latent size 2" in written
        if name in ("reconstructions", "latents", "kl_per_dimension"):
            assert "validation split, 180 images" in written


def test_the_ticks_of_the_manifold_stand_at_the_images_they_name(digits: dict[str, Images]) -> None:
    subject = _subject(digits["validation"], (8, 8), HISTORY, latent_size=2)
    (axes,) = dict(checkpoint_figures(subject))["manifold"].axes
    (picture,) = axes.get_images()
    left, right, bottom, top = picture.get_extent()
    z = prior_quantiles(20)
    for ticks, labels, start, stop in (
        (axes.get_xticks(), axes.get_xticklabels(), left, right),
        (axes.get_yticks(), axes.get_yticklabels(), bottom, top),
    ):
        for tick, label in zip(ticks, labels, strict=True):
            index = int((tick - start) / (stop - start) * 20)  # from the left, or from the bottom
            assert label.get_text() == signed(z[index])


def test_the_same_figure_is_drawn_twice_the_same(digits: dict[str, Images]) -> None:
    from report.style import render

    subject = _subject(digits["validation"], (8, 8), HISTORY, latent_size=3)
    first = {name: render(figure) for name, figure in checkpoint_figures(subject)}
    torch.rand(10)  # a global generator that has moved on changes nothing
    assert first == {name: render(figure) for name, figure in checkpoint_figures(subject)}


def _sweeps() -> dict[str, SweepRecord]:
    here = Path()
    mixed = [
        record("a", [-120.0, -105.0], "complete", beta=0.5),
        record("b", [-180.0], "pruned", beta=4.0, activation="tanh"),
        record("c", [-107.0], "running", latent_size=64),
        record("d", [-110.0], "failed", beta=0.2),
        record("e", [-5e4], "complete", latent_size=1),
        record("f", [], "failed"),
    ]
    many = [record(f"{i}", [-100.0 - i % 7], latent_size=1 + i, beta=0.1 + i / 5) for i in range(30)]
    wide = {
        name: {"type": "float", "low": 1e-5, "high": 1.0, "log": True}
        for name in ("latent_size", "beta", "hidden_units", "learning_rate", "batch_size", "hidden_layers", "seed")
    }
    seven = [record("a", [-100.0]), record("b", [-101.0])]
    for one in seven:
        one.params = {name: float(getattr(one.config, name)) + 1e-3 for name in wide}
    return {
        "empty": sweep(here, []),
        "only failed": sweep(here, [record("f", [], "failed")]),
        "one": sweep(here, [record("a", [-100.0])]),
        "equal": sweep(here, [record(str(i), [-100.0]) for i in range(12)]),
        "mixed": sweep(here, mixed),
        "many": sweep(here, many),
        "nothing searched": sweep(here, mixed, {}),
        "no beta": sweep(here, mixed, {"latent_size": SEARCH["latent_size"]}),
        "seven": sweep(here, seven, wide),
    }


@pytest.mark.parametrize("name", _sweeps())
@pytest.mark.filterwarnings("error")
def test_every_figure_of_a_sweep_can_be_drawn_and_read_whatever_it_reached(name: str) -> None:
    names = []
    for figure_name, figure in sweep_figures(_sweeps()[name]):
        names.append(figure_name)
        _assert_can_be_read(figure)
    assert names == SWEEP_NAMES


def test_a_trial_too_far_away_is_said_to_be_hidden() -> None:
    trials = [record(str(i), [-100.0 - i]) for i in range(9)] + [record("far", [-5e4])]
    figure = dict(sweep_figures(sweep(Path(), trials)))["rate_distortion"]
    assert "1 trial far below the rest not shown" in _words(figure)


def test_a_negative_number_has_a_true_minus() -> None:
    assert signed(-103.456) == "\N{MINUS SIGN}103.46"
    assert signed(2.0, 0) == "2"
