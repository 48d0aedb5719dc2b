"""Status: what a sweep's place says of it now, for people and as JSON. It starts nothing and writes nothing."""

import json
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from tuning.errors import StorageError
from tuning.layout import CONFIRM_FOLDER, MANIFEST_FILE, REPORT_FOLDER
from tuning.records import TrialRecord, ranked, ranked_by
from tuning.space.model import SearchSpace
from tuning.store.ledger import read_trials
from tuning.store.place import SweepStorage, has_begun, is_held, open_existing
from vae.cli.format import duration, number, shown

STATES = ("complete", "pruned", "failed", "running")
SILENT_SECONDS = 300.0  # a bucket's sweep whose ledger has nothing newer is taken for stopped


def status(storage: SweepStorage) -> dict[str, Any]:
    """A sweep as plain values, ready for JSON. Raises StorageError where there is none or it is damaged."""
    open_existing(storage)
    manifest = _manifest(storage)
    records = read_trials(storage.place)
    n_trials, metric = manifest["trials"], manifest["metric"]
    counts, fresh = _counted(records, n_trials), _confirmation(storage, manifest, records)
    heard = _last_event(storage, *([storage.part(CONFIRM_FOLDER)] if fresh else []))
    is_whole = all(part is None or _n_ended(part) >= part["planned"] for part in (counts, fresh))
    return {
        "name": storage.name,
        "where": storage.shown,
        "description": manifest["description"],
        "state": "finished" if is_whole else "running" if _runs(storage, heard) else "stopped",
        "metric": metric,
        "trials": counts,
        "confirm": fresh,
        "best": _trial(next(iter(ranked(records)), None), metric),
        "under_way": [_trial(record, metric) for record in records if not record.has_ended],
        "failed": {record.trial_id: record.error for record in records if record.state == "failed"},
        "training_seconds": round(sum(record.seconds for record in records), 1),
        "begun": manifest["begun"],
        "last_event": heard.isoformat(timespec="seconds") if heard else None,
        "report": f"{storage.shown}/{REPORT_FOLDER}" if storage.place.list(f"{REPORT_FOLDER}/") else None,
        "resume": storage.resume_command,
    }


def _counted(records: Sequence[TrialRecord], n_trials: int) -> dict[str, int]:
    """The trials by state."""
    counts: Counter[str] = Counter(record.state for record in records)
    return {"planned": n_trials, **{state: counts[state] for state in STATES}}


def _confirmation(
    storage: SweepStorage, manifest: dict[str, Any], records: Sequence[TrialRecord]
) -> dict[str, int] | None:
    """The trials by state that confirm a sweep; None where nobody asked for any, or none can be."""
    part = storage.part(CONFIRM_FOLDER)
    if has_begun(part):
        return _counted(read_trials(part.place), _manifest(part)["trials"])
    has_failed = bool(records) and all(record.state == "failed" for record in records)
    return _counted([], manifest["fresh"]) if manifest["fresh"] and not has_failed else None


def _trial(record: TrialRecord | None, metric: str) -> dict[str, Any] | None:
    """None for no record, or one without a finite epoch that failed."""
    if record is None or (record.state == "failed" or (record.has_ended and record.best is None)):
        return None
    best = record.best
    return {
        "trial": record.trial_id,
        "state": record.state,
        "params": record.params,
        "epochs": len(record.history),
        "of_epochs": record.config.epochs,
        "best_epoch": best.epoch if best else None,
        **{name: getattr(best, name) if best else None for name in ("val_elbo", "val_rate", "val_distortion")},
        "checkpoint": f"{record.model_folder}/model.safetensors" if best else None,
    }


def _manifest(storage: SweepStorage) -> dict[str, Any]:
    """What of the manifest a status shows. It asks less than a resume does: the images need not be here."""
    where = storage.place.where(MANIFEST_FILE)
    try:
        content = json.loads(storage.place.get(MANIFEST_FILE) or b"")
        space = SearchSpace.model_validate(content["space"])
        begun = (content.get("runs") or [{}])[0].get("when") or content.get("written")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise StorageError(f"{where}: not a manifest of this version ({reason})") from None
    fresh = space.confirm.top * space.confirm.seeds if space.confirm else 0
    about = {"metric": space.metric, "description": space.description, "begun": begun}
    return {"trials": space.n_runs, "fresh": fresh, **about}


def _last_event(*storages: SweepStorage) -> datetime | None:
    found = []
    for storage in storages:
        events = deque(storage.place.events(), maxlen=1)
        with suppress(IndexError, ValueError, KeyError, TypeError):
            found.append(datetime.fromisoformat(json.loads(events[-1][1])["at"]))
    return max(found, default=None)


def _runs(storage: SweepStorage, heard: datetime | None) -> bool:
    held = is_held(storage)
    if held is None:
        return heard is not None and (datetime.now(UTC) - heard).total_seconds() < SILENT_SECONDS
    return held


def told(status: dict[str, Any]) -> str:
    """The lines of a status."""
    best = status["best"]
    lines = [
        f"{status['name']}: {status['description']}",
        f"{status['state']}; {_told_counts(status['trials'])}",
    ]
    if fresh := status["confirm"]:
        lines.append(f"confirmation: {_told_counts(fresh)}")
    if best:
        lines.append(f"best {_told_trial(best, ranked_by(status['metric']))}")
    lines += [f"under way {_told_trial(trial, ranked_by(status['metric']))}" for trial in status["under_way"] if trial]
    lines += [f"failed trial {trial}: {error}" for trial, error in status["failed"].items()]
    if status["last_event"]:
        lines.append(f"last event {_age(status['last_event'])} ago; {duration(status['training_seconds'])} of training")
    if status["report"]:
        lines.append(f"report {status['report']}")
    if status["state"] == "stopped":
        lines.append(f"go on with: {status['resume']}")
    return "\n  ".join(lines)


def _told_counts(counts: dict[str, int]) -> str:
    """'3 of 20 trials: 2 complete, 1 running'."""
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return f"{_n_ended(counts) + counts['running']} of {counts['planned']} trials: {states or 'none yet'}"


def _n_ended(counts: dict[str, int]) -> int:
    return sum(counts[state] for state in STATES if state != "running")


def _told_trial(trial: dict[str, Any], name: str) -> str:
    params = " ".join(f"{key}={shown(value)}" for key, value in trial["params"].items())
    value = f", {name} {number(trial[name])}" if trial[name] is not None else ""
    return f"trial {trial['trial']}: epoch {trial['epochs']} of {trial['of_epochs']}{value} ({params})"


def listing(storages: Sequence[SweepStorage]) -> list[dict[str, Any]]:
    """The status of each sweep, the newest last; of one that cannot be read, its fault."""
    found = []
    for storage in storages:
        try:
            found.append(status(storage))
        except StorageError as error:
            found.append({"name": storage.name, "where": storage.shown, "error": str(error)})
    return sorted(found, key=lambda one: one.get("last_event") or "")


def listing_table(found: Sequence[dict[str, Any]]) -> Table:
    table = Table()
    for column in ("sweep", "state", "trials", "best", "last event"):
        table.add_column(column, justify="left" if column in ("sweep", "state") else "right", overflow="fold")
    for one in found:
        if "error" in one:
            table.add_row(one["name"], one["error"], "", "", "")
            continue
        best, metric = one["best"], ranked_by(one["metric"])
        parts = [one["trials"], *([one["confirm"]] if one["confirm"] else [])]
        trials = " + ".join(f"{_n_ended(part)}/{part['planned']}" for part in parts)
        ago = f"{_age(one['last_event'])} ago" if one["last_event"] else ""
        value = f"{metric} {number(best[metric])}" if best and best[metric] is not None else ""
        table.add_row(one["name"], one["state"], trials, value, ago)
    return table


def _age(at: str) -> str:
    return duration((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())
