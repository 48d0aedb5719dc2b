"""The trials as columns: what leaderboard.csv has, in the order of its rows, and each trial's curve."""

import math
from collections.abc import Sequence
from typing import Any

from tuning.confirmed import Confirmed
from tuning.records import Configuration, TrialRecord, configurations, pareto_front
from vae.config import TrialConfig
from vae.model.metrics import EpochMetrics

OF_CONFIG = tuple(name for name in TrialConfig.model_fields if name != "epochs")  # "epochs" are those trained
OF_BEST = (
    *("val_elbo", "val_rate", "val_distortion"),
    *("val_noisy_elbo", "val_noisy_rate", "val_noisy_distortion"),
)
Columns = dict[str, Any]  # by name: a list with a value per trial, or {"all": value} where all trials have the same


Ranked = tuple[int, Configuration, TrialRecord]


def by_rank(trials: Sequence[TrialRecord]) -> list[Ranked]:
    """The leaderboard's order: the trials of one configuration stand together and share its rank."""
    ordered = enumerate(configurations(trials), start=1)
    return [(rank, configuration, record) for rank, configuration in ordered for record in configuration.records]


def columns(rows: Sequence[Ranked], fresh: Sequence[Confirmed] = ()) -> Columns:
    """A column for each of leaderboard.csv, by the same name; None where a trial has no such number. `front`: of rate
    and distortion. rows: by rank. fresh: what fresh seeds say."""
    records = [record for *_, record in rows]
    front = pareto_front(records)
    found: Columns = {
        "rank": [rank for rank, _, _ in rows],
        **(_of_fresh(rows, fresh) if fresh else {}),
        "trial_id": [record.trial_id for record in records],
        "state": [record.state for record in records],
    }
    if any(record.repeat for record in records):
        found |= _of_repeats(rows)
    found |= {name: [getattr(record.config, name) for record in records] for name in OF_CONFIG}
    best = [record.best for record in records]
    found |= {name: [None if one is None else getattr(one, name) for one in best] for name in OF_BEST}
    found |= {
        "best_epoch": [one and one.epoch for one in best],
        "epochs": [len(record.history) for record in records],
        "seconds": [round(record.seconds, 3) for record in records],
        "front": [record.trial_id in front and record.has_ended for record in records],
        "checkpoint": [f"{record.model_folder}/model.safetensors" if record.best else "" for record in records],
        "error": [record.error for record in records],
    }
    return {name: _collapsed(values) for name, values in found.items()}


def _of_fresh(rows: Sequence[Ranked], fresh: Sequence[Confirmed]) -> Columns:
    found = {one.name: one for one in fresh}
    having = [found.get(one.name) for _, one, _ in rows]
    return {
        "confirmed_rank": [one and one.rank for one in having],
        "confirmed_mean": [one and one.mean for one in having],
        "confirmed_std": [one and one.sd for one in having],
        "confirmed_n": [one and one.fresh.n for one in having],
        "shrinkage": [one and one.shrinkage for one in having],
    }


def _of_repeats(rows: Sequence[Ranked]) -> Columns:
    having = [one if math.isfinite(one.mean) and not one.is_failed else None for _, one, _ in rows]
    return {
        "configuration": [one.name for _, one, _ in rows],
        "repeat": [record.repeat for *_, record in rows],
        "mean_score": [one and one.mean for one in having],
        "sd_score": [one and one.sd for one in having],
    }


def _collapsed(values: list[Any]) -> Any:
    return {"all": values[0]} if values and all(value == values[0] for value in values) else values


def given(rows: Sequence[Ranked], search: Sequence[str]) -> dict[str, list[bool]]:
    """Of each hyperparameter that only some trials have, because of its condition: which ones. rows: by rank."""
    having = {name: [name in record.params for *_, record in rows] for name in search}
    return {name: flags for name, flags in having.items() if not all(flags)}


def curve(record: TrialRecord) -> list[list[float | None] | None]:
    """By epoch, from 1: rate (None where there is none), distortion, the train ELBO (or -D), seconds so far."""
    history = record.history
    seconds = 0.0
    so_far: list[float | None] = []
    for metrics in history:
        seconds += metrics.epoch_seconds
        so_far.append(round(seconds, 3))
    has_rate = any(metrics.val_rate is not None for metrics in history)
    rates = [_rounded(metrics.val_rate) for metrics in history] if has_rate else None
    return [rates, [_rounded(metrics.val_distortion) for metrics in history], _train(history), so_far]


def _train(history: Sequence[EpochMetrics]) -> list[float | None]:
    elbos = (-metrics.train_distortion if metrics.train_elbo is None else metrics.train_elbo for metrics in history)
    return [_rounded(elbo) for elbo in elbos]


def _rounded(value: float | None) -> float | None:
    """To a thousandth of a nat; None where it is not finite, which JSON cannot say."""
    return None if value is None or not math.isfinite(value) else round(value, 3)
