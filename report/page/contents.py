"""All that the page shows of a sweep, as plain data: what the page's script reads is exactly this."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from report.labels import name_of
from report.numbers.sweep.images_seen import n_training_images
from report.numbers.sweep.scores import metric_of
from report.page.columns import OF_CONFIG, by_rank, columns, curve, given
from report.page.headline import best_lines, hints, warnings
from report.page.pictures import Album, Shown
from tuning.confirmed import confirmed, spread_of_seeds
from tuning.luck import student_t
from tuning.records import SweepRecord, TrialRecord, pareto_front, ranked
from vae.datasets.names import short_name

MOST_PICTURES = 200  # the best trials with pictures; those on the front have them too
MOST_CURVES = 2000  # the best trials whose curves are there
REBUILT_EVERY = 30  # seconds, while the sweep runs
Progress = Literal["running", "stopped", "ended"]


def with_pictures(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Those that have pictures in the page, best first: the best, and the front."""
    order, front = ranked(trials), pareto_front(trials)
    return order[:MOST_PICTURES] + [record for record in order[MOST_PICTURES:] if record.trial_id in front]


def n_planned(sweep: SweepRecord) -> int:
    """How many trials the sweep is to have."""
    space = sweep.manifest.get("space") or {}
    return int(space.get("trials", len(sweep.trials))) * int(space.get("repeats", 1))


def how_it_ended(sweep: SweepRecord) -> Progress:
    is_whole = len(sweep.trials) >= n_planned(sweep) and all(record.has_ended for record in sweep.trials)
    return "ended" if is_whole else "stopped"


def contents(sweep: SweepRecord, shown: Mapping[str, Shown], album: Album, progress: Progress) -> dict[str, Any]:
    """The page's data. shown: what models show, by trial id; `album` is given their pictures."""
    rows = by_rank(sweep.trials)
    records = [record for *_, record in rows]
    with_curves = {record.trial_id for record in ranked(sweep.trials)[:MOST_CURVES]}
    metric = metric_of(sweep)
    return {
        "built": datetime.now(UTC).isoformat(timespec="seconds"),
        "rebuilt_every": REBUILT_EVERY,
        "sweeps": [_head(sweep, progress)],
        "metric": {"name": metric.name, "sign": metric.sign},
        "search": [_dimension(name, dimension) for name, dimension in sweep.search.items()],
        "n": len(rows),
        "columns": columns(rows, confirmed(sweep)),
        "seed_moves": _seed_moves(sweep),
        "config": list(OF_CONFIG),
        "given": given(rows, list(sweep.search)),
        "curves": [curve(record) if record.trial_id in with_curves else None for record in records],
        "pictures": [shown[record.trial_id].stored(album) if record.trial_id in shown else None for record in records],
        "images": album.uris,
    }


def _seed_moves(sweep: SweepRecord) -> dict[str, float] | None:
    """How far a seed moves a score, and how far apart two trials of one seed each must be to be told apart; None where
    no configuration has several seeds."""
    spread = spread_of_seeds(sweep)
    if spread is None:
        return None
    return {"sd": spread.sd, "least": student_t(spread.degrees) * spread.sd * math.sqrt(2)}


def _head(sweep: SweepRecord, progress: Progress) -> dict[str, Any]:
    runs = sweep.manifest.get("runs") or [{}]
    return {
        "name": sweep.name,
        "dataset": short_name(sweep.dataset),
        "dataset_note": sweep.dataset_note,
        "image_shape": list(sweep.image_shape),
        "training_images": n_training_images(sweep),
        "description": (sweep.manifest.get("space") or {}).get("description", ""),
        "planned": n_planned(sweep),
        "progress": progress,
        "command": runs[0].get("command", ""),
        "began": runs[0].get("when", ""),
        "wall_seconds": sweep.wall_seconds,
        "best": best_lines(sweep),
        "warnings": warnings(sweep),
        "hints": hints(sweep),
        "importance": None,  # these two come once the sweep has ended
        "models": [],
    }


def _dimension(name: str, dimension: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("type", "low", "high", "log", "choices")
    return {"name": name, "label": name_of(name), **{key: dimension[key] for key in kept if key in dimension}}
