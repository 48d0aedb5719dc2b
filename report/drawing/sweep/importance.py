"""The share of each hyperparameter in the importance, drawn."""

from matplotlib.figure import Figure

from report.drawing.style import VALIDATION, message_figure, new_figure, styled
from report.labels import name_of
from report.numbers.sweep.importance import Importance
from report.numbers.sweep.scores import Metric


@styled
def draw_importance(numbers: Importance, metric: Metric, about: str) -> Figure:
    """One bar per hyperparameter, the largest share on top."""
    title = f"Parameter importance for the validation {metric.name}"
    if numbers.left_out:
        about += f"\nleft out, because not every trial has it: {', '.join(map(name_of, numbers.left_out))}"
    if numbers.why_not:
        return message_figure(title, about, numbers.why_not)
    figure = new_figure(title, f"{about}\n{_note(numbers)}", 0.8 + 0.34 * len(numbers.shares))
    axes = figure.subplots()
    names, shares = [name_of(name) for name in numbers.shares][::-1], list(numbers.shares.values())[::-1]
    bars = axes.barh(names, shares, color=VALIDATION, height=0.65)
    axes.bar_label(bars, [f"{share:.0%}" for share in shares], padding=3, fontsize=8)
    axes.set_xlim(0, max(shares) * 1.12)
    axes.set_xlabel("share of the importance")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return figure


def _note(numbers: Importance) -> str:
    """'PED-ANOVA: best 5 against all 32 trials, compared at epoch 3'."""
    compared = f"PED-ANOVA: best {numbers.n_top} against all {numbers.n_trials}"
    if numbers.by_epoch is None:
        return f"{compared} complete trials"
    return f"{compared} trials, compared at epoch {numbers.by_epoch}"
