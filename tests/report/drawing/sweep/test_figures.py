"""Drawings of a sweep: whether every text can be read. What is drawn, the tests of the numbers check."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from report.drawing.sweep.figures import sweep_figures
from report.drawing.sweep.importance import draw_importance
from report.drawing.sweep.sheet import draw_sheet
from report.numbers.sweep.compared_trials import Column
from report.numbers.sweep.importance import Importance
from report.numbers.sweep.scores import Metric
from report.numbers.sweep.sheet import Sheet, sheet_column
from tests.material.figures import assert_can_be_read, texts, words
from tests.material.reports import SEARCH, metrics, record, sweep
from tests.material.studies import choices, seeds, trial
from tests.material.subjects import untrained
from tuning.records import SweepRecord
from vae.datasets.types import Images

NAMES = ["rate_distortion", "optimisation_history", "parameter_importance", "slices", "bound_per_images_seen"]
MINUS = "\N{MINUS SIGN}"
ALIKE = ("equal", "no beta", "many")  # the figures of these sweeps are laid out as those of others are


def _slow(value: Any) -> Any:
    return pytest.param(value, marks=pytest.mark.slow)


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
        "two objectives": sweep(here, [replace(one, metric="rate_distortion") for one in mixed + many]),
        "modes": _modes(),
        "conditional": _conditional(),
    }


def _modes() -> SweepRecord:
    trials = [trial(mode, {"mode": mode}, 90.0, metric="val_distortion") for mode in ("decoder_only", "autoencoder")]
    return sweep(Path(), trials, {"mode": choices("vae", "autoencoder", "decoder_only")})


def _conditional() -> SweepRecord:
    trials = [trial("a", {"noise": "none"}), trial("b", {"noise": "gaussian", "noise_factor": 0.5})]
    return sweep(Path(), trials, {"noise": choices("none", "gaussian"), "noise_factor": choices(0.25, 0.5)})


@pytest.mark.parametrize("name", [_slow(name) if name in ALIKE else name for name in _sweeps()])
@pytest.mark.filterwarnings("error")
def test_every_figure_of_a_sweep_can_be_drawn_and_read_whatever_it_reached(name: str) -> None:
    names = []
    for figure_name, figure in sweep_figures(_sweeps()[name]):
        names.append(figure_name)
        assert_can_be_read(figure)
    assert names == NAMES


@pytest.mark.parametrize("distortions", [[90.0, 80.0, 85.0], _slow([90.0, 90.0]), _slow([90.0])])
@pytest.mark.filterwarnings("error")
def test_figures_of_repeated_trials_say_how_many_and_what_the_bars_are(distortions: list[float]) -> None:
    trials = [one for number in range(40) for one in seeds(number, {"beta": 0.1 + number}, [80.0 + number, 90.0])]
    trials += seeds(40, {"beta": 9.5}, distortions)
    figures = dict(sweep_figures(sweep(Path(), trials, {"beta": SEARCH["beta"]})))
    assert list(figures) == [*NAMES, "repeats"]
    for figure in figures.values():
        assert_can_be_read(figure)
    n = {3: "2 to 3", 2: "2", 1: "1 to 2"}[len(distortions)]
    for name in ("optimisation_history", "slices"):
        assert f"bar: standard deviation \N{MIDDLE DOT} n = {n}" in words(figures[name])
    assert f"n = {n} seeds" in words(figures["repeats"])
    assert "the best 30 of 41 configurations" in words(figures["repeats"])


@pytest.mark.filterwarnings("error")
def test_a_sweep_with_input_noise_has_a_figure_of_it() -> None:
    trials = [
        trial(f"{kind}{factor}", {"noise": kind, "noise_factor": factor}, 80.0, noisy=85.0)
        for kind in ("gaussian", "salt_pepper")
        for factor in (0.25, 0.5)
    ]
    search = {"noise": choices("gaussian", "salt_pepper"), "noise_factor": choices(0.25, 0.5)}
    figures = dict(sweep_figures(sweep(Path(), trials, search)))
    assert_can_be_read(figures["denoising"])
    assert "salt and pepper" in words(figures["denoising"])


def test_a_trial_too_far_away_is_said_to_be_on_the_border() -> None:
    trials = [record(str(i), [-100.0 - i]) for i in range(9)] + [record("far", [-5e4])]
    figure = dict(sweep_figures(sweep(Path(), trials)))["rate_distortion"]
    assert "1 trial beyond the axes, at their border" in words(figure)


def test_where_no_trial_has_a_rate_a_sentence_says_so() -> None:
    figures = dict(sweep_figures(_modes()))
    assert "No trial of this sweep has a rate" in words(figures["rate_distortion"])
    for name in ("optimisation_history", "slices"):
        assert "validation distortion" in words(figures[name])
        assert "ELBO" not in words(figures[name])
    assert "Distortion against training images seen" in words(figures["bound_per_images_seen"])


def test_a_slice_says_how_many_trials_do_not_have_its_hyperparameter() -> None:
    assert "not searched in 1 trial" in words(dict(sweep_figures(_conditional()))["slices"])


def test_every_finished_trial_of_a_slice_is_within_its_axes() -> None:
    trials = [trial("best", {"noise": "none"}, 60.0), trial("a", {"noise": "gaussian", "noise_factor": 0.5}, 80.0)]
    swept = sweep(Path(), trials, {"noise": choices("none", "gaussian"), "noise_factor": choices(0.25, 0.5)})
    for axes in dict(sweep_figures(swept))["slices"].axes:
        low, high = axes.get_ylim()
        assert low < -100.0
        assert high > -80.0


def test_the_front_is_drawn_as_steps_between_its_trials() -> None:
    pairs = [(20.0, 80.0), (5.0, 120.0), (25.0, 90.0)]
    trials = [trial(f"{r}", {"beta": r}, d, r, metric="rate_distortion") for r, d in pairs]
    figure = dict(sweep_figures(sweep(Path(), trials, {"beta": SEARCH["beta"]})))["rate_distortion"]
    (steps,) = (line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post")
    assert np.asarray(steps.get_xydata()).tolist() == [[5.0, 120.0], [20.0, 80.0]]
    assert "on the front" in words(figure)


@pytest.mark.parametrize(
    ("by_epoch", "note"),
    [
        (3, "PED-ANOVA: best 5 against all 32 trials, compared at epoch 3"),
        (None, "PED-ANOVA: best 5 against all 32 complete trials"),
    ],
)
def test_importance_says_which_trials_it_compares(by_epoch: int | None, note: str) -> None:
    numbers = Importance({"beta": 0.75, "latent_size": 0.25}, 32, 5, by_epoch=by_epoch, left_out=["noise_factor"])
    figure = draw_importance(numbers, Metric("ELBO", 1), "demo")
    assert_can_be_read(figure)
    written = words(figure).replace("\n", " ")
    assert note in written
    assert "left out, because not every trial has it: noise factor" in written
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.25, 0.75]  # from the bottom
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["latent size", "β"]


# The sheet


def _sheet(images: Images, shape: tuple[int, int], configs: dict[tuple[str, ...], dict[str, Any]]) -> Sheet:
    columns = []
    for parts, config in configs.items():
        kl = 20.0 if config.get("mode", "vae") == "vae" else None
        epoch = metrics(1) if kl else replace(metrics(1), val_elbo=None, val_rate=None)
        if "noise" in config:
            epoch = replace(epoch, val_noisy_elbo=-123.0, val_noisy_rate=20.0, val_noisy_distortion=103.0)
        subject = untrained(images, shape, [epoch], hidden_units=8, **config)
        columns.append(sheet_column(Column(parts, record("a", [])), subject))
    return Sheet(columns, "the best trial of each fifth of the values of learning rate")


MODES = {
    ("vae", "seed 1"): {"latent_size": 2},
    ("autoencoder", "seed 1"): {"latent_size": 2, "mode": "autoencoder"},
    ("decoder only", "seed 1"): {"latent_size": 2, "mode": "decoder_only"},
}
SIZES = {
    (f"latent size {size}", "learning rate 0.0001234", f"β {size}.123"): {"latent_size": size} for size in range(1, 9)
}
NOISE = {("noise none",): {"latent_size": 5}, ("gaussian",): {"latent_size": 5, "noise": "gaussian"}}
MANY_PARTS = {
    tuple(f"{name} 128" for name in ("latent size", "hidden units", "batch size", "epochs")): {"latent_size": 2}
}


@pytest.mark.parametrize("configs", [MODES, SIZES, NOISE, MANY_PARTS], ids=["modes", "sizes", "noise", "many parts"])
@pytest.mark.filterwarnings("error")
def test_a_sheet_can_be_read(digits: dict[str, Images], configs: dict[tuple[str, ...], dict[str, Any]]) -> None:
    figure = draw_sheet(_sheet(digits["validation"], (8, 8), configs), "demo \N{MIDDLE DOT} digits")
    assert_can_be_read(figure)
    written = words(figure)
    for parts in configs:
        assert all(part in written for part in parts)
    for row in ("held-out images", "reconstruction", "samples"):
        assert row in written
    assert "the best trial of each fifth" in written


def test_a_sheet_of_images_without_classes_that_are_not_square_can_be_read() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 28 * 20), np.uint8)
    images = Images(pixels, np.zeros(40, np.int64))
    assert_can_be_read(draw_sheet(_sheet(images, (28, 20), MODES), "demo \N{MIDDLE DOT} faces"))


def _rows(figure: Any) -> set[str]:
    """The names of the rows, which stand to the left of all columns."""
    return {text.get_text().split("\n")[0] for text, _ in texts(figure) if text.get_horizontalalignment() == "right"}


def test_a_row_that_most_models_lack_is_left_out_and_a_model_without_a_view_says_why(digits: dict[str, Images]) -> None:
    modes = draw_sheet(_sheet(digits["validation"], (8, 8), MODES), "demo")
    assert {"manifold", "latents of", "reconstruction"} <= _rows(modes)
    assert "no encoder" in words(modes)
    assert "no codes in a plane" in words(modes)
    noise = draw_sheet(_sheet(digits["validation"], (8, 8), NOISE), "demo")
    assert "what the" in _rows(noise)
    assert not {"manifold", "latents of"} & _rows(noise)
    assert not {"manifold", "latents of"} & _rows(draw_sheet(_sheet(digits["validation"], (8, 8), SIZES), "demo"))


def test_a_column_has_the_numbers_of_its_model(digits: dict[str, Images]) -> None:
    written = words(draw_sheet(_sheet(digits["validation"], (8, 8), MODES), "demo"))
    assert (
        f"trial a\nELBO {MINUS}110.00\nrate 20.0, distortion 90.0" in written
    )  # as tests.material.reports.metrics makes them
    assert "distortion 90.00" in written
    noisy = words(draw_sheet(_sheet(digits["validation"], (8, 8), NOISE), "demo"))
    assert f"ELBO, corrupted input {MINUS}123.00" in noisy


def test_without_a_model_the_sheet_says_so() -> None:
    assert "No compared trial has left a model" in words(draw_sheet(Sheet([], ""), "demo"))
