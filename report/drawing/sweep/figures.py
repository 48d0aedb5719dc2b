"""The list of a sweep's figures that need no model."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from report.drawing.captions import sweep_caption
from report.drawing.sweep.images_seen import draw_images_seen
from report.drawing.sweep.importance import draw_importance
from report.drawing.sweep.input_noise import draw_input_noise
from report.drawing.sweep.rate_distortion import draw_rate_distortion
from report.drawing.sweep.scores import draw_history, draw_repeats, draw_slices
from report.numbers.sweep.compared_trials import compared_trials
from report.numbers.sweep.images_seen import images_seen
from report.numbers.sweep.importance import importance
from report.numbers.sweep.input_noise import input_noise
from report.numbers.sweep.rate_distortion import rate_distortion
from report.numbers.sweep.scores import has_repeats, history, metric_of, repeats, slices
from tuning.records import SweepRecord


def sweep_figures(sweep: SweepRecord) -> Iterator[tuple[str, Figure]]:
    """(name, figure) of every figure, however far the sweep has come.

    Only the last two depend on what is searched: repeats, and noise on the input.
    """
    about = sweep_caption(sweep)
    yield "rate_distortion", draw_rate_distortion(rate_distortion(sweep), about)
    yield "optimisation_history", draw_history(history(sweep), about)
    yield "parameter_importance", draw_importance(importance(sweep), metric_of(sweep), about)
    yield "slices", draw_slices(slices(sweep), about)
    yield "bound_per_images_seen", draw_images_seen(images_seen(sweep, compared_trials(sweep)), about)
    if has_repeats(sweep):
        yield "repeats", draw_repeats(repeats(sweep), about)
    if (by_noise := input_noise(sweep)).curves:
        yield "denoising", draw_input_noise(by_noise, about)
