"""The leaderboard: leaderboard.csv, which is written as the sweep runs, and the table of its head at the end.

The file has a row per trial, best first; the trials of one configuration stand together.
"""

import csv
import io
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from tuning.confirmed import Confirmed, noise_line, told_apart
from tuning.layout import LEADERBOARD_FILE, MODEL_FILE
from tuning.records import Configuration, TrialRecord, configurations, pareto_front, ranked_by
from tuning.view.progress import settings
from vae.cli.format import number
from vae.config import TrialConfig
from vae.files import LocalFiles

LEADERBOARD_SECONDS = 2.0  # between two writings while the sweep runs, at the least
LEADERBOARD_SHARE = 0.02  # of the driver's time; at 10,000 trials one writing takes 0.75 s of it (2026-11-21)
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
CONFIRMED_COLUMNS = ("confirmed_rank", "confirmed_mean", "confirmed_std", "confirmed_n", "shrinkage")
PARETO_COLUMN = "pareto"
BASIS = {"val_elbo": "nats per image, beta = 1, validation split", "val_distortion": "nats per image, validation split"}


class LeaderboardFile:
    """leaderboard.csv while a sweep runs. The longer one writing takes, the longer it waits until the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._due_at = time.monotonic() + LEADERBOARD_SECONDS

    @property
    def is_due(self) -> bool:
        return time.monotonic() > self._due_at

    def write(self, trials: Sequence[TrialRecord]) -> None:
        started = time.monotonic()
        write_leaderboard(self._folder, trials)
        ended = time.monotonic()
        self._due_at = ended + max(LEADERBOARD_SECONDS, (ended - started) / LEADERBOARD_SHARE)


def write_leaderboard(folder: Path, trials: Sequence[TrialRecord]) -> None:
    """Write leaderboard.csv into a sweep's folder; without fsync, because it can be made again from the ledger."""
    LocalFiles(folder, synced=False).write(LEADERBOARD_FILE, leaderboard_csv(trials))


def leaderboard(trials: Sequence[TrialRecord], confirmed: Sequence[Confirmed] = ()) -> list[dict[str, Any]]:
    """The rows of the file. Every hyperparameter has a column; where a trial has no such number, the cell is empty.

    `rank` is that of the configuration: the trials of its seeds share it. The scores of a configuration are there
    only in a sweep with several seeds for each, `pareto` only in one with two objectives, and what fresh seeds say only
    where they say something.
    """
    front = pareto_front(trials) if _has_front(trials) else None
    fresh = {one.name: one for one in confirmed}
    return [
        _row(rank, configuration, record, front) | (_confirmed(fresh.get(configuration.name)) if fresh else {})
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
        "checkpoint": f"{record.model_folder}/{MODEL_FILE}" if record.best and record.has_model else "",
        "error": record.error,
    }


def _confirmed(one: Confirmed | None) -> dict[str, Any]:
    values = (one.rank, one.mean, one.sd, one.fresh.n, one.shrinkage) if one else [""] * len(CONFIRMED_COLUMNS)
    return dict(zip(CONFIRMED_COLUMNS, values, strict=True))


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


def leaderboard_csv(trials: Sequence[TrialRecord], confirmed: Sequence[Confirmed] = ()) -> bytes:
    """The content of the file."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _columns(trials, bool(confirmed)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(leaderboard(trials, confirmed))
    return text.getvalue().encode(errors="backslashreplace")


def _columns(trials: Sequence[TrialRecord], is_confirmed: bool) -> list[str]:
    repeats = REPEAT_COLUMNS if any(record.repeat for record in trials) else ()
    pareto = (PARETO_COLUMN,) if _has_front(trials) else ()
    config = [name for name in TrialConfig.model_fields if name != "epochs"]  # METRIC_COLUMNS has those trained
    ranks = ("rank", *(CONFIRMED_COLUMNS if is_confirmed else ()))  # what the search found, and what fresh seeds say
    return [*ranks, "trial_id", "state", *repeats, *config, *METRIC_COLUMNS, *pareto, "checkpoint", "error"]


def best_tables(
    records: Sequence[TrialRecord], confirmed: Sequence[Confirmed], varied: Sequence[str], n_rows: int
) -> list[Table]:
    """What a sweep ends with: the head of the leaderboard, and what fresh seeds say of it."""
    of_fresh = [confirmed_table(confirmed, varied)] if confirmed else []
    return [best_table(records, varied, n_rows), *of_fresh]


def best_table(records: Sequence[TrialRecord], varied: Sequence[str], n_rows: int) -> Table:
    """The head of the leaderboard for a terminal, without what has failed or has no epoch yet.

    A row is a trial, or a configuration where each has several seeds. varied: the searched hyperparameters.
    """
    metric = records[0].metric if records else "val_elbo"
    ranked = [one for one in enumerate(configurations(records), start=1) if one[1].n and not one[1].is_failed]
    if any(record.repeat for record in records):
        return _of_configurations(ranked[:n_rows], varied, ranked_by(metric))
    front = pareto_front(records) if metric == "rate_distortion" else None
    return _of_trials([(rank, one.records[0]) for rank, one in ranked[:n_rows]], varied, ranked_by(metric), front)


def _of_trials(
    trials: Sequence[tuple[int, TrialRecord]], varied: Sequence[str], name: str, front: set[str] | None
) -> Table:
    on_front = () if front is None else (PARETO_COLUMN,)
    columns = ("rank", "trial", "state", *_shown_metrics(name), "epoch", *on_front, *varied)
    table = _table(f"Best trials by {name} ({BASIS[name]})", columns)
    for rank, record in trials:
        best = record.best
        assert best is not None
        numbers = [number(getattr(best, metric)) for metric in _shown_metrics(name).values()]
        pareto = () if front is None else ("yes" if record.trial_id in front else "",)
        row = [str(rank), record.trial_id, record.state, *numbers, str(best.epoch), *pareto]
        table.add_row(*row, *settings(record.params, varied))
    return table


def _of_configurations(ranked: Sequence[tuple[int, Configuration]], varied: Sequence[str], name: str) -> Table:
    title = f"Best configurations by {name} ({BASIS[name]}): mean \N{PLUS-MINUS SIGN} sd over seeds"
    table = _table(title, ("rank", "configuration", "seeds", *_shown_metrics(name), *varied))
    for rank, configuration in ranked:
        numbers = [_spread(configuration.values(metric)) for metric in _shown_metrics(name).values()]
        row = [str(rank), configuration.name, str(configuration.n), *numbers]
        table.add_row(*row, *settings(configuration.params, varied))
    return _with_note(table, told_apart([(str(rank), one.scores) for rank, one in ranked]))


def confirmed_table(confirmed: Sequence[Confirmed], varied: Sequence[str]) -> Table:
    """What fresh seeds say of the best. varied: the searched hyperparameters."""
    name = ranked_by(confirmed[0].first.records[0].metric)
    sign = -1 if name == "val_distortion" else 1
    columns = ("rank", "rank in the search", "configuration", "seeds", name, "in the search", "shrinkage", *varied)
    table = _table(
        f"Confirmed with fresh seeds: {name} ({BASIS[name]}), mean \N{PLUS-MINUS SIGN} sd over seeds", columns
    )
    for one in confirmed:
        mean = f"{sign * one.mean:.2f} \N{PLUS-MINUS SIGN} {one.sd:.2f}"
        numbers = [str(one.fresh.n), mean, number(sign * one.first.mean), number(one.shrinkage)]
        row = [str(one.rank), str(one.rank_in_search), one.name, *numbers]
        table.add_row(*row, *settings(one.first.params, varied))
    return _with_note(table, noise_line(confirmed))


def _shown_metrics(name: str) -> dict[str, str]:
    """The columns and their fields of EpochMetrics, the one that ranks first."""
    others = {"val_elbo": "val_elbo", "rate": "val_rate", "distortion": "val_distortion"}
    return {name: name, **{column: field for column, field in others.items() if field != name}}


def _spread(values: Sequence[float]) -> str:
    if len(values) < 2:
        return number(values[0] if values else None)
    return f"{statistics.fmean(values):.2f} \N{PLUS-MINUS SIGN} {statistics.stdev(values):.2f}"


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _with_note(table: Table, note: str) -> Table:
    """note: a line below the table, '' for none."""
    if note:
        table.caption, table.caption_justify = note, "left"
    return table
