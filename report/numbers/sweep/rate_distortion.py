"""Rate against distortion of a sweep's trials, and their Pareto front."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from report.labels import BETA
from report.numbers.sweep.scores import LEAST_FINISHED, Point, points, score_floor
from tuning import records
from tuning.records import SweepRecord, TrialRecord

MARGIN = 0.08  # of the axes: beyond the outermost finished trial
LABEL_MARGIN = 0.09  # of the axes: least distance from their edge to the middle of a label


@dataclass(frozen=True)
class RateDistortion:
    """colours: the beta of the shown points, or the ELBO of their places if beta is not searched.

    limits: low and high of rate and of distortion, [2, 2], around the finished trials. places: [n, 2], where each
    point is drawn: its rate and distortion, or on the border of the limits; n_beyond points are there. n_without:
    trials without a rate. front: always within the limits, lowest rate first; [] in a sweep of one objective.
    """

    shown: list[Point]
    limits: np.ndarray
    places: np.ndarray
    n_beyond: int
    n_without: int
    colour_name: str
    colours: np.ndarray
    log_colours: bool
    front: list[Point]


def rate_distortion(sweep: SweepRecord) -> RateDistortion:
    every = points(sweep)
    having = [point for point in every if point.rate is not None]
    on_front = {record.trial_id for record in front(sweep)}
    true = np.array([(point.rate, point.distortion) for point in having], dtype=float).reshape(-1, 2)
    limits = _limits(having, true, on_front)
    places = true.clip(*limits.T)
    by_beta = "beta" in sweep.search
    betas = {record.trial_id: record.config.beta for record in sweep.trials}
    colours = np.array([betas[point.name] if by_beta else -sum(at) for point, at in zip(having, places, strict=True)])
    return RateDistortion(
        shown=having,
        limits=limits,
        places=places,
        n_beyond=int((places != true).any(1).sum()),
        n_without=len(every) - len(having),
        colour_name=f"{BETA} (weight of the KL in training)" if by_beta else "validation ELBO (nats per image)",
        colours=colours,
        log_colours=by_beta and len(having) > 0 and bool(0 < 4 * colours.min() <= colours.max()),
        front=sorted((point for point in having if point.name in on_front), key=lambda point: point.rate or 0.0),
    )


def _limits(having: Sequence[Point], places: np.ndarray, on_front: set[str]) -> np.ndarray:
    """Low and high of rate and of distortion, [2, 2], around the finished trials; not around those far below them."""
    if not having:
        return np.array([[0.0, 1.0], [0.0, 1.0]])
    finished = [point.state == "complete" for point in having]
    counted = np.array(finished if sum(finished) >= LEAST_FINISHED else [True] * len(having))
    elbos = -places.sum(1)
    inside = counted & (elbos >= score_floor(elbos[counted].tolist()))
    inside |= np.array([point.name in on_front for point in having])
    low, high = places[inside].min(0), places[inside].max(0)
    margin = np.where(high > low, MARGIN * (high - low), 1.0)
    return np.stack([low - margin, high + margin], axis=1)


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
