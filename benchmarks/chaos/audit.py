"""Audit: what a sweep's folder or bucket says of its trials. It reads nothing else, and believes no summary."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuning.layout import attempt_folder
from tuning.store.interface import Place
from vae.errors import CheckpointError
from vae.storage.checkpoint import unpack_model
from vae.training.trial import CHECKPOINT_SECONDS

Lines = list[dict[str, Any]]
OF_A_CLOCK = ("epoch_seconds", "seconds")
# Every file that a whole sweep may have: trials/ID/... of a proposed trial, and these. All else is an orphan.
# What an attempt has left belongs to its trial, also where a worker that was cut off from its driver wrote it late.
OF_A_TRIAL = re.compile(
    r"config\.json|metrics\.jsonl|(attempt-\d+/)?(model\.safetensors|checkpoint\.safetensors|snapshots\.zip)"
    r"|events\.out\.tfevents\.[^/]+|error\.txt"
)
OF_A_SWEEP = re.compile(
    r"manifest\.json|ledger\.jsonl|ledger/\d{8}\.jsonl|digests/\d{8}\.jsonl|study\.journal|leaderboard\.csv|driver\.lock"
    r"|(best_so_far/)?events\.out\.tfevents\.[^/]+|(best|report)/([^./][^/]*/)*[^./][^/]*"
)


@dataclass
class Audit:
    """once: trials proposed once and finished once. lost: never proposed, or never finished. twice: proposed or
    finished more than once, or of a number that the sweep has not. orphans: files and folders that belong to no
    trial. faults: what differs from the sweep that nothing disturbed, or cannot be read.

    again: epochs that were trained more than once, see `_trained_again`; longest: the most seconds of training that
    one interruption cost one trial.
    """

    once: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    again: int = 0
    longest: float = 0.0
    orphans: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        return not (self.lost or self.twice or self.orphans or self.faults)

    def told(self) -> list[str]:
        """A line for each thing that is not well."""
        kinds = {"lost": self.lost, "twice": self.twice, "orphan": self.orphans, "fault": self.faults}
        return [f"{kind}: {one}" for kind, found in kinds.items() for one in found]


def audit(place: Place, n_trials: int, undisturbed: Place, folder: Path | None = None) -> Audit:
    """folder: where the place is one, to see its empty folders too."""
    events = ledger(place)
    expected = [f"{number:04d}" for number in range(n_trials)]
    proposed, finished = (Counter(line["trial"] for line in events if line["event"] == kind) for kind in _KINDS)
    found = Audit(
        once=sum(proposed[one] == finished[one] == 1 for one in expected),
        lost=[one for one in expected if not (proposed[one] and finished[one])],
        twice=sorted(one for one, n in (proposed | finished).items() if n > 1 or one not in expected),
        orphans=sorted(_orphans(place, set(proposed), folder)),
        faults=[*_differences(place, undisturbed), *_unreadable(place, events)],
    )
    for trial in _started(events):
        repeated = [line["epoch"] for line in events if (line["event"], line["trial"]) == ("repeated", trial)]
        for n_epochs, seconds in _trained_again(metrics(place, trial), repeated):
            found.again += n_epochs
            found.longest = max(found.longest, seconds)
    if found.longest > CHECKPOINT_SECONDS * 1.5:  # the epoch that was under way comes on top
        found.faults.append(f"{found.longest:.0f} s of one trial trained again; allowed: {CHECKPOINT_SECONDS:.0f}")
    return found


_KINDS = ("proposed", "finished")


def ledger(place: Place) -> Lines:
    return [json.loads(line) for _, line in place.events()]


def metrics(place: Place, trial: str) -> Lines:
    """The first line of each epoch: what the driver heard first."""
    lines = [json.loads(line) for line in (place.get(f"trials/{trial}/metrics.jsonl") or b"").split(b"\n")[:-1]]
    return list({line["epoch"]: line for line in reversed(lines)}.values())[::-1]


def _orphans(place: Place, trials: set[str], folder: Path | None) -> Iterator[str]:
    for name in place.list(""):
        top, _, rest = name.partition("/")
        trial, _, file = rest.partition("/")
        belongs = trial in trials and OF_A_TRIAL.fullmatch(file) if top == "trials" else OF_A_SWEEP.fullmatch(name)
        if not belongs:
            yield name
    if folder is not None:
        yield from (f"trials/{path.name}/" for path in (folder / "trials").iterdir() if path.name not in trials)


def _differences(place: Place, undisturbed: Place) -> Iterator[str]:
    """Everything but the clock's is as in the sweep that nothing disturbed: leaderboard, configurations, epochs."""
    ours, theirs = (_rows(one) for one in (place, undisturbed))
    for rank, (row, other) in enumerate(zip(ours, theirs, strict=False), start=1):
        if row != other:
            names = [name for name in other if row.get(name) != other[name]]
            shown = ", ".join(f"{name} {row.get(name)}, not {other[name]}" for name in names[:3])
            yield f"leaderboard, rank {rank}: {shown}"
    if len(ours) != len(theirs):
        yield f"leaderboard: {len(ours)} rows, not {len(theirs)}"
    for name in (row["trial_id"] for row in theirs):
        if _without_clock(metrics(place, name)) != _without_clock(metrics(undisturbed, name)):
            yield f"trial {name}: its epochs are not those of the undisturbed sweep"
        if place.get(f"trials/{name}/config.json") != undisturbed.get(f"trials/{name}/config.json"):
            yield f"trial {name}: its config.json is not that of the undisturbed sweep"


def _rows(place: Place) -> list[dict[str, str]]:
    """Which attempt has left a model is up to the faults."""
    text = re.sub(r"/attempt-\d+/", "/", (place.get("leaderboard.csv") or b"").decode())
    return [{name: row[name] for name in row if name not in OF_A_CLOCK} for row in csv.DictReader(io.StringIO(text))]


def _without_clock(lines: Lines) -> Lines:
    return [{name: line[name] for name in line if name not in OF_A_CLOCK} for line in lines]


def _unreadable(place: Place, events: Lines) -> Iterator[str]:
    """Each finished trial's model loads, and is of the epoch and the numbers that the ledger calls its best. Those
    that the ledger calls removed are not looked for."""
    removed = {trial for line in events if line["event"] == "removed" for trial in line["trials"]}
    for line in events:
        if line["event"] == "finished" and line["trial"] not in removed:
            name = _last(events, line["trial"], "model.safetensors")
            try:
                best = unpack_model(place.get(name) or b"", name)[1].history[-1]
            except CheckpointError as error:
                yield str(error)
                continue
            said = (line.get("best_epoch"), line.get("val_elbo"), line.get("val_rate"))
            if said != (best.epoch, best.val_elbo, best.val_rate):
                yield f"{name}: {best.epoch, best.val_elbo, best.val_rate}, the ledger says {said}"


def _last(events: Lines, trial: str, name: str) -> str:
    """Where the trial's last attempt has left a file."""
    attempts = [line["attempt"] for line in events if line["event"] == "again" and line["trial"] == trial]
    return f"{attempt_folder(trial, attempts[-1] if attempts else 1)}/{name}"


def _started(events: Lines) -> list[str]:
    return sorted({line["trial"] for line in events if line["event"] == "started"})


def _trained_again(epochs: Lines, repeated: list[int]) -> Iterator[tuple[int, float]]:
    """For each interruption: epochs that the trial trained again, and the seconds that they had taken the first time.

    epochs: of the trial. repeated: those that the driver knew and heard of again, with another clock's reading, in the
    order in which it did. Epochs that it did not know stand nowhere: one is under way when a process is killed, and in
    a bucket, where the metrics go up with a checkpoint, a driver that is killed takes what it has heard since with it.
    """
    seconds = {line["epoch"]: line["epoch_seconds"] for line in epochs}
    runs: list[list[int]] = []
    for epoch in repeated:
        if not runs or epoch != runs[-1][-1] + 1:  # another interruption went back to before this epoch
            runs.append([])
        runs[-1].append(epoch)
    for run in runs:
        yield len(run), sum(seconds[epoch] for epoch in run)
