"""What the head of the page says in words: the best model and by how much, what was odd, what to try next."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from report.labels import counted, name_of
from report.numbers.sweep.scores import metric_of
from report.numbers.sweep.told_apart import shrinkage_line, verdict
from tuning.confirmed import Confirmed, confirmed, noise_line
from tuning.records import Configuration, SweepRecord, TrialRecord, configurations, ranked
from vae.cli.format import shown

TOP = 5  # of the best trials: where they lie in a range decides whether it is wide enough
EDGE = 0.1  # of a range, on its own scale
MINUS, PLUS_MINUS = "\N{MINUS SIGN}", "\N{PLUS-MINUS SIGN}"


def nats(value: float) -> str:
    """'-104.16', with a true minus sign."""
    return f"{value:.2f}".replace("-", MINUS)


def best_lines(sweep: SweepRecord) -> list[str]:
    """Which model is best and by how much, in a few sentences; [] before the first finite epoch."""
    fresh = confirmed(sweep)
    if fresh:
        return _confirmed_lines(sweep, fresh)
    having = [one for one in configurations(sweep.trials) if one.n and not one.is_failed]
    if not having:
        return []
    first = having[0]
    lines = [f"{_which(first).capitalize()}: {_value(sweep, first)}{_settings(sweep, first)}."]
    if len(having) > 1:
        lines.append(_ahead(sweep, having))
    if first.sd is None and len(having) > 1:
        can_tell = "" if first.records[0].metric == "rate_distortion" else ": --resume NAME --confirm finds out"
        lines.append(f"Each configuration ran with one seed, so how much of this is luck is not known{can_tell}.")
    return lines


def _confirmed_lines(sweep: SweepRecord, fresh: Sequence[Confirmed]) -> list[str]:
    """The same by the fresh seeds, and what the search had said."""
    first = fresh[0]
    value = _value(sweep, first.fresh, "fresh seeds")
    lines = [f"Configuration {first.name}: {value}{_settings(sweep, first.first)}."]
    if len(fresh) > 1:
        gap = f"{first.mean - fresh[1].mean:.2f} nats ahead of configuration {fresh[1].name}"
        lines += [f"It is {gap}; {verdict(sweep, first.fresh.scores, fresh[1].fresh.scores)}.", noise_line(fresh)]
    return [line.replace(" -", f" {MINUS}") for line in [*lines, shrinkage_line(first)]]


def _value(sweep: SweepRecord, one: Configuration, seeds: str = "seeds") -> str:
    metric = metric_of(sweep)
    spread = f" {PLUS_MINUS} {one.sd:.2f} (mean and standard deviation of {one.n} {seeds})" if one.sd else ""
    return f"validation {metric.name} {nats(metric.sign * one.mean)}{spread} nats per image"


def _settings(sweep: SweepRecord, one: Configuration) -> str:
    found = ", ".join(f"{name_of(name)} {shown(one.params[name])}" for name in sweep.search if name in one.params)
    return f", at {found}" if found else ""


def _which(one: Configuration) -> str:
    return f"trial {one.records[0].trial_id}" if len(one.records) == 1 else f"configuration {one.name}"


def _ahead(sweep: SweepRecord, having: Sequence[Configuration]) -> str:
    """And whether that is more than a seed does, where a configuration has several."""
    first, second, median = having[0], having[1], having[len(having) // 2]
    sentence = f"It is {first.mean - second.mean:.2f} nats ahead of {_which(second)}"
    sentence += f" and {first.mean - median.mean:.2f} ahead of the median" if len(having) > 3 else ""
    decided = verdict(sweep, first.scores, second.scores)
    return f"{sentence}; {decided}.".replace(" -", f" {MINUS}") if decided else f"{sentence}."


def warnings(sweep: SweepRecord) -> list[str]:
    """A line for everything that did not go as planned."""
    notes = dict.fromkeys(note for run in sweep.manifest.get("runs", []) for note in _notes(run))
    trials = [*sweep.trials, *(sweep.confirmation.trials if sweep.confirmation else [])]
    return [*notes, *_begun_again(trials), *_failures(trials), *_interruptions(sweep.manifest)]


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
