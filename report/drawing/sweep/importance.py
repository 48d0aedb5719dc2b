"""The share of each hyperparameter in the importance, drawn."""

from matplotlib.figure import Figure

from report.drawing.style import INK, VALIDATION, message_figure, new_figure, styled
from report.labels import name_of
from report.numbers.sweep.importance import Importance
from report.numbers.sweep.scores import Metric


@styled
def draw_importance(numbers: Importance, metric: Metric, about: str) -> Figure:
    """One bar per hyperparameter, the largest share on top, with the interval of its share over resamples.

    The bars are hollow of those of which any may matter most.
    """
    title = f"Parameter importance for the validation {metric.name}"
    if numbers.left_out:
        about += f"\nleft out, because not every trial has it: {', '.join(map(name_of, numbers.left_out))}"
    if numbers.why_not:
        return message_figure(title, about, numbers.why_not)
    figure = new_figure(title, f"{about}\n{_note(numbers)}", 0.8 + 0.34 * len(numbers.shares))
    axes = figure.subplots()
    for row, (name, share) in enumerate(reversed(numbers.shares.items())):
        low, high = numbers.intervals.get(name, (share, share))
        fill = "white" if name in numbers.undecided else VALIDATION
        axes.barh(row, share, color=fill, edgecolor=VALIDATION, lw=1.3, height=0.65)
        axes.plot([low, high], [row, row], color=INK, lw=1.2, marker="|", ms=7, mew=1.2)
        spread = f"   ({low:.0%} to {high:.0%})" if name in numbers.intervals else ""
        axes.annotate(f"{share:.0%}{spread}", (max(share, high), row), (6, 0), textcoords="offset points",
                      va="center", fontsize=8)  # fmt: skip
    axes.set_yticks(range(len(numbers.shares)), [name_of(name) for name in reversed(numbers.shares)])
    axes.set_xlim(0, 1.25 * max([*numbers.shares.values(), *(high for _, high in numbers.intervals.values())]))
    axes.set_xlabel("share of the importance")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return figure


def _note(numbers: Importance) -> str:
    """'PED-ANOVA: best 5 against all 32 trials, compared at epoch 3', what the lines are, and what is not decided."""
    compared = f"PED-ANOVA: best {numbers.n_top} against all {numbers.n_trials}"
    of_epoch = " complete trials" if numbers.by_epoch is None else f" trials, compared at epoch {numbers.by_epoch}"
    notes = [compared + of_epoch]
    if numbers.intervals:
        notes[0] += "; line: 5 to 95 % of resamples of these trials"
    if numbers.undecided:
        notes.append(f"not decided which matters most: {', '.join(map(name_of, numbers.undecided))}")
    return "\n".join(notes)
