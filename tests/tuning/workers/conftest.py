"""What the tests of the trainer are given."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from tests.material.trainers import N_TRAIN, N_VALIDATION, SECONDS, SIDE
from tuning.store.place import SweepStorage
from tuning.workers import trainer as trainer_module
from tuning.workers.sweep_context import SweepContext
from vae.model.metrics import EpochMetrics
from vae.training.pack import Pack


@pytest.fixture(scope="module", name="images")
def fixture_images() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    sizes = {"train": N_TRAIN, "validation": N_VALIDATION}
    return {split: draw.integers(0, 256, (n, SIDE * SIDE), dtype=np.uint8) for split, n in sizes.items()}


@pytest.fixture(name="context")
def fixture_shared(images: dict[str, np.ndarray], tmp_path: Path) -> SweepContext:
    return SweepContext(
        **images,
        dataset="digits",
        image_shape=(SIDE, SIDE),
        storage=SweepStorage(tmp_path / "packed"),
        n_threads=1,
        device="cpu",
        n_slots=4,
    )


@pytest.fixture(name="patient")
def fixture_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer waits for every trial that has joined, however slow this machine is."""
    monkeypatch.setattr(trainer_module, "GATHER_SECONDS", SECONDS)


@pytest.fixture(name="calls")
def fixture_calls(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The slots of every batched epoch, as they are trained."""
    seen: list[list[int]] = []
    train = Pack.epoch

    def epoch(pack: Pack, slots: Iterable[int]) -> dict[int, EpochMetrics]:
        seen.append(sorted(slots))
        return train(pack, seen[-1])

    monkeypatch.setattr(Pack, "epoch", epoch)
    return seen
