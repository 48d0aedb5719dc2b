"""Which trials of a sweep its figures put side by side."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from report.labels import name_of, named
from report.numbers.sweep.rate_distortion import front
from tuning.records import SweepRecord, TrialRecord, ranked

MAX_COLUMNS = 8
N_BINS = 5  # of a hyperparameter's range, where it takes more than MAX_COLUMNS values

Order = Callable[[TrialRecord], tuple[tuple[float, Any], ...]]


@dataclass(frozen=True)
class Column:
    """A trial, and the values that set it apart from the trials beside it: ('autoencoder', 'seed 1')."""

    parts: tuple[str, ...]
    record: TrialRecord

    @property
    def label(self) -> str:
        return ", ".join(self.parts)


@dataclass(frozen=True)
class Comparison:
    """At most MAX_COLUMNS trials, in the order of their values. rule: which trials they are, '' for all."""

    columns: list[Column]
    rule: str


def compared_trials(sweep: SweepRecord) -> Comparison:
    """Every trial if there are at most MAX_COLUMNS; else the best trial of every configuration.

    If there are more configurations than MAX_COLUMNS: the best trials along the hyperparameter that the space wants
    compared; where it says nothing, some of the front of rate and distortion, or, in a sweep of one objective, the
    best trials. Failed trials are never compared, nor are those whose model the sweep has removed.
    """
    shown = [record for record in ranked(sweep.trials) if record.state != "failed" and record.best]
    kept = [record for record in shown if record.has_model]
    found = _compared(sweep, shown, kept)
    return found if len(kept) == len(shown) else Comparison(found.columns, _of_kept(found.rule))


def _of_kept(rule: str) -> str:
    return f"{rule}, of those whose models stay" if rule else "the trials whose models stay"


def _compared(sweep: SweepRecord, shown: Sequence[TrialRecord], kept: Sequence[TrialRecord]) -> Comparison:
    """shown: best first; they decide how trials are compared. kept: those of them that can be."""

    def name_and_seed(record: TrialRecord) -> list[Any]:
        return [*_configuration(record), record.config.seed]

    trials, configurations = _first_of(shown, name_and_seed), _first_of(shown, _configuration)
    if len(trials) <= MAX_COLUMNS:
        names = list(dict.fromkeys([*sweep.search, "seed"])) if len(trials) > len(configurations) else sweep.search
        return Comparison(_columns(sweep, _first_of(kept, name_and_seed), list(names)), "")
    if len(configurations) <= MAX_COLUMNS:
        best_seeds = _first_of(kept, _configuration)
        return Comparison(_columns(sweep, best_seeds, list(sweep.search)), "the best seed of each configuration")
    if sweep.compare is not None and any(sweep.compare in one.params for one in shown):
        return _along(sweep, shown, kept, sweep.compare)
    on_front = [record for record in front(sweep) if record.has_model]
    if len(on_front) > 1:
        return _along_front(sweep, on_front)
    return _best(sweep, _first_of(kept, _configuration), len(configurations))


def _first_of(records: Sequence[TrialRecord], key: Callable[[TrialRecord], Any]) -> list[TrialRecord]:
    """The first record of each key; two keys are equal if their texts are."""
    first: dict[str, TrialRecord] = {}
    for record in records:
        first.setdefault(str(key(record)), record)
    return list(first.values())


def _configuration(record: TrialRecord) -> list[Any]:
    return sorted(record.params.items())


def _columns(sweep: SweepRecord, records: Sequence[TrialRecord], names: Sequence[str]) -> list[Column]:
    """The records in the order of their values of `names`, each labelled by the values that differ."""
    varying = _varying(records, names) or list(names)
    ordered = sorted(records, key=_order(sweep, names))
    return [Column(_parts(record, varying) or (f"trial {record.trial_id}",), record) for record in ordered]


def _parts(record: TrialRecord, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(named(name, value) for name in names if (value := _value(record, name)) is not None)


def _varying(records: Sequence[TrialRecord], names: Sequence[str]) -> list[str]:
    """The names whose value is not the same in all records; a conditional hyperparameter may be absent from some."""
    return [name for name in names if len({str(_value(record, name)) for record in records}) > 1]


def _value(record: TrialRecord, name: str) -> Any:
    """A searched hyperparameter's value; None if it does not apply to the trial."""
    return record.config.seed if name == "seed" else record.params.get(name)


def _order(sweep: SweepRecord, names: Sequence[str]) -> Order:
    """A sort key: numbers by size, words as the space lists them; a trial that lacks a value comes first."""

    def place(name: str, value: Any) -> tuple[float, Any]:
        if value is None:
            return -1.0, 0
        if isinstance(value, str):
            choices = sweep.search[name]["choices"]
            return float(choices.index(value) if value in choices else len(choices)), 0
        return 0.0, value

    return lambda record: tuple(place(name, _value(record, name)) for name in names)


def _along_front(sweep: SweepRecord, on_front: Sequence[TrialRecord]) -> Comparison:
    """Trials spread evenly along the front, lowest rate first; each axis counts relative to the span of the front."""
    points = np.array([(record.best.val_rate, record.best.val_distortion) for record in on_front if record.best])
    spans = np.ptp(points, axis=0)
    steps = np.abs(np.diff(points, axis=0)) / np.where(spans == 0, 1.0, spans)
    along = np.concatenate([[0.0], steps.sum(axis=1).cumsum()])
    nearest = [int(np.abs(along - place).argmin()) for place in np.linspace(0, along[-1], N_BINS)]
    chosen = [on_front[place] for place in dict.fromkeys(nearest)]
    names = _varying(on_front, list(sweep.search))
    columns = [Column(_parts(record, names) or (f"trial {record.trial_id}",), record) for record in chosen]
    return Comparison(columns, f"{len(chosen)} of the {len(on_front)} trials on the front of rate and distortion")


def _best(sweep: SweepRecord, configurations: Sequence[TrialRecord], n_all: int) -> Comparison:
    """The first of the configurations, which are in the order of their rank; n_all: how many there are in all."""
    chosen = configurations[:N_BINS]
    names = _varying(chosen, list(sweep.search))
    columns = [Column(_parts(record, names) or (f"trial {record.trial_id}",), record) for record in chosen]
    return Comparison(columns, f"the best {len(chosen)} of {n_all} configurations, the best first")


def _along(sweep: SweepRecord, shown: Sequence[TrialRecord], kept: Sequence[TrialRecord], name: str) -> Comparison:
    """The best trial at each value of one hyperparameter, or in each bin of its range."""
    having, choice = ([record for record in records if name in record.params] for records in (shown, kept))
    others = "" if len(sweep.search) == 1 else "; the other hyperparameters are that trial's own"
    of_value = _first_of(having, lambda record: record.params[name])
    if len(of_value) <= MAX_COLUMNS:
        best = _first_of(choice, lambda record: record.params[name])
        return Comparison(_columns(sweep, best, [name]), f"the best trial of each {name_of(name)}{others}")
    dimension = sweep.search[name]
    best = _first_of(choice, lambda record: _bin(dimension, record.params[name]))
    scale = ", in equal ratios" if dimension.get("log") else ""
    rule = f"the best trial of each fifth of the range of {name_of(name)}{_range(dimension)}{scale}{others}"
    return Comparison(_columns(sweep, best, [name]), rule)


def _bin(dimension: dict[str, Any], value: Any) -> int:
    """The fifth of a dimension's range, or of its choices, that a value is in."""
    if dimension["type"] == "categorical":
        place = dimension["choices"].index(value) / len(dimension["choices"])
    else:
        low, high = float(dimension["low"]), float(dimension["high"])
        scaled = math.log(value / low) / math.log(high / low) if dimension.get("log") else (value - low) / (high - low)
        place = float(scaled)
    return min(max(int(place * N_BINS), 0), N_BINS - 1)


def _range(dimension: dict[str, Any]) -> str:
    return "" if dimension["type"] == "categorical" else f" ({dimension['low']:g} to {dimension['high']:g})"
