"""The table that a sweep ends with: its best trials, or its best configurations where each has several seeds."""

import statistics
from collections.abc import Sequence

from rich.table import Table

from tuning.records import Configuration, TrialRecord, configurations, pareto_front, ranked_by
from tuning.view.progress import settings
from vae.cli.format import number

BASIS = {"val_elbo": "nats per image, beta = 1, validation split", "val_distortion": "nats per image, validation split"}


def best_table(records: Sequence[TrialRecord], varied: Sequence[str], n_rows: int) -> Table:
    """The first of the ranking; what has failed or has no epoch yet is not shown."""
    metric = records[0].metric if records else "val_elbo"
    ranked = [one for one in enumerate(configurations(records), start=1) if one[1].n and not one[1].is_failed]
    if any(record.repeat for record in records):
        return _of_configurations(ranked[:n_rows], varied, ranked_by(metric))
    front = pareto_front(records) if metric == "rate_distortion" else None
    return _of_trials([(rank, one.records[0]) for rank, one in ranked[:n_rows]], varied, ranked_by(metric), front)


def _of_trials(
    trials: Sequence[tuple[int, TrialRecord]], varied: Sequence[str], name: str, front: set[str] | None
) -> Table:
    on_front = () if front is None else ("pareto",)
    columns = ("rank", "trial", "state", *_metrics(name), "epoch", *on_front, *varied)
    table = _table(f"Best trials by {name} ({BASIS[name]})", columns)
    for rank, record in trials:
        best = record.best
        assert best is not None
        numbers = [number(getattr(best, metric)) for metric in _metrics(name).values()]
        pareto = () if front is None else ("yes" if record.trial_id in front else "",)
        row = [str(rank), record.trial_id, record.state, *numbers, str(best.epoch), *pareto]
        table.add_row(*row, *settings(record.params, varied))
    return table


def _of_configurations(ranked: Sequence[tuple[int, Configuration]], varied: Sequence[str], name: str) -> Table:
    title = f"Best configurations by {name} ({BASIS[name]}): mean \N{PLUS-MINUS SIGN} sd over seeds"
    table = _table(title, ("rank", "configuration", "seeds", *_metrics(name), *varied))
    for rank, configuration in ranked:
        numbers = [_spread(configuration.values(metric)) for metric in _metrics(name).values()]
        row = [str(rank), configuration.name, str(configuration.n), *numbers]
        table.add_row(*row, *settings(configuration.params, varied))
    return table


def _metrics(name: str) -> dict[str, str]:
    """Columns and their fields of EpochMetrics, the one ranked by first."""
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
