"""SweepContext: what the workers know of the sweep, the same for every trial."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuning.store.place import SweepStorage
from vae.model.shape_class import Frame, ShapeClass


@dataclass(frozen=True)
class SweepContext:
    """train, validation: uint8 [N, D], read in place from Ray's object store. preview_epochs: epochs whose
    results come with images; None: all. n_slots: trials that train together on a device; 0: each alone.
    metric: SearchSpace.metric. frame, first_slots: the shape classes of the trials that train together, and the slots
    that a pack of each begins with on a device. compiles: whether the steps of packs are compiled. deciding_epochs:
    those at which the scheduler may stop a trial; None: all."""

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
    frame: Frame = field(default_factory=Frame)
    first_slots: Mapping[ShapeClass, int] = field(default_factory=dict)
    compiles: bool = False
    deciding_epochs: frozenset[int] | None = None

    def tensors(self) -> tuple[Any, Any]:
        """The images as tensors over Ray's shared memory. torch warns that it is read-only; nothing writes to it."""
        import warnings

        import torch  # the driver and the workers of packed trials import this module and do without torch

        with warnings.catch_warnings(action="ignore"):
            return torch.from_numpy(self.train), torch.from_numpy(self.validation)
