"""What the head of the page says in words: the best model and by how much, what was odd, what to try next."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from report.labels import counted, name_of
from report.numbers.sweep.scores import metric_of
from tuning.records import Configuration, SweepRecord, TrialRecord, configurations, ranked
from vae.cli.format import shown

TOP = 5  # of the best trials: where they lie in a range decides whether it is wide enough
EDGE = 0.1  # of a range, on its own scale
MINUS, PLUS_MINUS = "\N{MINUS SIGN}", "\N{PLUS-MINUS SIGN}"


def nats(value: float) -> str:
    """'-104.16', with a true minus sign."""
    return f"{value:.2f}".replace("-", MINUS)


def best_lines(sweep: SweepRecord) -> list[str]:
    """Which model is best and by how much, in up to three sentences; [] before the first finite epoch."""
    having = [one for one in configurations(sweep.trials) if one.n and not one.is_failed]
    if not having:
        return []
    first, metric = having[0], metric_of(sweep)
    spread = f" {PLUS_MINUS} {first.sd:.2f} (mean and standard deviation of {first.n} seeds)" if first.sd else ""
    value = f"validation {metric.name} {nats(metric.sign * first.mean)}{spread} nats per image"
    settings = ", ".join(
        f"{name_of(name)} {shown(first.params[name])}" for name in sweep.search if name in first.params
    )
    lines = [f"{_which(first).capitalize()}: {value}" + (f", at {settings}." if settings else ".")]
    if len(having) > 1:
        lines.append(_ahead(having))
    if first.sd is None and len(having) > 1:
        lines.append("Each configuration ran with one seed, so how much of this is luck is not known.")
    return lines


def _which(one: Configuration) -> str:
    return f"trial {one.records[0].trial_id}" if len(one.records) == 1 else f"configuration {one.name}"


def _ahead(having: Sequence[Configuration]) -> str:
    first, second, median = having[0], having[1], having[len(having) // 2]
    sentence = f"It is {first.mean - second.mean:.2f} nats ahead of {_which(second)}"
    return sentence + (f" and {first.mean - median.mean:.2f} ahead of the median." if len(having) > 3 else ".")


def warnings(sweep: SweepRecord) -> list[str]:
    """A line for everything that did not go as planned."""
    notes = dict.fromkeys(note for run in sweep.manifest.get("runs", []) for note in _notes(run))
    return [*notes, *_begun_again(sweep.trials), *_failures(sweep.trials), *_interruptions(sweep.manifest)]


def _notes(run: dict[str, Any]) -> list[str]:
    """What was odd about the machines in the beginning, and what the user was told while it ran."""
    return [str(note) for found in ((run.get("hardware") or {}).get("notes"), run.get("notes")) for note in found or ()]


def _begun_again(trials: Sequence[TrialRecord]) -> list[str]:
    again = [record for record in trials if record.attempt > 1]
    if not again:
        return []
    return [f"{counted(len(again), 'trial')} went on from a checkpoint, because a worker or the driver had ended."]


def _failures(trials: Sequence[TrialRecord]) -> list[str]:
    """One line for each cause, the most frequent first. Two errors that differ in their numbers are one cause."""
    failed = [record for record in trials if record.state == "failed"]
    causes = Counter(_cause(record.error) for record in failed)
    firsts = {_cause(record.error): record for record in reversed(failed)}
    return [f"{counted(n, 'trial')} failed: {_last_line(firsts[cause].error)}" for cause, n in causes.most_common()]


def _cause(error: str) -> str:
    return re.sub(r"[-+\d.e]*\d[\d.e+-]*|nan|inf", "#", _last_line(error))


def _last_line(error: str) -> str:
    """Of a traceback, the line that says what happened."""
    lines = error.strip().splitlines()
    return lines[-1].strip() if lines else "no message"


def _interruptions(manifest: dict[str, Any]) -> list[str]:
    n_runs = len(manifest.get("runs", []))
    return [f"The sweep ran in {n_runs} parts: it was resumed {counted(n_runs - 1, 'time')}."] if n_runs > 1 else []


def hints(sweep: SweepRecord) -> list[str]:
    """What to try next: a range whose edge the best trials crowd is too narrow."""
    ended = [record for record in ranked(sweep.trials) if record.state in ("complete", "pruned") and record.best]
    if len(ended) < 2 * TOP:
        return []
    found = []
    for name, dimension in sweep.search.items():
        places = [_place(dimension, record.params.get(name)) for record in ended[:TOP]]
        having = [place for place in places if place is not None]
        if len(having) < TOP:
            continue
        for edge, word, is_near in (
            ("low", "below", max(having) < 2 * EDGE and having[0] < EDGE),
            ("high", "above", min(having) > 1 - 2 * EDGE and having[0] > 1 - EDGE),
        ):
            if is_near:
                bound = shown(dimension[edge])
                found.append(f"The best {TOP} trials crowd the edge of {name_of(name)}: try values {word} {bound}.")
    return found


def _place(dimension: dict[str, Any], value: Any) -> float | None:
    """Where a value lies in its range, from 0 to 1; None of choices, and of what lies outside."""
    if dimension["type"] == "categorical" or value is None or dimension["low"] == dimension["high"]:
        return None
    scale = math.log if dimension.get("log") else float
    low, high, at = (scale(number) for number in (dimension["low"], dimension["high"], value))
    return (at - low) / (high - low) if low <= at <= high else None
