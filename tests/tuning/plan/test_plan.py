"""What a sweep will run: its images, its epochs, its size; and how a sweep is extended."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.material.plans import plan, space
from tests.material.search import record
from tuning.errors import SpaceError
from tuning.plan import plan as plan_module
from tuning.plan.plan import LOG_BYTES, SNAPSHOTS_BYTES, extended, new_plan
from tuning.search.early_stopping import make_scheduler
from tuning.space.load import load_space
from vae.config import TrialConfig
from vae.datasets import mnist
from vae.datasets.types import Images
from vae.errors import DataError


@pytest.mark.parametrize(
    ("scheduler", "trials", "epochs", "expected"),
    [
        # rungs 1, 3, 9: 27 trials to 1, 9 on to 3, 3 on to 9, 1 on to 27
        ({"type": "asha", "grace_epochs": 1, "reduction_factor": 3}, 27, 27, 27 * 1 + 9 * 2 + 3 * 6 + 1 * 18),
        ({"type": "hyperband", "grace_epochs": 1, "reduction_factor": 3}, 27, 27, 27 * 1 + 9 * 2 + 3 * 6 + 1 * 18),
        # rungs 4, 8, 16: 8 trials to 4, 4 on to 8, 2 on to 16, 1 on to 20
        ({"type": "asha", "grace_epochs": 4, "reduction_factor": 2}, 8, 20, 8 * 4 + 4 * 4 + 2 * 8 + 1 * 4),
        # the first rung is the end
        ({"type": "asha", "grace_epochs": 27, "reduction_factor": 3}, 27, 27, 27 * 27),
        ({"type": "asha", "grace_epochs": 9, "reduction_factor": 3}, 3, 27, 3 * 9 + 1 * 18),
        ({"type": "none"}, 27, 27, 27 * 27),
        ({"type": "median"}, 5, 10, 50),
    ],
)
def test_the_expected_epochs_are_those_of_successive_halving(
    scheduler: dict[str, Any], trials: int, epochs: int, expected: float
) -> None:
    assert plan(scheduler=scheduler, trials=trials, epochs=epochs).expected_epochs() == pytest.approx(expected)


@given(st.integers(1, 500), st.integers(1, 200), st.integers(1, 30), st.integers(2, 6))
def test_the_expected_epochs_are_between_every_trials_grace_and_all(
    trials: int, epochs: int, grace: int, factor: int
) -> None:
    scheduler = {"type": "asha", "grace_epochs": min(grace, epochs), "reduction_factor": factor}
    expected = plan(scheduler=scheduler, trials=trials, epochs=epochs).expected_epochs()
    assert trials * min(grace, epochs) - 1e-6 <= expected <= trials * epochs + 1e-6


def test_a_typical_trial_is_in_the_middle_of_each_dimension_on_its_own_scale() -> None:
    config = plan(fixed={"batch_size": 64}).typical_config()
    expected = TrialConfig(
        latent_size=8,  # the geometric mean of 2 and 32
        hidden_units=160,
        learning_rate=config.learning_rate,
        beta=1.5,
        activation="tanh",
        batch_size=64,
        epochs=27,
        seed=3,
    )
    assert config == expected
    assert config.learning_rate == pytest.approx(1e-3)


BETA = {"beta": {"type": "float", "low": 0.5, "high": 2.5}}
# 64 pixels: 64-3, 3-(2 + 2), 2-3, 3-64, each with its biases
SMALL = {"latent_size": 2, "hidden_units": 3}
N_PARAMETERS = (64 + 1) * 3 + 2 * (3 + 1) * 2 + (2 + 1) * 3 + (3 + 1) * 64


def test_the_expected_bytes_are_the_models_that_stay_and_the_checkpoints_of_what_runs() -> None:
    small = plan(search=BETA, trials=1000, fixed=SMALL, keep_models=40)
    model = N_PARAMETERS * 4 + SNAPSHOTS_BYTES
    # the best 40, and the best of each tenth of beta's range; two trials that run, with a model and three copies of
    # its numbers: the weights and Adam's two moments
    expected = (40 + 10) * model + 2 * (model + 3 * N_PARAMETERS * 4) + 1000 * LOG_BYTES
    assert small.expected_bytes(slots=2) == expected


def test_few_trials_keep_all_their_models() -> None:
    assert plan(search=BETA, trials=7, fixed=SMALL).most_models() == 7


def test_a_limit_of_the_disk_leaves_room_for_models_besides_logs_and_what_runs() -> None:
    limited = replace(plan(search=BETA, trials=1000, fixed=SMALL), max_bytes=90_000_000)
    assert limited.bytes_for_models(slots=2) == 90_000_000 - limited.bytes_besides(2)
    assert limited.bytes_besides(2) == 1000 * LOG_BYTES + 2 * (SNAPSHOTS_BYTES + 4 * N_PARAMETERS * 4)
    assert replace(limited, max_bytes=65_000_000).expected_bytes(2) == 65_000_000


def test_a_limit_without_room_for_one_model_is_refused_with_what_it_takes() -> None:
    limited = replace(plan(search=BETA, trials=1000, fixed=SMALL), max_bytes=50 * 2**20)
    with pytest.raises(
        SpaceError,
        match=r"^--max-disk: 50 MiB; 1000 trials, 2 at a time, and one model that stays take about 58 MiB; allowed: ",
    ):
        limited.expected_bytes(slots=2)


def test_every_seed_of_a_configuration_counts_in_epochs_and_bytes() -> None:
    once, thrice = (plan(trials=5, repeats=n, scheduler={"type": "none"}) for n in (1, 3))
    assert thrice.expected_epochs() == 5 * 3 * 27
    assert thrice.bytes_besides(2) - once.bytes_besides(2) == 5 * 2 * LOG_BYTES


def test_a_plan_knows_its_images() -> None:
    assert plan().image_shape == (8, 8)
    assert plan().n_pixels == 64
    images = plan().load_images()
    assert {split: pixels.shape for split, pixels in images.items()} == {"train": (1437, 64), "validation": (180, 64)}


def test_a_plan_of_a_folder_knows_its_images_from_another_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    for number in range(20):
        Image.fromarray(np.full((4, 6), number, np.uint8)).save(tmp_path / "mine" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    found = new_plan(space(dataset="mine"), "quick", None, 0, tmp_path)
    monkeypatch.chdir("/")
    assert found.space.dataset == found.dataset == str(tmp_path / "mine")
    assert (found.image_shape, found.n_pixels) == ((4, 6), 24)
    images = found.load_images()
    assert {split: pixels.shape for split, pixels in images.items()} == {"train": (16, 24), "validation": (2, 24)}


def test_trials_never_get_the_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    load = plan_module.registry.load

    def noted(name: str, data_dir: Path, split: Any) -> Images:
        asked.append(split)
        return load(name, data_dir, split)

    monkeypatch.setattr(plan_module.registry, "load", noted)
    plan().load_images()
    assert asked == ["train", "validation"]


# ---------------------------------------------------------------- new and extended plans


def test_a_new_plan_is_named_after_its_space_and_the_time(tmp_path: Path) -> None:
    named = new_plan(space(), "here/my_study.yaml", None, 5, tmp_path)
    assert named.name.startswith("my_study-")
    assert len(named.name) == len("my_study-20260101-120000")
    assert (named.dataset, named.seed, named.data_dir) == ("digits", 5, tmp_path)
    assert new_plan(space(), "quick", "mine", 0, tmp_path).name == "mine"


def test_a_dataset_that_is_not_there_stops_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "answers_within", lambda *_: False)
    with pytest.raises(DataError, match="mnist"):
        new_plan(space(dataset="mnist"), "quick", None, 0, tmp_path)


def test_an_automatic_dataset_is_resolved_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "answers_within", lambda *_: False)
    found = new_plan(space(dataset="auto"), "quick", None, 0, tmp_path)
    assert found.dataset == "digits"
    assert "digits" in found.dataset_note


def test_a_sweep_may_have_more_trials_and_fewer_that_it_has_not_begun() -> None:
    assert extended(plan(), None, 27) == plan()
    assert extended(plan(), 27, 27) == plan()
    assert extended(plan(), 300, 27) == plan(trials=300)
    assert extended(plan(), 20, 20) == plan(trials=20)


@pytest.mark.parametrize(("trials", "n_known"), [(19, 20), (1, 2), (0, 0), (-3, 0)])
def test_a_sweep_cannot_lose_the_trials_it_has(trials: int, n_known: int) -> None:
    with pytest.raises(
        SpaceError, match=rf"--trials {trials}: sweep p has {n_known} already; allowed: {n_known} or more"
    ):
        extended(plan(), trials, n_known)


def test_a_sweep_cannot_have_more_trials_than_a_space_may() -> None:
    with pytest.raises(SpaceError, match="--trials 100001: allowed: at most 100,000"):
        extended(plan(), 100_001, 0)
    repeated = plan(repeats=3, scheduler={"type": "none"})
    assert extended(repeated, 33_333, 27).space.n_runs == 99_999
    with pytest.raises(SpaceError, match="--trials 33334: allowed: at most 33,333"):
        extended(repeated, 33_334, 27)


def test_trials_of_a_sweep_with_repeats_are_its_configurations() -> None:
    repeated = plan(repeats=3, trials=10, scheduler={"type": "none"})
    assert extended(repeated, 12, 10).space.n_runs == 36
    with pytest.raises(SpaceError, match="--trials 9: sweep p has 10 already; allowed: 10 or more"):
        extended(repeated, 9, 10)


def test_a_grid_has_the_points_it_has() -> None:
    grid = plan(search={"latent_size": {"type": "int", "low": 1, "high": 6}}, sampler={"type": "grid"}, trials=6)
    with pytest.raises(SpaceError, match="--trials 7: sweep p is a grid of 6 points"):
        extended(grid, 7, 3)
    assert extended(grid, 6, 3) == grid


def test_images_are_made_at_doubling_epochs_and_wherever_a_trial_may_end() -> None:
    asha = {"type": "asha", "grace_epochs": 3, "reduction_factor": 3}
    assert plan(scheduler=asha, epochs=30).preview_epochs() == {1, 2, 4, 8, 16, 30} | {3, 9, 27}
    assert plan(scheduler={"type": "none"}, epochs=8).preview_epochs() == {1, 2, 4, 8}
    assert plan(scheduler={"type": "median"}, epochs=8).preview_epochs() is None


@pytest.mark.parametrize(
    "scheduler",
    [
        {"type": "asha", "grace_epochs": 3, "reduction_factor": 3},
        {"type": "asha", "grace_epochs": 2, "reduction_factor": 4},
        {"type": "hyperband", "grace_epochs": 1, "reduction_factor": 3, "brackets": 4},
        {"type": "hyperband", "grace_epochs": 4, "reduction_factor": 2, "brackets": 2},
    ],
)
def test_a_trial_tells_of_itself_wherever_the_scheduler_may_stop_it(scheduler: dict[str, Any]) -> None:
    of = plan(scheduler=scheduler, epochs=30)
    rungs = {rung for bracket in make_scheduler(of.space, of.seed)._brackets for rung, _ in bracket._rungs}
    assert of.deciding_epochs() == rungs | {30}


def test_under_the_median_rule_every_epoch_is_a_result_and_without_a_scheduler_only_the_last_must_be() -> None:
    assert plan(scheduler={"type": "median"}, epochs=8).deciding_epochs() is None
    assert plan(scheduler={"type": "none"}, epochs=8).deciding_epochs() == {8}


def test_the_data_folder_is_vae_data_dir_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    space = load_space("quick")
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "environment"))
    assert new_plan(space, "quick", None, 0, None).data_dir == tmp_path / "environment"
    assert new_plan(space, "quick", None, 0, tmp_path / "option").data_dir == tmp_path / "option"


def test_a_resumed_sweep_reads_the_images_where_it_did_unless_told_otherwise(tmp_path: Path) -> None:
    plan = new_plan(load_space("quick"), "quick", None, 0, tmp_path / "then")
    assert extended(plan, None, 3).data_dir == tmp_path / "then"
    assert extended(plan, None, 3, tmp_path / "now").data_dir == tmp_path / "now"


def test_a_sweep_is_whole_when_all_its_trials_are_there_and_have_ended() -> None:
    three = plan(trials=3)
    records = [record(three.space, n, {}, [-100.0], state) for n, state in enumerate(("complete", "pruned", "failed"))]
    assert three.is_whole(records)
    assert not three.is_whole(records[:2])
    records[1].state = "running"
    assert not three.is_whole(records)
