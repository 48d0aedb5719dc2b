"""A search space to break, and what its refusals must say."""

import re
from pathlib import Path
from typing import Any

import pytest

from tuning.errors import SpaceError
from tuning.space.load import load_space
from tuning.space.model import SEARCHABLE, SearchSpace
from tuning.space.overrides import Overrides

Faulty = tuple[str, str | list[str]]  # a file's text; the message, or each line of a message of several faults

BASE = """\
description: A space to break.
dataset: digits
metric: val_elbo
trials: 12
epochs: 9
search:
  latent_size: {type: int, low: 2, high: 64, log: true}
  hidden_units: {type: int, low: 64, high: 512, step: 64}
  beta: {type: float, low: 0.25, high: 4.0, log: true}
  activation: {type: categorical, choices: [relu, tanh]}
fixed:
  batch_size: 128
scheduler: {type: asha, grace_epochs: 3}
sampler: {type: tpe, startup_trials: 10}
baselines:
  - {latent_size: 20, beta: 1.0}
"""
CONDITIONAL = """\
description: A grid with a condition.
dataset: digits
metric: val_elbo
trials: 7
epochs: 9
search:
  noise: {type: categorical, choices: [none, gaussian, salt_pepper]}
  noise_factor: {type: float, low: 0.1, high: 0.5, step: 0.2, when: {noise: [gaussian, salt_pepper]}}
scheduler: {type: none}
sampler: {type: grid}
"""
WHEN = "when: {noise: [gaussian, salt_pepper]}"
ALLOWED_HYPERPARAMETERS = ", ".join(SEARCHABLE)
LATENT = "latent_size: {type: int, low: 2, high: 64, log: true}"
UNITS = "hidden_units: {type: int, low: 64, high: 512, step: 64}"
BETA = "beta: {type: float, low: 0.25, high: 4.0, log: true}"
CHOICES = "choices: [relu, tanh]"


def load(file: Path, text: str | bytes, **overrides: Any) -> SearchSpace:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_space(str(file), Overrides(**overrides))


def refusal(file: Path, text: str | bytes, **overrides: Any) -> str:
    with pytest.raises(SpaceError, match=re.escape(file.name)) as refused:
        load(file, text, **overrides)
    return str(refused.value)


def changed(old: str, new: str, text: str = BASE) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def assert_refused(file: Path, text: str, expected: str | list[str], **overrides: Any) -> None:
    """With exactly this fault, or these."""
    message = refusal(file, text, **overrides)
    if isinstance(expected, str):
        assert message == f"{file}: {expected}"
    else:
        assert message == "\n".join([f"{file}: {len(expected)} faults", *(f"  {line}" for line in expected)])
