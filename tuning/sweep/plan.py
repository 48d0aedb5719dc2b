"""Plan: a sweep as it will run, everything that decides its numbers; and what it is expected to cost."""

import os
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from tuning.errors import SpaceError
from tuning.space.dimensions import condition
from tuning.space.examples import middling, widest
from tuning.space.model import MOST_TRIALS, SearchSpace
from vae.cli.format import duration
from vae.config import TrialConfig
from vae.datasets import registry
from vae.datasets.types import DatasetSpec

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
    def spec(self) -> DatasetSpec:
        return registry.spec(self.dataset, self.data_dir)

    @property
    def image_shape(self) -> tuple[int, int]:
        return self.spec.image_shape

    @property
    def n_pixels(self) -> int:
        return self.spec.n_pixels

    def load_images(self) -> dict[str, np.ndarray]:
        """What every trial shares, uint8 [N, D] by split; not the test split. Raises DataError."""
        return {split: registry.load(self.dataset, self.data_dir, split).pixels for split in ("train", "validation")}

    def typical_config(self) -> TrialConfig:
        """The middle of every searched dimension, for estimates."""
        return middling(self.space, self.seed)

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
        n_train, n_validation = (self.spec.n_images[split] for split in ("train", "validation"))
        shapes = widest(self.space, self.seed)
        return max(shape.slot_bytes(self.n_pixels, n_train, n_validation) for shape in shapes)

    def expected_bytes(self) -> int:
        """About what the trials' files will take."""
        return self.space.n_runs * self.typical_config().n_parameters(self.n_pixels) * BYTES_PER_PARAMETER

    def expected_epochs(self) -> float:
        """About how many epochs the trials will train together; fewer than all their epochs if some are stopped."""
        settings, epochs = self.space.scheduler, self.space.epochs
        if settings.type not in ("asha", "hyperband"):
            return float(self.space.n_runs * epochs)
        total, survivors, reached, rung = 0.0, float(self.space.n_runs), 0, settings.grace_epochs
        while rung < epochs:
            total += survivors * (rung - reached)
            survivors, reached, rung = survivors / settings.reduction_factor, rung, rung * settings.reduction_factor
        return total + survivors * (epochs - reached)


def new_plan(space: SearchSpace, source: str, name: str | None, seed: int, data_dir: Path | None) -> Plan:
    """The plan of a new sweep; `source` is what --space was given. Raises DataError."""
    name = name or f"{Path(source).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    data_dir = data_dir or registry.default_data_dir()
    dataset, note = registry.resolve(space.dataset, data_dir)
    return Plan(name, space, seed, dataset, note, data_dir.resolve())


def extended(plan: Plan, trials: int | None, n_known: int, data_dir: Path | None = None) -> Plan:
    """The plan with another number of trials, and with its images elsewhere, where these are given.

    n_known: configurations that the sweep has begun, each with all its seeds. Raises SpaceError
    where it cannot have so many trials.
    """
    if data_dir is not None:
        plan = replace(plan, data_dir=data_dir.resolve())
    if trials is None or trials == plan.space.trials:
        return plan
    if plan.space.sampler.type == "grid":
        raise SpaceError(f"--trials {trials}: sweep {plan.name} is a grid of {plan.space.trials} points")
    if trials < max(1, n_known):
        raise SpaceError(f"--trials {trials}: sweep {plan.name} has {n_known} already; allowed: {n_known} or more")
    most = MOST_TRIALS // plan.space.repeats
    if trials > most:
        raise SpaceError(f"--trials {trials}: allowed: at most {most:,}")
    return replace(plan, space=plan.space.model_copy(update={"trials": trials}))


def estimate(plan: Plan) -> list[str]:
    """What the sweep would run and cost on this machine, a line each; a few steps are timed for it."""
    slots = len(os.sched_getaffinity(0))
    config = plan.typical_config()
    seconds = _epoch_seconds(plan, config)
    return [
        f"{_runs(plan.space)} of up to {plan.space.epochs} epochs, {slots} at a time; "
        f"scheduler {plan.space.scheduler.type}, sampler {plan.space.sampler.type}",
        *_conditions(plan.space),
        f"a middling trial: {config.n_parameters(plan.n_pixels):,} parameters, {seconds:.2f} s an epoch here",
        _epochs(plan, seconds / slots),
        f"about {plan.expected_bytes() / 2**20:,.0f} MiB of models and checkpoints",
    ]


def _runs(space: SearchSpace) -> str:
    if space.repeats == 1:
        return f"{space.trials} trials"
    return f"{space.trials} configurations x {space.repeats} seeds"


def _epochs(plan: Plan, seconds: float) -> str:
    """How many epochs at so many seconds each."""
    epochs, most = plan.expected_epochs(), plan.space.n_runs * plan.space.epochs
    if plan.space.scheduler.type == "none":
        return f"{most:,} epochs, none stopped early: {duration(most * seconds)}"
    about = f"about {epochs:,.0f} of {most:,} epochs after early stopping"
    return f"{about}: {duration(epochs * seconds)}, at the most {duration(most * seconds)}"


def _conditions(space: SearchSpace) -> list[str]:
    """When each conditional dimension is searched, a line each."""
    conditions = {name: dimension.when for name, dimension in space.dimensions.items() if dimension.when}
    return [f"{name} is searched where {condition(when)}" for name, when in conditions.items()]


def _epoch_seconds(plan: Plan, config: TrialConfig) -> float:
    """Seconds of one epoch of this config, from a few timed steps on noise."""
    import torch  # only an estimate needs it in the driver

    from vae.backend.products import prefer_fast_products
    from vae.training.pack import Pack

    torch.set_num_threads(1)
    prefer_fast_products("cpu")
    n_images = min(config.batch_size * TIMED_STEPS, plan.spec.n_images["train"])
    pixels = torch.randint(0, 256, (n_images, plan.n_pixels), dtype=torch.uint8)
    pack = Pack(pixels, pixels[: max(1, n_images // 10)])
    slot = pack.join(config)
    pack.epoch([slot])
    started = time.perf_counter()
    pack.epoch([slot])
    return (time.perf_counter() - started) * plan.spec.n_images["train"] / n_images
