"""The sweep's own memory: an append-only file of what was proposed, started, checkpointed and finished.

A sweep resumes from this and nothing else: Tune's own snapshots lose or repeat trials when the driver
dies. `ledger.jsonl` has a line per event, on disk before the sweep goes on; `trials/ID/metrics.jsonl`
has a line per epoch. A line that a crash cut off is dropped.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuning.errors import StorageError
from tuning.layout import CONFIG_FILE, LEDGER_FILE, METRICS_FILE
from tuning.records import TrialRecord
from vae.config import TrialConfig
from vae.model.metrics import EpochMetrics

FINAL_STATES = ("complete", "pruned", "failed")
RESULTS = ("val_elbo", "val_rate", "val_distortion")  # of the epoch that stands for a trial, for readers of the file


class Ledger:
    """Writes the events of a sweep's trials; one driver at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        _drop_torn_line(folder / LEDGER_FILE)
        self._file = (folder / LEDGER_FILE).open("a", encoding="utf-8")

    def proposed(self, record: TrialRecord) -> None:
        """A trial exists from here on; its folder and its config are there before this line is."""
        trial_folder = self._folder / record.folder
        trial_folder.mkdir(parents=True, exist_ok=True)
        (trial_folder / CONFIG_FILE).write_text(record.config.model_dump_json(indent=2) + "\n")
        _drop_torn_line(trial_folder / METRICS_FILE)
        config = record.config.model_dump()
        self._write("proposed", record, params=record.params, config=config, metric=record.metric)

    def started(self, record: TrialRecord) -> None:
        """A worker has taken the trial on, for the first time or again."""
        _drop_torn_line(self._folder / record.folder / METRICS_FILE)
        self._write("started", record, epochs=len(record.history))

    def retried(self, record: TrialRecord) -> None:
        """A trial that failed runs again."""
        self._write("retried", record)

    def epoch(self, record: TrialRecord, metrics: EpochMetrics) -> None:
        with (self._folder / record.folder / METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics.as_dict()) + "\n")

    def stopping(self, record: TrialRecord, epoch: int) -> None:
        """The scheduler stops the trial after this epoch, which is not in its metrics yet."""
        self._write("stopping", record, epoch=epoch)

    def checkpointed(self, record: TrialRecord, epoch: int) -> None:
        """The trial goes on from this epoch after a crash; its metrics up to there are on disk first."""
        self._sync(self._folder / record.folder / METRICS_FILE)
        self._write("checkpointed", record, epoch=epoch)

    def finished(self, record: TrialRecord) -> None:
        best = record.best
        values = best.as_dict() if best else {}
        result = {name: values[name] for name in RESULTS if name in values}
        if best:
            result["best_epoch"] = best.epoch
        self._sync(self._folder / record.folder / METRICS_FILE)
        self._write("finished", record, state=record.state, epochs=len(record.history), error=record.error, **result)

    def close(self) -> None:
        self._file.close()

    def _write(self, event: str, record: TrialRecord, **more: Any) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._file.write(json.dumps({"event": event, "trial": record.trial_id, "at": at, **more}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _sync(self, path: Path) -> None:
        if path.exists():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def read_trials(folder: Path) -> list[TrialRecord]:
    """Every trial the ledger knows, in the order of their proposal. Raises StorageError for a damaged ledger."""
    records: dict[str, TrialRecord] = {}
    path = folder / LEDGER_FILE
    for number, event in _lines(path):
        try:
            _replay(records, event)
        except (KeyError, TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
            reason = " ".join(str(error).split())[:120]
            raise StorageError(f"{path}: line {number} is not one of its events ({reason})") from None
    for record in records.values():
        record.history = _read_history(folder / record.folder / METRICS_FILE)
    return list(records.values())


def _replay(records: dict[str, TrialRecord], event: dict[str, Any]) -> None:
    trial_id = event["trial"]
    if event["event"] == "proposed":
        config, metric = TrialConfig(**event["config"]), event.get("metric", "val_elbo")
        records[trial_id] = TrialRecord(trial_id, event["params"], config, metric=metric)
    elif event["event"] == "finished":
        if event["state"] not in FINAL_STATES:
            raise ValueError(f"state {event['state']}")
        records[trial_id].state = event["state"]
        records[trial_id].error = event["error"]
    elif event["event"] == "stopping":
        records[trial_id].stops_at = int(event["epoch"])
    elif event["event"] == "retried":
        records[trial_id].state, records[trial_id].error = "running", ""


def _read_history(path: Path) -> list[EpochMetrics]:
    """Each epoch once: one that was trained again after a crash gave the same numbers."""
    history: list[EpochMetrics] = []
    for number, line in _lines(path):
        try:
            metrics = EpochMetrics(**line)
            sum(line.values())  # numbers, all of them; what a trial has not is not there
        except (TypeError, OverflowError):
            raise StorageError(f"{path}: line {number} is not an epoch's metrics") from None
        if metrics.epoch == len(history) + 1:
            history.append(metrics)
    return history


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The file's JSON lines with their numbers; a last one without its end is left out."""
    if not path.exists():
        return
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            yield number, json.loads(line)
        except ValueError:
            raise StorageError(f"{path}: line {number} is not JSON; the file was changed or the disk damaged") from None


def _drop_torn_line(path: Path) -> None:
    """Cut off what follows the last line's end, so that the next line does not stick to it."""
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        with path.open("rb+") as file:
            file.truncate(content.rfind(b"\n") + 1)
