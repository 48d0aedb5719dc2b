"""Rate against distortion of a sweep's trials, and their Pareto front."""

from dataclasses import dataclass

import numpy as np

from report.labels import BETA
from report.numbers.sweep.scores import Point, points, score_floor
from tuning import records
from tuning.records import SweepRecord, TrialRecord

LABEL_MARGIN = 0.09  # of the axes: least distance from their edge to the middle of a label


@dataclass(frozen=True)
class RateDistortion:
    """colours: the beta of the shown points, or their ELBO if beta is not searched. n_hidden: trials too far to show.

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
    """The ELBO at beta = 1, nats per image."""
    assert point.rate is not None
    return -(point.rate + point.distortion)


def front(sweep: SweepRecord) -> list[TrialRecord]:
    """Ended trials on the Pareto front, by rate. [] in a sweep that is ranked by one number."""
    ended = [record for record in sweep.trials if record.state in ("complete", "pruned")]
    names = records.pareto_front([record for record in ended if record.metric == "rate_distortion"])
    return sorted((record for record in ended if record.trial_id in names), key=_rate)


def _rate(record: TrialRecord) -> float:
    assert record.best is not None
    assert record.best.val_rate is not None
    return record.best.val_rate


def free_place(
    level: float, points: np.ndarray, low: tuple[float, float], high: tuple[float, float]
) -> tuple[float, float] | None:
    """The (rate, distortion) on the line of equal ELBO `level` that is furthest from all points [n, 2].

    low, high: the corners of the axes; distances are relative to them. None if the line has no room for a label.
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
