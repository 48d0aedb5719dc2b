"""tuning/plan/lanes.py: few shape classes, which follow from the space."""

from dataclasses import replace
from typing import Any

import pytest

from tests.material.plans import plan, space
from tuning.cluster.allot import Cluster
from tuning.plan.lanes import compiles, frame, lanes, slot_bytes, spread
from tuning.space.load import load_space
from vae.config import TrialConfig
from vae.model.shape_class import Frame, ShapeClass

N_PIXELS = 784


def of_units(**dimension: Any) -> tuple[int, ...]:
    """The widths of a space that searches hidden units so."""
    return frame(space(search={"hidden_units": {"type": "int", **dimension}}), 2).hidden_units


@pytest.mark.parametrize(
    ("dimension", "widths"),
    [
        ({"low": 64, "high": 512, "step": 64}, (256, 512)),
        ({"low": 64, "high": 1024, "log": True}, (512, 1024)),
        ({"low": 300, "high": 500}, (504,)),  # no half; a multiple of 8
        ({"low": 100, "high": 1000, "step": 300}, (400, 1000)),
    ],
)
def test_the_two_widths_are_the_widest_of_the_space_and_the_widest_up_to_half_of_it(
    dimension: dict[str, Any], widths: tuple[int, ...]
) -> None:
    assert of_units(**dimension) == widths


def test_widths_that_are_listed_or_fixed_or_searched_under_a_condition_count() -> None:
    listed = {"hidden_units": {"type": "categorical", "choices": [100, 2000, 500]}}
    assert frame(space(search=listed), 2).hidden_units == (504, 2000)
    assert frame(space(search=listed), 1).hidden_units == (2000,)
    conditional = {"activation": CHOICES, "hidden_units": {"type": "int", "low": 8, "high": 96, "when": CONDITION}}
    assert frame(space(search=conditional), 2).hidden_units == (96, 400)  # 400 where it is not searched
    beta = {"beta": {"type": "float", "low": 0.5, "high": 2.0}}
    assert frame(space(search=beta, fixed={"hidden_units": 30}), 2).hidden_units == (32,)


CHOICES = {"type": "categorical", "choices": ["tanh", "relu"]}
CONDITION = {"activation": "tanh"}


@pytest.mark.parametrize(
    ("high", "sizes"), [(2, (8,)), (40, (40,)), (64, (64,)), (65, (64, 72)), (1024, (64, 256, 1024))]
)
def test_latents_of_up_to_64_are_one_class(high: int, sizes: tuple[int, ...]) -> None:
    search = {"latent_size": {"type": "int", "low": 1, "high": high, "log": True}}
    assert frame(space(search=search), 2).latent_sizes == sizes


def test_32_lanes_of_beta_study_are_at_most_two_classes() -> None:
    found = lanes(load_space("beta_study"), 32, N_PIXELS)
    assert len(found.shares) <= 2
    assert found.frame == Frame((256, 512), (64,), ("relu",))


def test_a_few_lanes_of_beta_study_are_one_class() -> None:
    """A second one would only add launches."""
    assert len(lanes(load_space("beta_study"), 4, N_PIXELS).shares) == 1


def test_architecture_has_as_few_classes_as_its_depths_need_with_all_activations_together() -> None:
    architecture = load_space("architecture")
    few = lanes(architecture, 4, N_PIXELS)
    assert sorted(shape.hidden_layers for shape in few.shares) == [1, 2, 3]
    assert {shape.activations for shape in few.shares} == {("relu", "tanh", "elu", "softplus")}
    many = lanes(architecture, 32, N_PIXELS)
    assert len(many.shares) == 6  # two widths of each depth: so many bytes are worth the launches
    assert many.step_seconds(N_PIXELS) < spread_of_one_width(32)


def spread_of_one_width(n_lanes: int) -> float:
    architecture = load_space("architecture")
    trials = [TrialConfig(hidden_units=1024, hidden_layers=1 + i % 3, latent_size=64) for i in range(n_lanes)]
    return spread(trials, frame(architecture, 1), n_lanes).step_seconds(N_PIXELS)


@pytest.mark.parametrize("name", ["beta_study", "architecture", "denoising", "quick"])
@pytest.mark.parametrize("n_lanes", [1, 3, 32, 100])
def test_the_first_slots_hold_the_lanes_and_a_class_has_no_more_than_all(name: str, n_lanes: int) -> None:
    searched = load_space(name)
    found = lanes(searched, n_lanes, N_PIXELS)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.n_lanes == min(n_lanes, searched.n_runs)
    assert sum(found.slots.values()) >= found.n_lanes
    assert all(0 < slots <= found.n_lanes for slots in found.slots.values())
    if len(found.slots) == 1:
        assert set(found.slots.values()) == {found.n_lanes}


def test_every_baseline_and_every_kind_of_trial_has_a_class_of_the_frame() -> None:
    architecture = load_space("architecture")
    found = lanes(architecture, 32, N_PIXELS)
    for values in architecture.first_trials:
        assert ShapeClass.of(architecture.config(values, 0), found.frame) in found.shares


# ---------------------------------------------------------------- compiling


def test_a_sweep_on_gpus_compiles_where_it_is_long_enough_to_earn_that_back() -> None:
    """Digits, 1,437 images: 12 steps an epoch of 50 microseconds, so even many epochs are over in no time."""
    on_a_gpu, short, beta = cluster(32, 1 / 32), {"type": "none"}, {"beta": {"type": "float", "low": 0.5, "high": 2.0}}
    assert not compiles(plan(search=beta, trials=32, epochs=30, scheduler=short), on_a_gpu)
    # 32 lanes x 100,000 epochs x 12 steps x 50 microseconds: a minute, three if it is not compiled
    assert compiles(plan(search=beta, trials=32, epochs=100_000, scheduler=short), on_a_gpu)
    assert not compiles(plan(search=beta, trials=32, epochs=100_000, scheduler=short), replace(on_a_gpu, slots=320))


def test_nothing_is_compiled_on_cpus_or_where_each_trial_trains_alone() -> None:
    endless = plan(trials=32, epochs=100_000, scheduler={"type": "none"})
    assert not compiles(endless, cluster(32, 0))
    assert not compiles(endless, cluster(0, 0.5))


# ---------------------------------------------------------------- memory


def cluster(pack: int, gpus: float) -> Cluster:
    return Cluster([], cpus_per_trial=1, gpus_per_trial=gpus, slots=pack, n_threads=1, pack=pack)


def test_a_lane_takes_what_the_widest_trial_of_the_space_needs_where_there_is_one_class() -> None:
    fixed = plan(search={"beta": {"type": "float", "low": 0.5, "high": 2.0}}, fixed={"hidden_units": 304}, trials=32)
    frame_of = Frame((304,), (24,), ("relu",))
    expected = ShapeClass.of(TrialConfig(hidden_units=304), frame_of).slot_bytes(64, 1437, 180)
    assert slot_bytes(fixed, cluster(32, 1 / 32)) == expected


def test_what_all_packs_take_while_one_of_them_grows_to_hold_every_trial_is_counted() -> None:
    depths = {"hidden_layers": {"type": "int", "low": 1, "high": 2}}
    two = plan(search=depths, fixed={"hidden_units": 304}, trials=32)
    over = Frame((304,), (24,), ("relu",))
    shallow, deep = (
        ShapeClass.of(TrialConfig(hidden_units=304, hidden_layers=n), over).slot_bytes(64, 1437, 180) for n in (1, 2)
    )
    found = slot_bytes(two, cluster(32, 1 / 32))
    assert found == pytest.approx((16 * shallow + 16 * deep + 32 * deep) / 32, rel=0.1)  # 16 to 20 slots each
    assert found > deep


def test_without_packs_or_without_gpus_nothing_is_counted() -> None:
    assert slot_bytes(plan(), cluster(0, 0.5)) == 0
    assert slot_bytes(plan(), cluster(8, 0)) == 0
