"""Shared: what all trials of a sweep have in common, as their workers are given it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tuning.store.place import SweepStorage


@dataclass(frozen=True)
class Shared:
    """train, validation: uint8 [N, D], read in place from Ray's object store. preview_epochs: epochs whose
    results come with images, None: all. n_slots: trials that train together on a device, 0: each alone.
    metric: SearchSpace.metric."""

    train: np.ndarray
    validation: np.ndarray
    dataset: str
    image_shape: tuple[int, int]
    storage: SweepStorage
    n_threads: int
    device: str
    preview_epochs: frozenset[int] | None = None
    n_slots: int = 0
    metric: str = "val_elbo"

    def tensors(self) -> tuple[Any, Any]:
        """The images as tensors over Ray's shared memory; torch warns that it is read-only, and nothing writes it."""
        import warnings

        import torch  # the driver and the trials of a trainer import this module and need no torch

        with warnings.catch_warnings(action="ignore"):
            return torch.from_numpy(self.train), torch.from_numpy(self.validation)
