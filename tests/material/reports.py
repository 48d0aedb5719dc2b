"""Records for the report's tests: made up where the numbers matter, trained where the files do."""

import copy
import math
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.material.epochs import of_distortion
from tuning.records import State, SweepRecord, TrialRecord
from vae.config import TrialConfig
from vae.datasets.types import Images
from vae.files import LocalFiles
from vae.model.metrics import EpochMetrics, Terms
from vae.training.pack import Pack
from vae.training.trial import Training

SEARCH: dict[str, dict[str, Any]] = {
    "latent_size": {"type": "int", "low": 1, "high": 64, "log": True},
    "beta": {"type": "float", "low": 0.1, "high": 10.0, "log": True},
    "activation": {"type": "categorical", "choices": ["relu", "tanh"]},
}


metrics = partial(of_distortion, rate=20.0, beta=2.0)


def twelve_epochs(mode: str = "vae", noise: str = "none") -> list[EpochMetrics]:
    """With the numbers that a trial of this mode and input noise has."""
    found = []
    for epoch in range(1, 13):
        terms = Terms(200.0 / epoch, 20.0 if mode == "vae" else None)
        noisy = terms if noise != "none" and mode != "decoder_only" else None
        found.append(EpochMetrics.of(epoch, 1.0, terms, terms, noisy, 0.5))
    return found


def record(
    trial_id: str, elbos: list[float], state: State = "complete", rate: float = 20.0, **config: Any
) -> TrialRecord:
    """A trial whose validation ELBO goes through `elbos`."""
    config = {"latent_size": 2, "beta": 1.0, "activation": "relu", "hidden_units": 16} | config
    history = [metrics(epoch, -elbo - rate, rate=rate) for epoch, elbo in enumerate(elbos, start=1)]
    params = {name: config[name] for name in SEARCH}
    return TrialRecord(trial_id, params, TrialConfig(**config), state, history)


def sweep(folder: Path, trials: list[TrialRecord], search: dict[str, dict[str, Any]] | None = None) -> SweepRecord:
    chosen = SEARCH if search is None else search
    return SweepRecord("demo", folder, "digits", "digits: real digits", (8, 8), chosen, {}, trials)


def trained(folder: Path, digits: dict[str, Images], configs: list[dict[str, Any]], epochs: int = 3) -> SweepRecord:
    """A sweep of real digits in a folder, every trial complete, its files written as training writes them."""
    torch.set_num_threads(1)  # a fixture of a module runs before the one that sets it for each test
    pack = Pack(*(torch.from_numpy(digits[split].pixels) for split in ("train", "validation")))
    records = []
    for number, config in enumerate(configs, start=1):
        one = record(f"{number:04d}", [], epochs=epochs, **config)
        training = Training(pack, one.config, "digits", (8, 8), LocalFiles(folder / one.folder))
        while not training.is_done:
            one.history.append(training.next_epoch())
        training.leave()
        records.append(one)
    return sweep(folder, records)


def copied_to(folder: Path, original: SweepRecord) -> SweepRecord:
    """The sweep with files and records of its own, for a test that changes them."""
    shutil.copytree(original.folder, folder)
    return replace(original, folder=folder, trials=copy.deepcopy(original.trials))


def nan_metrics(epoch: int) -> EpochMetrics:
    return metrics(epoch, math.nan, rate=math.nan)
