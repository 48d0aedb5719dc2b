"""Train a trial of a sweep again, from its seed, and compare each epoch's numbers with those that the sweep has."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tuning.errors import StorageError
from tuning.plan.plan import extended
from tuning.store.ledger import read_trials
from tuning.store.place import SweepStorage
from tuning.sweep.manifest import code_differences, cpu_name, read_plan, read_runs
from vae.backend.products import prefer_fast_products
from vae.cli.progress import countdown
from vae.model.metrics import EpochMetrics
from vae.training.pack import Pack

NOT_COMPARED = ("epoch", "epoch_seconds")  # the clock need not be the same


@dataclass(frozen=True)
class Reproduction:
    """What came of it. difference: the largest of any number of any epoch, infinite where one of the two is no number,
    with the epoch and the name of that number; 0 where all are equal. reasons: what may be why they differ."""

    trial_id: str
    n_epochs: int
    difference: float
    epoch: int
    name: str
    reasons: Sequence[str]

    @property
    def is_equal(self) -> bool:
        return self.difference == 0

    def __str__(self) -> str:
        what = f"Trial {self.trial_id}, {self.n_epochs} epoch{'s' * (self.n_epochs != 1)} trained again:"
        if self.is_equal:
            return f"{what} every number is equal to the digit"
        why = "; ".join(self.reasons) or "nothing that the manifest knows: code, versions and hardware are the same"
        largest = f"{self.name} of epoch {self.epoch} by {self.difference:.3g}"
        return f"{what} the numbers differ, the most {largest}\nWhat may be why: {why}"


def reproduce(storage: SweepStorage, trial_id: str, data_dir: Path | None, say: Callable[[str], None]) -> Reproduction:
    """Train the epochs that the sweep has of this trial again, alone, on this machine; writes nothing.

    Raises StorageError for a trial that is not there or has no epoch, DataError.
    """
    plan = extended(read_plan(storage), None, 0, data_dir)
    records = {record.trial_id: record for record in read_trials(storage.place)}
    if trial_id not in records:
        raise StorageError(f"--reproduce {storage.name} {trial_id}: no such trial; allowed: {_range(list(records))}")
    record = records[trial_id]
    if not record.history:
        raise StorageError(f"--reproduce {storage.name} {trial_id}: the trial has no epoch yet")
    runs = [run["hardware"] for run in read_runs(storage) if isinstance(run.get("hardware"), dict)]
    device = "cuda" if torch.cuda.is_available() and any(run.get("device") == "cuda" for run in runs) else "cpu"
    torch.set_num_threads(max([run["n_threads"] for run in runs if isinstance(run.get("n_threads"), int)], default=1))
    prefer_fast_products(device)
    say(f"Training trial {trial_id} of {storage.name} again: {len(record.history)} epochs of {plan.dataset_note}")
    images = plan.load_images()
    pack = Pack(torch.from_numpy(images["train"]), torch.from_numpy(images["validation"]), device)
    slot = pack.join(record.config)
    again: list[EpochMetrics] = []
    with countdown("Epochs", len(record.history)) as advance:
        for _ in record.history:
            again.append(pack.epoch([slot])[slot])
            advance(1)
    difference, epoch, name = largest_difference(record.history, again)
    reasons = [] if difference == 0 else [*code_differences(storage), *_hardware_differences(runs, device)]
    return Reproduction(trial_id, len(again), difference, epoch, name, reasons)


def largest_difference(before: Sequence[EpochMetrics], again: Sequence[EpochMetrics]) -> tuple[float, int, str]:
    """(difference, epoch, name of the number). The same epochs are to be there. Of a number that is NaN, or the same
    infinity, in both the difference is 0; in one of them it is infinite."""
    found = [
        (_difference(value, now.as_dict().get(name, math.nan)), then.epoch, name)
        for then, now in zip(before, again, strict=True)
        for name, value in then.as_dict().items()
        if name not in NOT_COMPARED
    ]
    return max(found, key=lambda one: one[0])


def _difference(before: float, now: float) -> float:
    if before == now or (math.isnan(before) and math.isnan(now)):
        return 0.0
    return abs(before - now) if math.isfinite(before) and math.isfinite(now) else math.inf


def _hardware_differences(runs: Sequence[dict[str, Any]], device: str) -> list[str]:
    """What the runs of the sweep had that is not here. A cluster's other machines are not known by name."""
    reasons = []
    if cpus := sorted({str(run["cpu"]) for run in runs if run.get("cpu") not in (None, cpu_name())}):
        reasons.append(f"trained on {' and '.join(cpus)}, now {cpu_name()}")
    if others := sorted({str(run["device"]) for run in runs if run.get("device") not in (None, device)}):
        reasons.append(f"trained on {' and '.join(others)}, now {device}")
    if any(run.get("pack") for run in runs):
        reasons.append("trained in a pack, now alone: the same sums in another order")
    return reasons


def _range(ids: Sequence[str]) -> str:
    return f"{ids[0]} to {ids[-1]}" if ids else "none, the sweep has no trial yet"
