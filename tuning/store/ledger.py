"""The ledger: every event of a sweep's trials (proposed, started, finished, ...), appended one by one.

A sweep resumes from its ledger alone, because Tune's own snapshots lose or repeat trials when the driver
dies. An event is on storage before the sweep acts on it; a trial's `trials/ID/metrics.jsonl` has one line per
epoch. A reader ignores a last line that a crash cut off.
"""

import bisect
import json
import math
import operator
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from tuning.errors import StorageError
from tuning.layout import CONFIG_FILE, METRICS_FILE
from tuning.records import TrialRecord
from tuning.store.folder import numbered_lines
from tuning.store.interface import Lines, Place
from vae.config import TrialConfig
from vae.model.metrics import EpochMetrics

FINAL_STATES = ("complete", "pruned", "failed")
METRICS = ("val_elbo", "val_distortion", "rate_distortion")  # SearchSpace.metric
TRIAL_ID = re.compile(r"\d{4,9}(-\d{1,9})?")  # tuning.records.trial_id
RESULTS = ("val_elbo", "val_rate", "val_distortion")  # of the best epoch, for people who read the file


class Ledger:
    """Appends the events of a sweep's trials. Only one driver may hold it at a time."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._metrics: dict[str, Lines] = {}  # of the trials that have not finished

    def proposed(self, record: TrialRecord, request: str | None = None) -> None:
        """Record that a trial exists. request: the name of that in which somebody wanted it, tuning.store.requests."""
        self._place.put_later(
            f"{record.folder}/{CONFIG_FILE}", record.config.model_dump_json(indent=2).encode() + b"\n"
        )
        config = record.config.model_dump()
        wanted: dict[str, Any] = {"request": request} if request else {}
        self._write("proposed", record, params=record.params, config=config, metric=record.metric, **wanted)
        self._open_metrics(record)

    def started(self, record: TrialRecord) -> None:
        """Record that a worker has begun to train the trial, for the first time or again."""
        self._open_metrics(record)
        self._write("started", record, at_once=False, epochs=len(record.history))

    def again(self, record: TrialRecord) -> None:
        """Record that the trial has a new attempt, before a worker takes it on."""
        self._write("again", record, attempt=record.attempt)

    def retried(self, record: TrialRecord) -> None:
        """Record that a trial that failed runs again."""
        self._write("retried", record)

    def epoch(self, record: TrialRecord, *new: EpochMetrics) -> None:
        """Record an epoch that was trained, or several in their order."""
        self._metrics[record.trial_id].append(b"".join(map(_line, new)))

    def repeated(self, record: TrialRecord, epoch: int) -> None:
        """Record that an interruption has cost the trial this epoch, which was trained again: for people and audits."""
        self._write("repeated", record, at_once=False, epoch=epoch)

    def stopping(self, record: TrialRecord, epoch: int) -> None:
        """Record that the scheduler stops the trial after this epoch, which is not in its metrics yet."""
        self._write("stopping", record, epoch=epoch)

    def checkpointed(self, record: TrialRecord, epoch: int) -> None:
        """Record the epoch that the trial would go on from after a crash. The checkpoint has the metrics up to it."""
        self._metrics[record.trial_id].keep_later()
        self._write("checkpointed", record, at_once=False, epoch=epoch)

    def finished(self, record: TrialRecord) -> None:
        """Record how the trial ended. Its metrics are on storage first: nothing could make them again."""
        best = record.best
        values = best.as_dict() if best else {}
        result = {name: values[name] for name in RESULTS if name in values}
        if best:
            result["best_epoch"] = best.epoch
        if record.trial_id in self._metrics:
            self._metrics[record.trial_id].keep()
        self._write("finished", record, state=record.state, epochs=len(record.history), error=record.error, **result)
        self._metrics.pop(record.trial_id, None)

    def removed(self, records: Sequence[TrialRecord]) -> None:
        """Record that nothing needs the models of these trials any more, before they are removed."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        ids = [record.trial_id for record in records]
        self._append({"event": "removed", "trial": "", "at": at, **self._place.signature, "trials": ids}, at_once=True)

    def close(self, patient: bool = True) -> None:
        """See Place.close."""
        for lines in self._metrics.values():
            lines.keep_later()
        self._place.close(patient)

    def _open_metrics(self, record: TrialRecord) -> None:
        so_far = b"".join(_line(metrics) for metrics in record.history)
        self._metrics[record.trial_id] = self._place.lines(f"{record.folder}/{METRICS_FILE}", so_far)

    def _write(self, event: str, record: TrialRecord, at_once: bool = True, **more: Any) -> None:
        """at_once: the sweep acts on it, so it must be on storage first."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._append({"event": event, "trial": record.trial_id, "at": at, **self._place.signature, **more}, at_once)

    def _append(self, event: dict[str, Any], at_once: bool) -> None:
        self._place.append(json.dumps(event).encode() + b"\n", at_once)


def _line(metrics: EpochMetrics) -> bytes:
    return json.dumps(metrics.as_dict()).encode() + b"\n"


def read_trials(place: Place) -> list[TrialRecord]:
    """Every trial in the ledger, in the order of proposal. Raises StorageError for a damaged ledger."""
    records: dict[str, TrialRecord] = {}
    for where, event in _parsed(place.events()):
        try:
            _replay(records, event)
        except (KeyError, TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
            reason = " ".join(str(error).split())[:120]
            raise StorageError(f"{where} is not one of its events ({reason})") from None
    names = [f"{record.folder}/{METRICS_FILE}" for record in records.values()]
    for record, name, content in zip(records.values(), names, place.get_all(names), strict=True):
        record.history = _history(place.where(name), content)
    return list(records.values())


def wall_seconds(place: Place, begun: Sequence[str]) -> float:
    """How long the sweep has run: from the start of each run to the last event before the next one.

    begun: when each run began, in ISO format; what is no such time counts nothing.
    """
    times = sorted(at for _, event in _parsed(place.events()) if (at := _seconds(event.get("at"))) is not None)
    starts = sorted(at for when in begun if (at := _seconds(when)) is not None)
    total = 0.0
    for start, end in pairwise([*starts, math.inf]):
        last = bisect.bisect_left(times, end) - 1
        total += max(0.0, times[last] - start) if last >= 0 else 0.0
    return total


def _seconds(when: Any) -> float | None:
    try:
        return datetime.fromisoformat(when).timestamp()
    except (TypeError, ValueError):
        return None


def _replay(records: dict[str, TrialRecord], event: dict[str, Any]) -> None:
    trial_id = event["trial"]
    if event["event"] == "proposed":
        config, metric = TrialConfig(**event["config"]), event.get("metric", "val_elbo")
        if not TRIAL_ID.fullmatch(trial_id) or metric not in METRICS:
            raise ValueError(f"trial {trial_id}, metric {metric}")
        records[trial_id] = TrialRecord(trial_id, dict(event["params"]), config, metric=metric)
    elif event["event"] == "finished":
        if event["state"] not in FINAL_STATES:
            raise ValueError(f"state {event['state']}")
        records[trial_id].state = event["state"]
        records[trial_id].error = str(event["error"])
    elif event["event"] == "stopping":
        records[trial_id].stops_at = operator.index(event["epoch"])
    elif event["event"] == "again":
        records[trial_id].attempt = operator.index(event["attempt"])
    elif event["event"] == "retried":
        records[trial_id].state, records[trial_id].error = "running", ""
    elif event["event"] == "removed":
        for one in event["trials"]:
            records[one].has_model = False


def _history(where: str, content: bytes | None) -> list[EpochMetrics]:
    """Each epoch once: an epoch trained again after a crash has the same numbers as before."""
    history: list[EpochMetrics] = []
    for line_of, line in _parsed(numbered_lines(where, content)):
        try:
            metrics = EpochMetrics(**line)
            sum(line.values())  # raises unless every value is a number
            is_next = operator.index(metrics.epoch) == len(history) + 1
        except (TypeError, OverflowError):
            raise StorageError(f"{line_of} is not an epoch's metrics") from None
        if is_next:
            history.append(metrics)
    return history


def _parsed(lines: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, line in lines:
        try:
            yield where, json.loads(line)
        except (ValueError, RecursionError):
            raise StorageError(f"{where} is not JSON; the file was changed or the disk damaged") from None
