"""leaderboard.csv: a row per trial, best first; the trials of one configuration stand together."""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from tuning.records import Configuration, TrialRecord, configurations, pareto_front
from vae.config import TrialConfig

METRIC_COLUMNS = (
    "val_elbo",
    "best_epoch",
    "val_rate",
    "val_distortion",
    "val_noisy_elbo",
    "val_noisy_rate",
    "val_noisy_distortion",
    "epochs",
    "seconds",
)
REPEAT_COLUMNS = ("configuration", "repeat", "mean_score", "sd_score")
PARETO_COLUMN = "pareto"


def leaderboard(trials: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """Every searched or set hyperparameter has a column; a number that a trial has not is an empty cell.

    `rank` is the configuration's, so the trials of its seeds share it. The scores of a configuration stand only in
    a sweep with several seeds for each, `pareto` only in one with two objectives.
    """
    front = pareto_front(trials) if _has_front(trials) else None
    return [
        _row(rank, configuration, record, front)
        for rank, configuration in enumerate(configurations(trials), start=1)
        for record in configuration.records
    ]


def _row(rank: int, configuration: Configuration, record: TrialRecord, front: set[str] | None) -> dict[str, Any]:
    return {
        "rank": rank,
        "trial_id": record.trial_id,
        "state": record.state,
        **(_repeat(configuration, record) if record.repeat else {}),
        **record.config.model_dump(exclude={"epochs"}),
        **_metrics(record),
        **({} if front is None else {PARETO_COLUMN: "yes" if record.trial_id in front else ""}),
        "checkpoint": f"{record.folder}/model.safetensors" if record.best else "",
        "error": record.error,
    }


def _repeat(configuration: Configuration, record: TrialRecord) -> dict[str, Any]:
    has_mean = math.isfinite(configuration.mean) and not configuration.is_failed
    mean, sd = (configuration.mean, configuration.sd) if has_mean else (None, None)
    values = (configuration.name, record.repeat, _cell(mean), _cell(sd))
    return dict(zip(REPEAT_COLUMNS, values, strict=True))


def _metrics(record: TrialRecord) -> dict[str, Any]:
    reached = record.best
    own = {"best_epoch": reached and reached.epoch, "epochs": len(record.history), "seconds": round(record.seconds, 3)}
    return {name: _cell(own[name] if name in own else getattr(reached, name, None)) for name in METRIC_COLUMNS}


def _cell(value: Any) -> Any:
    return "" if value is None else value


def _has_front(trials: Sequence[TrialRecord]) -> bool:
    return any(record.metric == "rate_distortion" for record in trials)


def leaderboard_csv(trials: Sequence[TrialRecord]) -> bytes:
    """The leaderboard as a file's content."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _columns(trials), lineterminator="\n")
    writer.writeheader()
    writer.writerows(leaderboard(trials))
    return text.getvalue().encode(errors="backslashreplace")


def _columns(trials: Sequence[TrialRecord]) -> list[str]:
    repeats = REPEAT_COLUMNS if any(record.repeat for record in trials) else ()
    pareto = (PARETO_COLUMN,) if _has_front(trials) else ()
    settings = [name for name in TrialConfig.model_fields if name != "epochs"]  # METRIC_COLUMNS has those trained
    return ["rank", "trial_id", "state", *repeats, *settings, *METRIC_COLUMNS, *pareto, "checkpoint", "error"]
