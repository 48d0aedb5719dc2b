"""A trainer on made-up images, driven from threads: what every test of it needs."""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.torch

from tests.material.folders import InMemory
from tuning.workers.sweep_context import SweepContext
from tuning.workers.trainer import Trainer
from vae.config import TrialConfig
from vae.files import Files
from vae.model.metrics import EpochMetrics
from vae.storage.checkpoint import CHECKPOINT_FILE, MODEL_FILE, unpack_checkpoint, unpack_model
from vae.training.pack import Pack
from vae.training.trial import Training

TOLERANCE = 1e-10
SECONDS = 60.0  # for a thread to end: milliseconds unless something hangs
N_TRAIN, N_VALIDATION, SIDE, EPOCHS = 70, 20, 4, 4

Result = dict[str, Any]


def config(seed: int = 0, **changes: Any) -> TrialConfig:
    base = {"latent_size": 2, "hidden_units": 9, "batch_size": 16, "epochs": EPOCHS, "learning_rate": 3e-3}
    return TrialConfig(**{**base, "precision": "float64", "seed": seed, **changes})


def varied(n: int, **changes: Any) -> dict[str, TrialConfig]:
    """Trials of one shape class that differ in all that may differ."""
    return {
        f"{i:04d}": config(
            i, hidden_units=3 + 5 * i % 60, latent_size=1 + i % 7, learning_rate=1e-3 * (1 + i), beta=0.5 * i, **changes
        )
        for i in range(n)
    }


def in_a_thread(call: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Its answer. One that hangs fails its test and does not keep the process from ending."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def results_of(
    trainer: Trainer, trial_id: str, one: TrialConfig, n_known: int = 0, report_seconds: float = 0.0
) -> list[Result]:
    """What a worker does with a trial: join, ask until it is done, leave."""
    trainer.join(trial_id, one.model_dump(), n_known, report_seconds=report_seconds)
    results = [trainer.result(trial_id)]
    while not results[-1]["done"]:
        results.append(trainer.result(trial_id))
    trainer.leave(trial_id, keep=False)
    return results


def train_together(
    trainer: Trainer, trials: dict[str, TrialConfig], report_seconds: float = 0.0
) -> dict[str, list[Result]]:
    """Every trial by a thread of its own."""
    ends = {
        trial_id: in_a_thread(results_of, trainer, trial_id, one, 0, report_seconds) for trial_id, one in trials.items()
    }
    return {trial_id: end.result(SECONDS) for trial_id, end in ends.items()}


def alone(context: SweepContext, one: TrialConfig, files: Files | None = None) -> Training:
    """The same trial in a process of its own: a pack without a shape class."""
    training = Training(Pack(*context.tensors()), one, context.dataset, context.image_shape, files or InMemory())
    while not training.is_done:
        training.next_epoch()
    return training


def assert_same(ours: EpochMetrics, theirs: EpochMetrics) -> None:
    for name, value in replace(ours, epoch_seconds=0.0).as_dict().items():
        expected = replace(theirs, epoch_seconds=0.0).as_dict()[name]
        assert value == pytest.approx(expected, abs=TOLERANCE, nan_ok=True), name


def assert_same_history(ours: list[EpochMetrics], theirs: list[EpochMetrics]) -> None:
    assert [metrics.epoch for metrics in ours] == [metrics.epoch for metrics in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert_same(one, other)


def metrics_in(results: list[Result]) -> list[EpochMetrics]:
    """Every epoch that these results tell."""
    fields, told = EpochMetrics.__dataclass_fields__, []
    for result in results:
        told += [metrics for metrics, _ in result["earlier"]]
        told.append(EpochMetrics(**{name: result[name] for name in fields if name in result}))
    return told


def assert_same_tensors(ours: bytes | None, theirs: bytes | None) -> None:
    assert ours is not None
    assert theirs is not None
    one, other = safetensors.torch.load(ours), safetensors.torch.load(theirs)
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].shape == other[name].shape
        assert (one[name] - other[name]).abs().max() < TOLERANCE, name


def assert_as_alone(context: SweepContext, trial_id: str, one: TrialConfig, results: list[Result]) -> None:
    """Numbers, previews and files."""
    folder = InMemory()
    training = alone(context, one, folder)
    assert_same_history(metrics_in(results), training.history)
    assert [result["done"] for result in results] == [False] * (len(results) - 1) + [True]
    preview, expected = results[-1]["preview"], training.preview()
    for name in ("inputs", "reconstructions", "samples"):  # grey levels may round the other way
        assert np.abs(getattr(preview, name).astype(int) - getattr(expected, name)).max() <= 1
    files = context.storage.trial_files(trial_id)
    for name in (MODEL_FILE, CHECKPOINT_FILE):
        assert_same_tensors(files.read(name), folder.read(name))
    model, described = (unpack_model(each.read(MODEL_FILE) or b"", "")[1] for each in (files, folder))
    assert (model.config, model.epoch, model.dataset) == (described.config, described.epoch, described.dataset)
    assert_same_history(model.history, described.history)
    state, description = unpack_checkpoint(files.read(CHECKPOINT_FILE) or b"", "")
    assert (state.epoch, state.adam.step, state.config) == (EPOCHS, EPOCHS * math.ceil(N_TRAIN / 16), one)
    assert_same_history(description.history, training.history)


def until(happened: Callable[[], bool]) -> None:
    for _ in range(int(SECONDS / 0.005)):
        if happened():
            return
        time.sleep(0.005)
    raise AssertionError("it never happened")


def asked_for_an_epoch(trainer: Trainer, n: int = 1) -> bool:
    """Whether so many requests wait; the one thing that no answer of the trainer's shows."""
    return len(trainer._waiting) == n


def quietly(call: Callable[..., Any], *arguments: Any) -> Any:
    """Its answer, or the error that a worker would have."""
    try:
        return call(*arguments)
    except (KeyError, CancelledError, OSError) as error:
        return error
