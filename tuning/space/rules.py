"""What is wrong with a search space that its types cannot see: the rules between keys, and TrialConfig's ranges."""

from collections.abc import Iterator

from tuning.space.baseline_rules import baseline_faults
from tuning.space.dimension_rules import dimension_faults
from tuning.space.dimensions import FloatRange
from tuning.space.faults import Fault
from tuning.space.model import MOST_TRIALS, SearchSpace
from vae.datasets.registry import fault_of
from vae.model.metrics import has_rate

FRONT_SAMPLERS = ("tpe", "random", "grid", "gp")  # those of Optuna that know several objectives


def faults_of(space: SearchSpace) -> list[Fault]:
    """All of them, in the order of the keys they are about."""
    of_dimensions = dimension_faults(space)
    sound = [name for name, faults in of_dimensions.items() if not faults]
    return [
        *_dataset_faults(space),
        *_metric_faults(space),
        *_front_faults(space),
        *_repeats_faults(space),
        *(fault for faults in of_dimensions.values() for fault in faults),
        *_search_faults(space),
        *_sampler_faults(space, sound),
        *baseline_faults(space, sound),
    ]


def _dataset_faults(space: SearchSpace) -> Iterator[Fault]:
    if fault := fault_of(space.dataset):
        yield Fault(("dataset",), f"{space.dataset!r}: {fault}")


def _metric_faults(space: SearchSpace) -> Iterator[Fault]:
    """A metric that some trials do not have, or that all trials would be misjudged by."""
    without = [mode for mode in sorted(space.modes) if not has_rate(mode)]
    if space.metric == "val_distortion" and not without:
        reason = "alone it is best for a model without a prior; allowed: val_elbo, rate_distortion"
        yield Fault(("metric",), f"val_distortion cannot rank trials that are all of mode vae: {reason}")
    elif space.metric != "val_distortion" and without:
        lacks = "no KL, so no ELBO" if space.metric == "val_elbo" else "no KL, so no rate"
        modes = " and ".join(without)
        yield Fault(
            ("metric",),
            f"{space.metric} cannot rank trials of mode {modes}: they have {lacks}; allowed: val_distortion",
        )


def _front_faults(space: SearchSpace) -> Iterator[Fault]:
    """Two objectives: every trial must get to its place, and the sampler must know both."""
    if space.metric != "rate_distortion":
        return
    if space.scheduler.type != "none":
        reason = "a trial stopped early is at no point of the front"
        yield Fault(("metric",), f"rate_distortion with scheduler {space.scheduler.type}: {reason}; allowed: none")
    if space.sampler.type not in FRONT_SAMPLERS:
        allowed = ", ".join(FRONT_SAMPLERS)
        yield Fault(
            ("metric",), f"rate_distortion with sampler {space.sampler.type}, of one objective; allowed: {allowed}"
        )


def _repeats_faults(space: SearchSpace) -> Iterator[Fault]:
    if space.repeats == 1:
        return
    with_repeats = f"with repeats {space.repeats}"
    if space.scheduler.type != "none":
        reason = "the mean of trials stopped at different epochs means nothing; allowed: scheduler none"
        yield Fault(("repeats",), f"{space.repeats} with scheduler {space.scheduler.type}: {reason}")
    for part in ("search", "fixed"):
        if getattr(space, part).seed is not None:
            yield Fault((part, "seed"), f"seed {with_repeats}, which gives each trial its own; leave one of them out")
    if space.n_runs > MOST_TRIALS:
        runs = f"{space.trials:,} {with_repeats} are {space.n_runs:,} runs"
        yield Fault(("trials",), f"{runs}; allowed: at most {MOST_TRIALS:,} runs")


def _search_faults(space: SearchSpace) -> Iterator[Fault]:
    for name, dimension in space.dimensions.items():
        if name in space.fixed_values and not dimension.when:  # elsewhere a conditional one has the fixed value
            yield Fault(("fixed", name), f"{name} is searched as well; keep it in one of search and fixed")
    for name, of in (("likelihood", "measures"), ("binarize", "data")):
        if name in space.dimensions and len(space.words(name)) > 1:
            reason = f"the ELBOs are of different {of}, and their order would mean nothing"
            yield Fault(("search", name), f"{reason}; make a sweep of each, with --set {name}=...")
    if not space.dimensions and space.trials > 1 and not space.baselines:
        yield Fault(("search",), f"nothing is searched, so all {space.trials} trials would be the same one")
    grace = getattr(space.scheduler, "grace_epochs", 1)
    if grace > space.epochs:
        yield Fault(("scheduler", "grace_epochs"), f"{grace} is above epochs, {space.epochs}; nothing would be stopped")


def _sampler_faults(space: SearchSpace, sound: list[str]) -> Iterator[Fault]:
    if space.sampler.type == "cmaes":
        for name, dimension in space.dimensions.items():
            if dimension.type == "categorical":
                yield Fault(("search", name, "type"), "'categorical' with sampler cmaes, which searches numbers only")
    if space.sampler.type in ("cmaes", "gp"):
        for name, dimension in space.dimensions.items():
            if dimension.when:
                reason = "which draws at random what not every configuration has; allowed: tpe, random, grid"
                yield Fault(("search", name, "when"), f"a condition with sampler {space.sampler.type}, {reason}")
    if space.sampler.type == "grid":
        yield from _grid_faults(space, sound)


def _grid_faults(space: SearchSpace, sound: list[str]) -> Iterator[Fault]:
    endless = [name for name, value in space.dimensions.items() if isinstance(value, FloatRange) and value.step is None]
    for name in endless:
        yield Fault(("search", name), "no step with sampler grid; a grid needs a step or choices in every dimension")
    if endless or len(sound) < len(space.dimensions):
        return
    n_points = space.grid_size
    if n_points > MOST_TRIALS:
        yield Fault(("search",), f"{n_points:,} points with sampler grid; allowed: at most {MOST_TRIALS:,}")
    elif space.trials != n_points:
        yield Fault(("trials",), f"{space.trials} with sampler grid, which has {n_points} points; allowed: {n_points}")
