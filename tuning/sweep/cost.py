"""What a sweep would run and cost on this machine: the lines of --dry-run, for which a few steps are timed."""

import os
import time

from tuning.space.dimensions import condition
from tuning.space.model import SearchSpace
from tuning.sweep import lanes
from tuning.sweep.plan import Plan
from vae.cli.format import duration
from vae.config import TrialConfig

TIMED_STEPS = 40


def estimate(plan: Plan, pack: int | None = None) -> list[str]:
    """The lines: trials, conditions, a middling trial, time, disk; with --pack, what a device trains as one."""
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
        *(lanes.described(plan, pack) if pack else []),
    ]


def _runs(space: SearchSpace) -> str:
    if space.repeats == 1:
        return f"{space.trials} trials"
    return f"{space.trials} configurations x {space.repeats} seeds"


def _epochs(plan: Plan, seconds: float) -> str:
    """How many epochs there are, and how long they take at so many seconds each."""
    epochs, most = plan.expected_epochs(), plan.space.n_runs * plan.space.epochs
    if plan.space.scheduler.type == "none":
        return f"{most:,} epochs, none stopped early: {duration(most * seconds)}"
    about = f"about {epochs:,.0f} of {most:,} epochs after early stopping"
    return f"{about}: {duration(epochs * seconds)}, at the most {duration(most * seconds)}"


def _conditions(space: SearchSpace) -> list[str]:
    """A line for each conditional dimension: where it is searched."""
    conditions = {name: dimension.when for name, dimension in space.dimensions.items() if dimension.when}
    return [f"{name} is searched where {condition(when)}" for name, when in conditions.items()]


def _epoch_seconds(plan: Plan, config: TrialConfig) -> float:
    """Seconds of one epoch of this config: a few steps on noise are timed, and scaled to the data set."""
    import torch  # it takes seconds to load, and a sweep that runs needs none of this

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
