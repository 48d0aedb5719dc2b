"""What a sweep would run and cost on this machine: the lines of --dry-run, for which a few steps are timed."""

import os
import time
from dataclasses import replace

from tuning.cluster.allot import Cluster, Node, Request, allot
from tuning.plan import lanes
from tuning.plan.plan import Plan
from tuning.search.study import learning_note, most_at_once
from tuning.space.dimensions import condition
from tuning.space.model import SearchSpace
from vae.cli.format import duration
from vae.config import TrialConfig

TIMED_STEPS = 40
# Measured on four cores, 2026-11-21, see docs/benchmarks.md and docs/log.md.
START_SECONDS = 5.7  # Python, Ray, and four workers that import torch
DRAWING_SECONDS = 7.0  # of a report of three models, before it computed importance-weighted bounds and the rest
MODEL_SECONDS = 10 / 3 / 15_000  # of such numbers, for each model and image of validation and test


def would_run(plan: Plan, request: Request, top_k: int) -> list[str]:
    """What --dry-run says. Raises ClusterError, see `estimate`."""
    return [
        f"Would run {plan.name}: {plan.space.description}",
        f"dataset {plan.dataset_note}",
        *estimate(plan, request, top_k),
    ]


def estimate(plan: Plan, request: Request, top_k: int) -> list[str]:
    """The lines: trials, conditions, a middling trial, time, disk, what a device trains as one; of this machine,
    whatever cluster is asked for.

    Raises ClusterError where it cannot hold a trial as the user asked for it.
    """
    cluster = allot(replace(request, address=None), [_here()])
    slots = _at_once(plan.space, cluster)
    config = plan.typical_config()
    seconds = _epoch_seconds(plan, config, cluster, slots)
    return [
        f"{_runs(plan.space)} of up to {plan.space.epochs} epochs, {slots} at a time; "
        f"scheduler {plan.space.scheduler.type}, sampler {plan.space.sampler.type}",
        *filter(None, [learning_note(plan.space, cluster.slots, cluster.is_chosen)]),
        *_conditions(plan.space),
        f"a middling trial: {config.n_parameters(plan.n_pixels):,} parameters, {seconds:.2f} s an epoch here",
        _epochs(plan, seconds, slots),
        *_confirmation(plan, seconds, cluster),
        _besides(plan, top_k),
        _disk(plan, slots),
        *(lanes.described(plan, cluster.pack) if cluster.pack else []),
    ]


def _here() -> Node:
    """This machine as Ray will find it."""
    import torch  # it takes seconds to load, and a sweep that runs needs none of this

    n_gpus = torch.cuda.device_count()
    return Node("", "this machine", float(len(os.sched_getaffinity(0))), float(n_gpus))


def _at_once(space: SearchSpace, cluster: Cluster) -> int:
    """How many trials will be under way at a time."""
    most = None if cluster.is_chosen else most_at_once(space)
    return min(cluster.slots, space.n_runs, most or cluster.slots)


def _runs(space: SearchSpace) -> str:
    if space.repeats == 1:
        return f"{space.trials} trials"
    return f"{space.trials} configurations x {space.repeats} seeds"


def _epochs(plan: Plan, seconds: float, slots: int) -> str:
    """How many epochs there are, and how long they take, so many trials at a time, at so many seconds each."""
    epochs, most = plan.expected_epochs(), plan.space.n_runs * plan.space.epochs
    longest = plan.space.epochs * seconds  # some trial trains all its epochs, one after the other
    if plan.space.scheduler.type == "none":
        return f"{most:,} epochs, none stopped early: {duration(max(most * seconds / slots, longest))}"
    expected, at_most = (duration(max(n * seconds / slots, longest)) for n in (epochs, most))
    return f"about {epochs:,.0f} of {most:,} epochs after early stopping: {expected}, at the most {at_most}"


def _confirmation(plan: Plan, seconds: float, cluster: Cluster) -> list[str]:
    """A line on what trains the best again, if that is asked for."""
    then = plan.confirmation
    if then is None:
        return []
    slots = _at_once(then.space, cluster)
    trials = f"the best {then.space.trials} again with {then.space.repeats} fresh seeds each"
    return [f"then {trials}, up to {slots} at a time: {_epochs(then, seconds, slots)}"]


def _besides(plan: Plan, top_k: int) -> str:
    n_images = plan.spec.n_images["validation"] + plan.spec.n_images["test"]
    report = DRAWING_SECONDS + MODEL_SECONDS * top_k * n_images
    return (
        f"about {START_SECONDS + report:.0f} s besides: {START_SECONDS:.0f} s until Ray and its workers train, "
        f"{report:.0f} s for the report of the best {top_k}"
    )


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


def _epoch_seconds(plan: Plan, config: TrialConfig, cluster: Cluster, slots: int) -> float:
    """Seconds of one epoch of this config, among as many as train with it: a few steps on noise are timed, and scaled
    to the data set."""
    import torch

    from vae.backend.products import prefer_fast_products
    from vae.model.shape_class import ShapeClass
    from vae.training.pack import Pack

    torch.set_num_threads(cluster.n_threads)
    prefer_fast_products(cluster.device)
    n_images = min(config.batch_size * TIMED_STEPS, plan.spec.n_images["train"])
    pixels = torch.randint(0, 256, (n_images, plan.n_pixels), dtype=torch.uint8)
    n_lanes = min(cluster.pack or 1, slots)
    shape = ShapeClass.of(config, lanes.lanes(plan.space, n_lanes, plan.n_pixels).frame) if n_lanes > 1 else None
    pack = Pack(pixels, pixels[: max(1, n_images // 10)], device=cluster.device, shape=shape, n_slots=n_lanes)
    members = [pack.join(config) for _ in range(n_lanes)]
    pack.epoch(members)
    started = time.perf_counter()
    pack.epoch(members)
    return (time.perf_counter() - started) * plan.spec.n_images["train"] / n_images
