"""Rate against distortion over a sweep's trials, and the front of those that no other beats in both."""

from dataclasses import dataclass

import numpy as np

from report.labels import BETA
from report.numbers.sweep.scores import Point, points, score_floor
from tuning import records
from tuning.records import SweepRecord, TrialRecord
from vae.cli.format import shown

LABEL_MARGIN = 0.09  # of the axes, between their edges and the middle of a label
NO_FRONT = "No trial has ended, so there is no front of rate and distortion yet."


@dataclass(frozen=True)
class RateDistortion:
    """`colours` are the shown points' beta, or their ELBO where beta is not searched. n_hidden: too far to show.

    n_without: trials without a rate. front: always shown, lowest rate first; [] in a sweep of one objective.
    """

    shown: list[Point]
    n_hidden: int
    n_without: int
    colour_name: str
    colours: np.ndarray
    log_colours: bool
    front: list[Point]


def rate_distortion(sweep: SweepRecord) -> RateDistortion:
    every = points(sweep)
    having = [point for point in every if point.rate is not None]
    floor, on_front = score_floor([elbo(point) for point in having]), {record.trial_id for record in front(sweep)}
    shown = [point for point in having if elbo(point) >= floor or point.name in on_front]
    by_beta = "beta" in sweep.search
    betas = {record.trial_id: record.config.beta for record in sweep.trials}
    colours = np.array([betas[point.name] if by_beta else elbo(point) for point in shown])
    return RateDistortion(
        shown=shown,
        n_hidden=len(having) - len(shown),
        n_without=len(every) - len(having),
        colour_name=f"{BETA} (weight of the KL in training)" if by_beta else "validation ELBO (nats per image)",
        colours=colours,
        log_colours=by_beta and len(shown) > 0 and bool(0 < 4 * colours.min() <= colours.max()),
        front=sorted((point for point in shown if point.name in on_front), key=lambda point: point.rate or 0.0),
    )


def elbo(point: Point) -> float:
    """Nats per image, at beta = 1."""
    assert point.rate is not None
    return -(point.rate + point.distortion)


def front(sweep: SweepRecord) -> list[TrialRecord]:
    """The ended trials than which no other has both a lower rate and a lower distortion, lowest rate first.

    [] in a sweep that is ranked by one number.
    """
    ended = [record for record in sweep.trials if record.state in ("complete", "pruned")]
    names = records.pareto_front([record for record in ended if record.metric == "rate_distortion"])
    return sorted((record for record in ended if record.trial_id in names), key=_rate)


def _rate(record: TrialRecord) -> float:
    assert record.best is not None
    assert record.best.val_rate is not None
    return record.best.val_rate


def front_table(sweep: SweepRecord) -> str:
    """The front as a Markdown table, lowest rate first; '' in a sweep that is ranked by one number."""
    if not any(record.metric == "rate_distortion" for record in sweep.trials):
        return ""
    chosen = front(sweep)
    if not chosen:
        return NO_FRONT
    header = ["trial", *sweep.search, "rate", "distortion", "validation ELBO (epoch)"]
    rows = [header, ["---"] * len(header), *(_row(sweep, record) for record in chosen)]
    title = f"The {len(chosen)} trials that no other beats in both, on the validation split, nats per image:"
    return "\n".join([title, "", *(f"| {' | '.join(row)} |" for row in rows)])


def _row(sweep: SweepRecord, record: TrialRecord) -> list[str]:
    reached = record.best
    assert reached is not None
    values = [record.params.get(name, "") for name in sweep.search]
    return [
        record.trial_id,
        *map(shown, values),
        f"{reached.val_rate:.2f}",
        f"{reached.val_distortion:.2f}",
        f"{reached.val_elbo:.2f} ({reached.epoch})",
    ]


def free_place(
    level: float, points: np.ndarray, low: tuple[float, float], high: tuple[float, float]
) -> tuple[float, float] | None:
    """The (rate, distortion) on the line of an ELBO that is furthest from all points [n, 2].

    low, high: the corners of the axes; distances are in their units. None for a line that leaves no room for a label.
    """
    (left, bottom), (right, top) = low, high
    scale = np.array([right - left, top - bottom])
    x_margin, y_margin = LABEL_MARGIN * scale
    start, stop = max(left + x_margin, -level - top + y_margin), min(right - x_margin, -level - bottom - y_margin)
    if start > stop:
        return None
    rates = np.linspace(start, stop, 20)
    line = np.stack([rates, -level - rates], -1)
    distance = np.linalg.norm((line[:, None] - points[None]) / scale, axis=-1).min(1)
    rate, distortion = line[int(distance.argmax())]
    return float(rate), float(distortion)
