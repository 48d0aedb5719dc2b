"""Plan: a sweep as it will run, everything that decides its numbers; and what it is expected to cost."""

import os
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from tuning.errors import SpaceError
from tuning.progress import duration
from tuning.space import MOST_TRIALS, Categorical, SearchSpace
from vae import data
from vae.config import TrialConfig
from vae.shape import ShapeClass

BYTES_PER_PARAMETER = 16  # float32 of model.safetensors, and of weights and both moments in checkpoint.safetensors
TIMED_STEPS = 40


@dataclass(frozen=True)
class Plan:
    """`dataset` is resolved (never "auto"), `dataset_note` says why it is this one."""

    name: str
    space: SearchSpace
    seed: int
    dataset: str
    dataset_note: str
    data_dir: Path

    @property
    def image_shape(self) -> tuple[int, int]:
        return data.DATASETS[self.dataset].image_shape

    @property
    def n_pixels(self) -> int:
        return self.image_shape[0] * self.image_shape[1]

    def load_images(self) -> dict[str, np.ndarray]:
        """What every trial shares, uint8 [N, D] by split; not the test split. Raises DataError."""
        return {split: data.load(self.dataset, self.data_dir, split).pixels for split in ("train", "validation")}

    def typical_config(self) -> TrialConfig:
        """The middle of every searched dimension, for estimates."""
        return self.space.config({name: _middle(d) for name, d in self.space.dimensions.items()}, self.seed)

    def preview_epochs(self) -> frozenset[int] | None:
        """The epochs worth images: 1, 2, 4, 8, ... and any that may be a trial's last; None where any may be."""
        settings, last = self.space.scheduler, self.space.epochs
        if settings.type == "median":
            return None
        epochs = {2**power for power in range(last.bit_length())} | {last}
        if settings.type in ("asha", "hyperband"):
            rung = settings.grace_epochs
            while rung < last:
                epochs.add(rung)
                rung *= settings.reduction_factor
        return frozenset(epoch for epoch in epochs if epoch <= last)

    def slot_bytes(self) -> int:
        """Memory of a slot for the widest trial of the space."""
        ends = {name: _largest(dimension) for name, dimension in self.space.dimensions.items()}
        n_images = data.DATASETS[self.dataset].n_images
        shape = ShapeClass.of(self.space.config(ends, self.seed))
        return shape.slot_bytes(self.n_pixels, n_images["train"], n_images["validation"])

    def expected_bytes(self) -> int:
        """About what the trials' files will take."""
        return self.space.trials * self.typical_config().n_parameters(self.n_pixels) * BYTES_PER_PARAMETER

    def expected_epochs(self) -> float:
        """About how many epochs the trials will train together; fewer than trials x epochs if some are stopped."""
        settings, epochs = self.space.scheduler, self.space.epochs
        if settings.type not in ("asha", "hyperband"):
            return float(self.space.trials * epochs)
        total, survivors, reached, rung = 0.0, float(self.space.trials), 0, settings.grace_epochs
        while rung < epochs:
            total += survivors * (rung - reached)
            survivors, reached, rung = survivors / settings.reduction_factor, rung, rung * settings.reduction_factor
        return total + survivors * (epochs - reached)


def new_plan(space: SearchSpace, source: str, name: str | None, seed: int, data_dir: Path | None) -> Plan:
    """The plan of a new sweep; `source` is what --space was given. Raises DataError."""
    name = name or f"{Path(source).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    data_dir = data_dir or data.default_data_dir()
    dataset, note = data.resolve(space.dataset, data_dir)
    return Plan(name, space, seed, dataset, note, data_dir.resolve())


def extended(plan: Plan, trials: int | None, n_known: int, data_dir: Path | None = None) -> Plan:
    """The plan with another number of trials, and with its images elsewhere, where these are given.

    Raises SpaceError where it cannot have so many trials.
    """
    if data_dir is not None:
        plan = replace(plan, data_dir=data_dir.resolve())
    if trials is None or trials == plan.space.trials:
        return plan
    if plan.space.sampler.type == "grid":
        raise SpaceError(f"--trials {trials}: sweep {plan.name} is a grid of {plan.space.trials} points")
    if trials < max(1, n_known):
        raise SpaceError(f"--trials {trials}: sweep {plan.name} has {n_known} already; allowed: {n_known} or more")
    if trials > MOST_TRIALS:
        raise SpaceError(f"--trials {trials}: allowed: at most {MOST_TRIALS:,}")
    return replace(plan, space=plan.space.model_copy(update={"trials": trials}))


def _largest(dimension: Any) -> Any:
    if not isinstance(dimension, Categorical):
        return dimension.high
    choices = dimension.choices
    return max(choices) if all(isinstance(choice, int | float) for choice in choices) else choices[0]


def _middle(dimension: Any) -> Any:
    """The middle value, on the dimension's own scale."""
    if isinstance(dimension, Categorical):
        return dimension.choices[len(dimension.choices) // 2]
    low, high = dimension.low, dimension.high
    middle = (low * high) ** 0.5 if dimension.log else (low + high) / 2
    return round(middle) if dimension.type == "int" else middle


def estimate(plan: Plan) -> list[str]:
    """What the sweep would run and cost on this machine, a line each; a few steps are timed for it."""
    slots = len(os.sched_getaffinity(0))
    config = plan.typical_config()
    seconds = _epoch_seconds(plan, config)
    epochs = plan.expected_epochs()
    most = plan.space.trials * plan.space.epochs
    return [
        f"{plan.space.trials} trials of up to {plan.space.epochs} epochs, {slots} at a time; "
        f"scheduler {plan.space.scheduler.type}, sampler {plan.space.sampler.type}",
        f"a middling trial: {config.n_parameters(plan.n_pixels):,} parameters, {seconds:.2f} s an epoch here",
        f"about {epochs:,.0f} of {most:,} epochs after early stopping: {duration(epochs * seconds / slots)}, "
        f"at the most {duration(most * seconds / slots)}",
        f"about {plan.expected_bytes() / 2**20:,.0f} MiB of models and checkpoints",
    ]


def _epoch_seconds(plan: Plan, config: TrialConfig) -> float:
    """Seconds of one epoch of this config, from a few timed steps on noise."""
    import torch  # only an estimate needs it in the driver

    from vae.matmul import prefer_fast_products
    from vae.pack import Pack

    torch.set_num_threads(1)
    prefer_fast_products("cpu")
    n_images = min(config.batch_size * TIMED_STEPS, data.DATASETS[plan.dataset].n_images["train"])
    pixels = torch.randint(0, 256, (n_images, plan.n_pixels), dtype=torch.uint8)
    pack = Pack(pixels, pixels[: n_images // 10])
    slot = pack.join(config)
    pack.epoch([slot])
    started = time.perf_counter()
    pack.epoch([slot])
    return (time.perf_counter() - started) * data.DATASETS[plan.dataset].n_images["train"] / n_images
