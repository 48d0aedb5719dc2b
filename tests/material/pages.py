"""Sweeps made up for the page: numbers that look like those of MNIST, and pictures that tell their trial."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np

from report.page.contents import contents, with_pictures
from report.page.document import page
from report.page.pictures import Album, Shown
from tuning.records import SweepRecord, TrialRecord
from vae.config import TrialConfig
from vae.model.metrics import EpochMetrics, Terms

SEARCH: dict[str, dict[str, Any]] = {
    "latent_size": {"type": "int", "low": 2, "high": 64, "log": True},
    "hidden_units": {"type": "int", "low": 64, "high": 512, "step": 64},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "beta": {"type": "float", "low": 0.25, "high": 4.0, "log": True},
    "activation": {"type": "categorical", "choices": ["relu", "tanh", "elu"]},
}
EPOCHS = 27
WICKED = "RuntimeError: Tried to allocate 2.00 GiB </script><b onmouseover=alert(1)>{{script}}"


def made_up(n: int, name: str = "made_up", seed: int = 1, folder: Path = Path("nowhere"), **config: Any) -> SweepRecord:
    """A sweep with ASHA of n trials; one in thirty failed, half of these with a text that would break a page."""
    draw = random.Random(seed)
    trials = [_trial(number, draw, config) for number in range(n)]
    manifest = {
        "space": {"description": "Made up.", "trials": n, "repeats": 1},
        "runs": [{"when": "2026-11-21T20:00:00+00:00", "command": f"sweep.py --space study --name {name}"}],
    }
    return SweepRecord(name, folder, "mnist", "mnist: made up", (28, 28), SEARCH, manifest, trials, 3723.0)


def _trial(number: int, draw: random.Random, config: dict[str, Any]) -> TrialRecord:
    params: dict[str, Any] = {
        "latent_size": round(2 * 32 ** draw.random()),
        "hidden_units": 64 * draw.randint(1, 8),
        "learning_rate": 1e-4 * 100 ** draw.random(),
        "beta": 0.25 * 16 ** draw.random(),
        "activation": draw.choice(["relu", "tanh", "elu"]),
    }
    rate = 25 / params["beta"] ** 0.6 * min(1, params["latent_size"] / 14) ** 0.5
    distortion = 72 + 18 * params["beta"] ** 0.5 + 40 / params["latent_size"] + 600 / params["hidden_units"]
    distortion += 14 * math.log10(params["learning_rate"] / 1.5e-3) ** 2 + draw.gauss(0, 0.6)
    luck = draw.random()
    last = EPOCHS if luck > 0.7 else 9 if luck > 0.4 else 3
    record = TrialRecord(f"{number:04d}", params, TrialConfig(**params | config, epochs=EPOCHS))
    for epoch in range(1, last + 1):
        terms = Terms(distortion + 60 * epoch**-0.9, rate * (1 - 0.5 / epoch))
        record.history.append(EpochMetrics.of(epoch, params["beta"], terms, terms, None, 0.4 + draw.random()))
    record.state = "failed" if luck < 1 / 30 else "complete" if last == EPOCHS else "pruned"
    if record.state == "failed":
        record.error = WICKED if luck < 1 / 60 else "diverged in epoch 3: val_elbo nan, train_loss nan"
    return record


def shown(number: int) -> Shown:
    """What a model shows: images that are all of one grey, so that the page's picture tells its trial."""
    grey = np.full((10, 28, 28), number % 250, np.uint8)
    return Shown(EPOCHS, np.zeros((10, 28, 28), np.uint8), grey, np.concatenate([grey, grey]), [2.5, 1.0, 0.01])


def text_of(sweep: SweepRecord) -> str:
    """Its page, with pictures of the trials that have some."""
    pictures = {record.trial_id: shown(int(record.trial_id)) for record in with_pictures(sweep.trials)}
    return page(contents(sweep, pictures, Album(), "ended"))
