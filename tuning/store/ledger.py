"""The ledger: every event of a sweep's trials (proposed, started, checkpointed, finished), appended one by one.

A sweep resumes from its ledger alone, because Tune's own snapshots lose or repeat trials when the driver
dies. `ledger.jsonl` has one line per event, which is on disk before the sweep acts on it;
`trials/ID/metrics.jsonl` has one line per epoch. A reader ignores a last line that a crash cut off.
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
RESULTS = ("val_elbo", "val_rate", "val_distortion")  # of the best epoch, for people who read the file


class Ledger:
    """Appends the events of a sweep's trials. Only one driver may hold it at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        _drop_torn_line(folder / LEDGER_FILE)
        self._file = (folder / LEDGER_FILE).open("a", encoding="utf-8")

    def proposed(self, record: TrialRecord) -> None:
        """Record that a trial exists. Its folder and its config are written first, so a line never lacks them."""
        trial_folder = self._folder / record.folder
        trial_folder.mkdir(parents=True, exist_ok=True)
        (trial_folder / CONFIG_FILE).write_text(record.config.model_dump_json(indent=2) + "\n")
        _drop_torn_line(trial_folder / METRICS_FILE)
        config = record.config.model_dump()
        self._write("proposed", record, params=record.params, config=config, metric=record.metric)

    def started(self, record: TrialRecord) -> None:
        """Record that a worker has begun to train the trial, for the first time or again."""
        _drop_torn_line(self._folder / record.folder / METRICS_FILE)
        self._write("started", record, epochs=len(record.history))

    def epoch(self, record: TrialRecord, metrics: EpochMetrics) -> None:
        with (self._folder / record.folder / METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics.as_dict()) + "\n")

    def checkpointed(self, record: TrialRecord, epoch: int) -> None:
        """Record the epoch that the trial would go on from after a crash. Its metrics up to there are on disk first."""
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
    """Every trial in the ledger, in the order of proposal. Raises StorageError for a damaged ledger."""
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


def _read_history(path: Path) -> list[EpochMetrics]:
    """Each epoch once: an epoch trained again after a crash has the same numbers as before."""
    history: list[EpochMetrics] = []
    for number, line in _lines(path):
        try:
            metrics = EpochMetrics(**line)
            sum(line.values())  # raises unless every value is a number
        except (TypeError, OverflowError):
            raise StorageError(f"{path}: line {number} is not an epoch's metrics") from None
        if metrics.epoch == len(history) + 1:
            history.append(metrics)
    return history


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The file's JSON lines with their line numbers, without a last line that was cut off."""
    if not path.exists():
        return
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            yield number, json.loads(line)
        except ValueError:
            raise StorageError(f"{path}: line {number} is not JSON; the file was changed or the disk damaged") from None


def _drop_torn_line(path: Path) -> None:
    """Remove what a crash left after the last complete line, so that the next line starts on its own."""
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        with path.open("rb+") as file:
            file.truncate(content.rfind(b"\n") + 1)
