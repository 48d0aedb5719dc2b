"""What a sweep would run and cost on this machine: the lines of --dry-run, for which a few steps are timed."""

import os
import time

from tuning.space.dimensions import condition
from tuning.space.model import SearchSpace
from tuning.sweep.plan import Plan
from vae.cli.format import duration
from vae.config import TrialConfig

TIMED_STEPS = 40


def estimate(plan: Plan) -> list[str]:
    """The lines: trials, conditions, a middling trial, time, disk."""
    slots = len(os.sched_getaffinity(0))
    config = plan.typical_config()
    seconds = _epoch_seconds(plan, config)
    return [
        f"{_runs(plan.space)} of up to {plan.space.epochs} epochs, {slots} at a time; "
        f"scheduler {plan.space.scheduler.type}, sampler {plan.space.sampler.type}",
        *_conditions(plan.space),
        f"a middling trial: {config.n_parameters(plan.n_pixels):,} parameters, {seconds:.2f} s an epoch here",
        _epochs(plan, seconds / slots),
        _disk(plan, slots),
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


def _disk(plan: Plan, slots: int) -> str:
    mebibytes, model = (
        value / 2**20 for value in (plan.expected_bytes(slots), plan.model_bytes(plan.typical_config()))
    )
    return f"up to about {mebibytes:,.0f} MiB on disk; a model of {model:.1f} MiB stays of {_kept(plan)}"


def _kept(plan: Plan) -> str:
    """Which trials keep their models, in words."""
    most, n_best = plan.most_models(), plan.space.keep_models
    if n_best >= plan.space.n_runs:
        return "every trial" if plan.max_bytes is None else "the best that --max-disk has room for"
    front = ", of the front of rate and distortion" if plan.space.metric == "rate_distortion" else ""
    return f"the best {n_best}{front} and of those that figures compare, about {most} in all"


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
