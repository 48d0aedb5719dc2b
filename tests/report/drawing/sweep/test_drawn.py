"""What the figures of a sweep show, read back from them: points, lines, bars, colours. Legibility is tested apart."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from report.drawing.markers import COLOURS
from report.drawing.style import HIGHLIGHT, INK, VALIDATION
from report.drawing.sweep.figures import sweep_figures
from report.drawing.sweep.importance import draw_importance
from report.drawing.sweep.sheet import draw_sheet
from report.numbers.checkpoint.latents import Latents
from report.numbers.checkpoint.manifold import Manifold, Plane
from report.numbers.sweep.importance import Importance
from report.numbers.sweep.scores import Metric
from report.numbers.sweep.sheet import Sheet, SheetColumn
from tests.material.colours import contrast_with_white
from tests.material.figures import flat, greys, words
from tests.material.reports import SEARCH, metrics, record, sweep
from tests.material.studies import choices, seeds, trial

MINUS = "\N{MINUS SIGN}"
SEARCHED = {name: SEARCH[name] for name in ("latent_size", "beta")}


@cache
def _mixed() -> dict[str, Figure]:
    """Four finished trials, a pruned one among them and one worse, one running. Trial f only failed."""
    trials = [
        record("a", [-120.0, -105.0], rate=10.0, beta=0.5, latent_size=4),
        record("b", [-101.0], rate=20.0, beta=0.25, latent_size=8),
        record("c", [-103.0], "pruned", rate=12.0, beta=1.0, latent_size=16),
        record("d", [-108.0], rate=15.0, beta=2.0, latent_size=2),
        record("e", [-125.0], "pruned", rate=1.0, beta=4.0, latent_size=32),
        record("f", [], "failed"),
        record("g", [-102.0], "running", rate=18.0, beta=0.7, latent_size=3),
        record("h", [-104.0], rate=14.0, beta=8.0, latent_size=5),
    ]
    return dict(sweep_figures(sweep(Path(), trials, SEARCHED)))


def _points(axes: Axes) -> list[PathCollection]:
    """The marks of trials; rings around some of them have no face."""
    found = [one for one in axes.collections if isinstance(one, PathCollection)]
    return [one for one in found if len(one.get_facecolors()) and one.get_facecolors()[0][3] > 0]


def _marks(axes: Axes) -> dict[tuple[float, float], tuple[str, str]]:
    """Face and edge of each mark, by its place in the axes' own units; rounded."""
    marks = {}
    for points in _points(axes):
        faces, edges = points.get_facecolors(), points.get_edgecolors()
        for number, offset in enumerate(np.asarray(points.get_offsets())):
            x, y = axes.transData.inverted().transform(points.get_offset_transform().transform(offset))
            face, edge = faces[min(number, len(faces) - 1)], edges[min(number, len(edges) - 1)]
            marks[(round(float(x), 4), round(float(y), 4))] = (to_hex(face), to_hex(edge))
    return marks


def _line(axes: Axes, label: str) -> Line2D:
    (found,) = (line for line in axes.lines if line.get_label() == label)
    return found


def _bar_colour(figure: Figure, value: float) -> str:
    """The colour of a value in the figure's colour bar."""
    (mesh,) = (one for one in figure.axes[1].collections if one.get_array() is not None)
    return to_hex(mesh.to_rgba(value))


# rate and distortion


FINISHED = {"a": (10.0, 95.0, 0.5), "b": (20.0, 81.0, 0.25), "d": (15.0, 93.0, 2.0), "h": (14.0, 90.0, 8.0)}
OTHERS = {"c": (12.0, 91.0, 1.0), "g": (18.0, 84.0, 0.7)}


def test_a_trial_stands_at_its_rate_and_distortion_in_the_colour_of_its_beta() -> None:
    figure = _mixed()["rate_distortion"]
    marks = _marks(figure.axes[0])
    for rate, distortion, beta in FINISHED.values():
        assert marks[(rate, distortion)][0] == _bar_colour(figure, beta)
    for rate, distortion, beta in OTHERS.values():
        assert marks[(rate, distortion)] == ("#ffffff", _bar_colour(figure, beta))
    assert figure.axes[0].get_xlabel().startswith("rate R")
    assert figure.axes[0].get_ylabel().startswith("distortion D")


def test_the_colours_of_the_plane_go_from_dark_at_a_small_beta_to_light() -> None:
    marks = _marks(_mixed()["rate_distortion"].axes[0])
    by_beta = sorted((beta, marks[(rate, distortion)][0]) for rate, distortion, beta in FINISHED.values())
    contrast = contrast_with_white(np.array([[int(h[i : i + 2], 16) / 255 for i in (1, 3, 5)] for _, h in by_beta]))
    assert (np.diff(contrast) < 0).all()


def test_the_axes_of_the_plane_are_set_by_finished_trials_and_the_others_stand_on_their_border() -> None:
    figure = _mixed()["rate_distortion"]
    axes = figure.axes[0]
    margins = 0.08 * 10.0, 0.08 * 14.0  # of rates 10 to 20 and distortions 81 to 95
    assert axes.get_xlim() == pytest.approx((10 - margins[0], 20 + margins[0]))
    assert axes.get_ylim() == pytest.approx((81 - margins[1], 95 + margins[1]))
    left, top = round(10 - margins[0], 4), round(95 + margins[1], 4)
    assert _marks(axes)[(left, top)] == ("#ffffff", _bar_colour(figure, 4.0))
    assert "1 trial beyond the axes, at their border" in words(figure)


def test_along_a_line_of_the_plane_the_elbo_is_what_its_label_says() -> None:
    axes = _mixed()["rate_distortion"].axes[0]
    labels = [text for text in axes.texts if text.get_text().startswith("ELBO")]
    assert labels
    for text in labels:
        rate, distortion = text.get_position()
        assert float(text.get_text().removeprefix("ELBO ").replace(MINUS, "-")) == pytest.approx(
            -(rate + distortion), abs=0.05
        )


def test_the_front_has_rings_around_its_trials_and_steps_after_them() -> None:
    pairs = [(20.0, 80.0), (5.0, 120.0), (25.0, 90.0)]
    trials = [trial(f"{r}", {"beta": r}, d, r, metric="rate_distortion") for r, d in pairs]
    axes = dict(sweep_figures(sweep(Path(), trials, {"beta": SEARCH["beta"]})))["rate_distortion"].axes[0]
    (rings,) = (one for one in axes.collections if isinstance(one, PathCollection) and one not in _points(axes))
    assert np.asarray(rings.get_offsets()).tolist() == [[5.0, 120.0], [20.0, 80.0]]
    (steps,) = (line for line in axes.lines if line.get_color() == HIGHLIGHT)
    assert steps.get_drawstyle() == "steps-post"


# scores


def test_the_history_has_each_trial_at_its_best_score_and_the_best_so_far_as_a_line() -> None:
    axes = _mixed()["optimisation_history"].axes[0]
    floor = axes.get_ylim()[0]
    filled, hollow = (COLOURS["complete"], "#ffffff"), lambda state: ("#ffffff", COLOURS[state])
    assert _marks(axes) == {
        (1.0, -105.0): filled, (2.0, -101.0): filled, (4.0, -108.0): filled, (8.0, -104.0): filled,
        (3.0, -103.0): hollow("pruned"), (7.0, -102.0): hollow("running"),
        (5.0, round(floor, 4)): hollow("pruned"),
    }  # fmt: skip
    assert -108 - 1 < floor < -108  # the far trial does not set it
    (best,) = (line for line in axes.lines if line.get_color() == INK)
    assert np.asarray(best.get_xdata()).tolist() == [1, 2, 3, 4, 5, 7, 8, 8]
    assert np.asarray(best.get_ydata()).tolist() == [-105.0] + [-101.0] * 7
    assert "1 trial worse than the axis shows, at its border" in words(_mixed()["optimisation_history"])


def test_the_history_of_distortions_has_them_as_they_are_and_its_best_falls() -> None:
    trials = [trial(name, {"mode": "vae"}, d, metric="val_distortion") for name, d in (("a", 70.0), ("b", 90.0))]
    figures = dict(sweep_figures(sweep(Path(), trials, {"mode": choices("vae", "autoencoder")})))
    axes = figures["optimisation_history"].axes[0]
    assert _marks(axes).keys() == {(1.0, 70.0), (2.0, 90.0)}
    (best,) = (line for line in axes.lines if line.get_color() == INK)
    assert np.asarray(best.get_ydata()).tolist() == [70.0, 70.0, 70.0]


def test_a_slice_has_the_values_of_its_own_hyperparameter() -> None:
    latents, betas = _mixed()["slices"].axes[:2]
    assert (latents.get_xlabel(), betas.get_xlabel()) == ("latent size", "β")
    assert latents.get_xscale() == betas.get_xscale() == "log"
    inside = {(4.0, -105.0), (8.0, -101.0), (16.0, -103.0), (2.0, -108.0), (3.0, -102.0), (5.0, -104.0)}
    assert {mark for mark in _marks(latents) if mark[1] > -109 and mark[0] < 32} == inside
    assert 32.0 in {x for x, _ in _marks(latents)}
    assert latents.get_xlim()[0] < 2.0 < 32.0 < latents.get_xlim()[1]  # the one on the border is not beyond it
    inside = {(0.5, -105.0), (0.25, -101.0), (1.0, -103.0), (2.0, -108.0), (0.7, -102.0), (8.0, -104.0)}
    assert inside < _marks(betas).keys()


def test_of_a_word_a_slice_has_its_trials_around_its_tick() -> None:
    trials = [trial("a", {"activation": "tanh"}, 80.0), trial("b", {"activation": "relu"}, 90.0)]
    search = {"activation": choices("relu", "tanh", "elu")}
    axes = dict(sweep_figures(sweep(Path(), trials, search)))["slices"].axes[0]
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert {ticks[round(x)]: y for x, y in _marks(axes)} == {"tanh": -100.0, "relu": -110.0}


def test_seeds_stand_at_their_scores_above_the_mean_of_their_configuration() -> None:
    trials = [*seeds(0, {"beta": 1.0}, [80.0, 84.0, 85.0]), *seeds(1, {"beta": 2.0}, [70.0, 72.0])]
    axes = dict(sweep_figures(sweep(Path(), trials, {"beta": SEARCH["beta"]})))["repeats"].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["β 2", "β 1"]
    assert [sorted(x for x, y in _marks(axes) if round(y) == row) for row in (0, 1)] == [
        [-92.0, -90.0], [-105.0, -104.0, -100.0],
    ]  # fmt: skip
    means = [np.asarray(line.get_xydata())[0].tolist() for line in axes.lines if line.get_markersize() == 11]
    assert means == [pytest.approx([-91.0, 0.0]), pytest.approx([-103.0, 1.0])]
    (first, _) = (one.get_segments()[0] for one in axes.collections if hasattr(one, "get_segments"))
    assert first[:, 0] == pytest.approx([-91 - 2**0.5, -91 + 2**0.5])  # of -90 and -92, over n - 1


# importance


def test_a_bar_of_the_importance_has_the_share_and_the_interval_of_the_name_beside_it() -> None:
    shares, intervals = {"beta": 0.7, "latent_size": 0.3}, {"beta": (0.6, 0.8), "latent_size": (0.2, 0.4)}
    figure = draw_importance(Importance(shares, 32, 5, intervals=intervals), Metric("ELBO", 1), "demo")
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["latent size", "β"]
    assert {name: bar.get_width() for name, bar in zip(names, axes.patches, strict=True)} == {  # type: ignore[attr-defined]
        "latent size": 0.3, "β": 0.7,
    }  # fmt: skip
    assert [np.asarray(line.get_xydata()).tolist() for line in axes.lines] == [
        [[0.2, 0], [0.4, 0]], [[0.6, 1], [0.8, 1]],
    ]  # fmt: skip
    assert {to_hex(bar.get_facecolor()) for bar in axes.patches} == {VALIDATION}
    assert "70%   (60% to 80%)" in words(figure)
    assert "not decided" not in words(figure)


def test_where_the_intervals_overlap_it_is_not_decided_which_matters_most() -> None:
    shares = {"hidden_units": 0.6, "learning_rate": 0.3, "beta": 0.1}
    intervals = {"hidden_units": (0.2, 0.8), "learning_rate": (0.1, 0.5), "beta": (0.0, 0.15)}
    figure = draw_importance(Importance(shares, 32, 5, intervals=intervals), Metric("ELBO", 1), "demo")
    assert "not decided which matters most: hidden units, learning rate" in words(figure)
    assert [to_hex(bar.get_facecolor()) for bar in figure.axes[0].patches] == [VALIDATION, "#ffffff", "#ffffff"]


# curves


def test_a_curve_of_images_seen_is_solid_for_train_and_dashed_for_validation() -> None:
    trials = [record("a", [-110.0, -100.0], latent_size=4), record("b", [-120.0, -118.0], latent_size=8)]
    figure = dict(sweep_figures(sweep(Path(), trials, {"latent_size": SEARCH["latent_size"]})))["bound_per_images_seen"]
    axes = figure.axes[0]
    for label, train in (("latent size 4", [-111.0, -101.0]), ("latent size 8", [-121.0, -119.0])):
        solid = _line(axes, label)
        assert (solid.get_linestyle(), np.asarray(solid.get_ydata()).tolist()) == ("-", train)
        (dashed,) = (line for line in axes.lines if line.get_color() == solid.get_color() and line is not solid)
        assert dashed.get_linestyle() == "--"
        assert np.asarray(dashed.get_ydata()).tolist() == [value + 1 for value in train]
    assert {line.get_label(): line.get_linestyle() for line in figure.legends[0].get_lines()} == {
        "train": "-", "validation": "--",
    }  # fmt: skip


def test_curves_of_many_hyperparameters_go_by_their_trials_and_the_axes_keep_their_room() -> None:
    trials = [
        record(f"{number:04d}", [-110.0, -100.0 - number], latent_size=2 + number, beta=1.23456 + number, activation=a)
        for number, a in enumerate(["relu", "tanh"] * 4)
    ]
    figure = dict(sweep_figures(sweep(Path(), trials)))["bound_per_images_seen"]
    axes = figure.axes[0]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [f"trial {number:04d}" for number in range(8)]
    figure.draw_without_rendering()
    assert axes.get_window_extent().width > 0.6 * figure.bbox.width
    assert axes.get_window_extent().height > 0.5 * figure.bbox.height
    assert legend.get_window_extent().y0 > 0


def test_clean_inputs_are_solid_corrupted_ones_dashed_and_the_trial_without_noise_a_line_across() -> None:
    trials = [
        trial(f"{f}", {"noise": "gaussian", "noise_factor": f}, 70 + 10 * f, noisy=80 + 20 * f) for f in (0.2, 0.5)
    ]
    trials.append(trial("clean", {"noise": "none"}, 65.0))
    search = {"noise": choices("none", "gaussian"), "noise_factor": choices(0.2, 0.5)}
    axes = dict(sweep_figures(sweep(Path(), trials, search)))["denoising"].axes[0]
    solid = _line(axes, "gaussian")
    assert np.asarray(solid.get_xydata()).tolist() == [[0.2, -92.0], [0.5, -95.0]]
    (dashed,) = (line for line in axes.lines if line.get_color() == solid.get_color() and line is not solid)
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert np.asarray(dashed.get_xydata()).tolist() == [[0.2, -104.0], [0.5, -110.0]]
    assert set(_line(axes, "none").get_ydata()) == {-85.0}
    low, high = axes.get_ylim()
    assert low < -85.0 < high


# the sheet


def _column(
    name: str, first: int, *, has_prior: bool = True, has_encoder: bool = True, noisy: bool = False
) -> SheetColumn:
    """Pictures of grey `first` and the numbers after it: outputs, samples, manifold."""
    grid = flat(*range(first + 20, first + 24)).reshape(2, 2, 4, 4)
    plane = Plane((0, 1), (1.0, 1.0), "KL", 2)
    codes = Latents("none", np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([0, 1]), np.arange(2), 2, ("x", "y"), False, 2)
    return SheetColumn(
        trial_id=name,
        parts=(name,),
        metrics=metrics(1, 80.0 + first, rate=20.0),
        inputs=flat(1, 2),
        seen=flat(first + 1, first + 2) if noisy else flat(1, 2),
        has_noise=noisy,
        outputs=flat(first, first + 1) if has_encoder else None,
        samples=flat(first + 10, first + 11),
        manifold=Manifold(plane, (np.array([-1.0, 1.0]),) * 2, grid, "normal", None),
        latents=codes if has_encoder else None,
        has_prior=has_prior,
    )


def _rows(figure: Figure) -> dict[str, float]:
    """The height at which each row's name stands."""
    return {
        text.get_text().split("\n")[0]: text.get_position()[1]
        for text in figure.texts
        if text.get_horizontalalignment() == "right"
    }


def _cell(figure: Figure, row: str, column: str) -> Axes:
    """The axes below a column's name and beside a row's."""
    (x,) = (text.get_position()[0] for text in figure.texts if text.get_text() == column)
    y = _rows(figure)[row]
    (found,) = (axes for axes in figure.axes if axes.get_position().contains(x, y))
    return found


def test_each_cell_of_the_sheet_has_the_pictures_of_its_model_and_the_inputs_stand_once_on_the_left() -> None:
    figure = draw_sheet(Sheet([_column("one", 100, noisy=True), _column("two", 150)], ""), "demo")
    for name, first, seen in (("one", 100, [101, 102]), ("two", 150, [1, 2])):
        assert greys(_cell(figure, "what the", name), 1, 2) == [seen]
        assert greys(_cell(figure, "reconstruction", name), 1, 2) == [[first, first + 1]]
        assert greys(_cell(figure, "samples", name), 1, 2) == [[first + 10, first + 11]]
        assert greys(_cell(figure, "manifold", name), 2, 2) == [[first + 20, first + 21], [first + 22, first + 23]]
    assert greys(_cell(figure, "reconstruction", "held-out images"), 1, 2) == [[1, 2]]
    assert sum(bool(axes.get_images()) for axes in figure.axes) == 2 * 4 + 1
    written = words(figure)
    assert written.index("held-out images") < written.index("one")
    assert re.search(rf"trial two\nELBO {MINUS}250\.00\nrate 20\.0, distortion 230\.0", written)


def test_a_sheet_has_no_row_of_dashes_and_says_what_an_autoencoders_samples_are() -> None:
    alone = [_column(f"alone {number}", 100, has_encoder=False) for number in range(2)]
    columns = [_column("autoencoder", 50, has_prior=False), *alone]
    figure = draw_sheet(Sheet(columns, ""), "demo")
    assert _rows(figure).keys() == {"samples", "manifold"}  # one of three models has an encoder
    assert _cell(figure, "samples", "autoencoder").get_xlabel() == "z ~ a Gaussian fitted to the codes"
    assert _cell(figure, "samples", "alone 0").get_xlabel() == ""
    assert "held-out images" not in words(figure)
    figure = draw_sheet(Sheet(columns[:2], ""), "demo")
    assert "no encoder" in words(figure)
    assert "\N{EM DASH}" not in words(figure)


def test_codes_in_the_sheet_have_the_colour_of_their_class_in_the_legend() -> None:
    figure = draw_sheet(Sheet([_column("one", 100)], ""), "demo")
    (points,) = _cell(figure, "latents of", "one").collections
    legend = {line.get_label(): to_hex(line.get_color()) for line in figure.legends[0].get_lines()}
    assert [to_hex(colour) for colour in points.get_facecolors()] == [legend["x"], legend["y"]]
    assert np.asarray(points.get_offsets()).tolist() == [[0.1, 0.2], [0.3, 0.4]]
