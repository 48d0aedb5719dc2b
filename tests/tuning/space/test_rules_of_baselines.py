import json
from pathlib import Path

import pytest

from tests.material.spaces import CONDITIONAL, Faulty, assert_refused, changed, load, refusal

FAULTS: dict[str, Faulty] = {
    "a baseline outside": (
        changed("beta: 1.0}", "beta: 5.0}"),
        "line 16, baselines.0.beta: 5.0 is outside the search, 0.25 to 4.0",
    ),
    "a baseline between the steps": (
        changed("beta: 1.0}", "hidden_units: 100}"),
        "line 16, baselines.0.hidden_units: 100 is between the steps of the search, 64 to 512 by 64",
    ),
    "a baseline that is no choice": (
        changed("beta: 1.0}", "activation: elu}"),
        "line 16, baselines.0.activation: 'elu' is not a choice; allowed: 'relu', 'tanh'",
    ),
    "a baseline of what is not searched": (
        changed("beta: 1.0}", "batch_size: 64}"),
        "line 16, baselines.0.batch_size: batch_size is not searched; a baseline gives values of searched "
        "hyperparameters",
    ),
    "a whole baseline twice": (
        changed(
            "  - {latent_size: 20, beta: 1.0}\n",
            "  - {latent_size: 20, hidden_units: 64, activation: relu, beta: 1.0}\n" * 2,
        ),
        "line 17, baselines.1: appears twice",
    ),
    "more baselines than trials": (
        changed("trials: 12", "trials: 1") + "  - {latent_size: 3}\n",
        "line 15, baselines: 2 baselines do not fit into 1 trials; allowed: 2 trials or more",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_each_fault_names_file_line_key_value_and_what_is_allowed(file: Path, case: str) -> None:
    assert_refused(file, *FAULTS[case])


def test_a_grids_baseline_must_be_one_of_its_points(file: Path) -> None:
    grid = "description: x\ntrials: 4\nepochs: 3\nsearch:\n  latent_size: {type: int, low: 1, high: 2}\n"
    grid += "  beta: {type: float, low: 1.0, high: 2.0, step: 1.0}\nsampler: {type: grid}\nbaselines: [{beta: 1.0}]\n"
    expected = "line 8, baselines.0: leaves out latent_size; with sampler grid a baseline is a point of the grid"
    assert refusal(file, grid) == f"{file}: {expected}"


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        (
            "noise: none, noise_factor: 0.3",
            ".noise_factor: noise_factor is searched only where noise is gaussian or salt_pepper; leave it out",
        ),
        ("noise: gaussian", ": leaves out noise_factor; with sampler grid a baseline is a point of the grid"),
        (
            "noise: gaussian, noise_factor: 0.2",
            ".noise_factor: 0.2 is between the steps of the search, 0.1 to 0.5 by 0.2",
        ),
    ],
)
def test_a_baseline_has_what_applies_to_it_and_nothing_else(file: Path, baseline: str, expected: str) -> None:
    assert_refused(file, CONDITIONAL + f"baselines: [{{{baseline}}}]\n", f"line 11, baselines.0{expected}")


def test_a_baseline_that_leaves_open_whether_a_value_applies_is_refused(file: Path) -> None:
    text = CONDITIONAL.replace("sampler: {type: grid}", "sampler: {type: tpe}")
    expected = "noise_factor is searched only where noise is gaussian or salt_pepper; give noise as well"
    text += "baselines: [{noise_factor: 0.3}]\n"
    assert_refused(file, text, f"line 11, baselines.0.noise_factor: {expected}")


def test_a_whole_baseline_without_what_does_not_apply_may_not_be_there_twice(file: Path) -> None:
    text = CONDITIONAL.replace("sampler: {type: grid}", "sampler: {type: tpe}")
    assert load(file, text + "baselines: [{noise: gaussian}, {noise: gaussian}]\n").first_trials[1:]
    text += "baselines: [{noise: none}, {noise: none}]\n"
    assert_refused(file, text, "line 11, baselines.1: appears twice")


def test_baselines_of_a_grid_with_conditions_come_first_and_once(file: Path) -> None:
    first = [{"noise": "salt_pepper", "noise_factor": 0.5}, {"noise": "none"}]
    points = load(file, CONDITIONAL + f"baselines: {json.dumps(first)}\n").first_trials
    assert points[:2] == first
    assert len(points) == len({json.dumps(point) for point in points}) == 7
