"""How the trials that train together on a device spread over shape classes, and what that costs.

A frame has one width or two: the space's widest, and half of it. Padding all trials to the widest moves bytes for
nothing; each further class is one more kernel launch a step and one more compilation. The model of a step
(vae.model.step_cost) chooses between the two.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

from tuning.cluster.allot import Cluster
from tuning.plan.plan import Plan
from tuning.space.examples import drawn, numbers, widest
from tuning.space.model import SearchSpace
from vae.config import Activation, TrialConfig
from vae.model.shape_class import GROWTH, Frame, ShapeClass
from vae.model.step_cost import step_bytes, step_seconds

COMPILE_SECONDS = 30.0  # of a shape class, about, on a GPU; not measured on one
UNCOMPILED = 3.0  # times as long takes a step that is not compiled, about; not measured on a GPU
DRAWN = 256  # random trials that stand for those of a sweep
ALIGNED = 8  # widths are multiples of this, as tensor cores want them
LATENT_SIZES = (64, 256)  # narrower classes than the widest one: latents cost next to nothing beside the pixels


@dataclass(frozen=True)
class Lanes:
    """The classes of a sweep on one device. shares: how many of its trials each has, on average; they add up to 1."""

    frame: Frame
    n_lanes: int
    shares: Mapping[ShapeClass, float]

    @property
    def slots(self) -> dict[ShapeClass, int]:
        """What each class's pack begins with: all lanes where there is one class, else its share of them."""
        return {
            shape: min(self.n_lanes, math.ceil(share * self.n_lanes / GROWTH) * GROWTH)
            for shape, share in self.shares.items()
        }

    def step_seconds(self, n_pixels: int) -> float:
        """Of one step of every lane, the classes in turns."""
        return sum(self._seconds(shape, n_pixels) for shape in self.shares)

    def epoch_seconds(self, n_pixels: int, n_train: int) -> float:
        """Of one epoch of every lane."""
        return sum(self._seconds(shape, n_pixels) * math.ceil(n_train / shape.batch_size) for shape in self.shares)

    def _seconds(self, shape: ShapeClass, n_pixels: int) -> float:
        return step_seconds(shape, self.shares[shape] * self.n_lanes, n_pixels)


def lanes(space: SearchSpace, n_lanes: int, n_pixels: int) -> Lanes:
    """With one width or two, whichever takes less time a step. n_lanes: of a device, at the most."""
    trials, n_lanes = drawn(space, DRAWN), min(n_lanes, space.n_runs)
    choices = [spread(trials, frame(space, n_widths), n_lanes) for n_widths in (1, 2)]
    return min(choices, key=lambda one: one.step_seconds(n_pixels))


def spread(trials: Sequence[TrialConfig], over: Frame, n_lanes: int) -> Lanes:
    """How trials like these spread over the classes of a frame."""
    counts = Counter(ShapeClass.of(config, over) for config in trials)
    return Lanes(over, n_lanes, {shape: n / len(trials) for shape, n in sorted(counts.items())})


def frame(space: SearchSpace, n_widths: int) -> Frame:
    """n_widths: 1, the widest of the space; or 2, also the widest value that is at most half of it, if there is one."""
    widest_units = next(numbers(space, "hidden_units"))
    half = next((value for value in numbers(space, "hidden_units") if value <= widest_units / 2), widest_units)
    most_latents = next(numbers(space, "latent_size"))
    return Frame(
        _rising(half if n_widths == 2 else widest_units, widest_units),
        _rising(*(size for size in LATENT_SIZES if size < most_latents), most_latents),
        tuple(name for name in get_args(Activation) if name in space.words("activation")),
    )


def _rising(*sizes: int) -> tuple[int, ...]:
    return tuple(sorted({math.ceil(size / ALIGNED) * ALIGNED for size in sizes}))


def compiles(plan: Plan, cluster: Cluster) -> bool:
    """Whether the sweep trains packs on GPUs, for long enough to earn back what compiling each class takes."""
    if not cluster.pack or cluster.device != "cuda":
        return False
    found = lanes(plan.space, cluster.pack, plan.n_pixels)
    n_rounds = plan.expected_epochs() / max(found.n_lanes, cluster.slots)
    saved = (UNCOMPILED - 1) * n_rounds * found.epoch_seconds(plan.n_pixels, plan.spec.n_images["train"])
    return saved > COMPILE_SECONDS * len(found.shares)


def slot_bytes(plan: Plan, cluster: Cluster) -> int:
    """The memory of a GPU's packs when they take the most, divided by its lanes; 0 without such packs.

    That is while one pack grows to hold all trials, because all may be of the class that takes the most: for a moment
    the old packs and the new one are there.
    """
    if not cluster.pack or cluster.device != "cuda":
        return 0
    found = lanes(plan.space, cluster.pack, plan.n_pixels)
    n_train, n_validation = (plan.spec.n_images[split] for split in ("train", "validation"))
    sizes = partial(ShapeClass.slot_bytes, n_pixels=plan.n_pixels, n_train=n_train, n_validation=n_validation)
    most = found.n_lanes * max(map(sizes, widest(plan.space, plan.seed, found.frame)))
    if len(found.shares) > 1:
        most += sum(n_slots * sizes(shape) for shape, n_slots in found.slots.items())
    return math.ceil(most / cluster.pack)


def described(plan: Plan, n_lanes: int) -> list[str]:
    """The lines of --dry-run --pack N: the classes of a device, their lanes, what padding wastes."""
    found, n_pixels = lanes(plan.space, n_lanes, plan.n_pixels), plan.n_pixels
    padded = sum(share * step_bytes(shape, n_pixels) for shape, share in found.shares.items())
    exact = sum(step_bytes(ShapeClass.alone(config), n_pixels) for config in drawn(plan.space, DRAWN)) / DRAWN
    microseconds = 1e6 * found.step_seconds(n_pixels)
    return [
        f"up to {found.n_lanes} trials train as one on a device, in {len(found.shares)} shape "
        f"class{'es' * (len(found.shares) > 1)}; padding moves {100 * (1 - exact / padded):.0f} % of the bytes",
        *(_line(shape, share * found.n_lanes) for shape, share in found.shares.items()),
        f"by the model of an H200, not measured: {microseconds:.0f} microseconds a step of all of them",
    ]


def _line(shape: ShapeClass, n_lanes: float) -> str:
    """'about 16 lanes of up to 256 hidden units and 64 latents: 1 layer, relu, vae, ...'."""
    layers = f"{shape.hidden_layers} layer{'s' * (shape.hidden_layers > 1)}"
    others = [shape.mode, shape.likelihood, f"batch size {shape.batch_size}", shape.precision]
    return (
        f"about {n_lanes:.0f} lanes of up to {shape.hidden_units} hidden units and {shape.latent_size} latents: "
        f"{layers}, {' or '.join(shape.activations)}, {', '.join(others)}"
    )
