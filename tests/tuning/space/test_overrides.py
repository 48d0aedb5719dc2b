import re
from pathlib import Path
from typing import Any

import pytest

from tests.material.spaces import (
    ALLOWED_HYPERPARAMETERS,
    BASE,
    CONDITIONAL,
    LATENT,
    WHEN,
    assert_refused,
    changed,
    load,
    refusal,
)
from tuning.errors import SpaceError
from tuning.space.load import load_space
from tuning.space.model import SearchSpace
from tuning.space.overrides import Overrides


def test_set_fixes_a_searched_hyperparameter_and_takes_it_out_of_search_and_baselines(file: Path) -> None:
    space = load(file, BASE, settings=["beta=2"])
    assert "beta" not in space.dimensions
    assert space.fixed_values == {"beta": 2.0, "batch_size": 128}
    assert space.first_trials == [{"latent_size": 20}]


def test_set_leaves_out_a_baseline_of_which_nothing_or_nothing_new_is_left(file: Path) -> None:
    text = BASE + "  - {beta: 2.0}\n  - {latent_size: 20, beta: 4.0}\n"
    assert load(file, text, settings=["beta=2"]).first_trials == [{"latent_size": 20}]


def test_set_changes_what_is_fixed_and_what_is_the_default(file: Path) -> None:
    space = load(file, BASE, settings=["batch_size=256", "hidden_layers=2", "learning_rate=1e-4", "seed=7"])
    assert space.fixed_values == {"batch_size": 256, "hidden_layers": 2, "learning_rate": 1e-4, "seed": 7}


def test_a_dotted_key_changes_one_setting(file: Path) -> None:
    space = load(file, BASE, settings=["search.beta.high=8", "scheduler.reduction_factor=4"])
    beta, asha = space.dimensions["beta"], space.scheduler
    assert beta.type == "float"
    assert (beta.low, beta.high, beta.log) == (0.25, 8.0, True)
    assert asha.type == "asha"
    assert (asha.grace_epochs, asha.reduction_factor) == (3, 4)


def test_another_type_clears_the_settings_of_the_one_before(file: Path) -> None:
    space = load(file, BASE, settings=["scheduler.type=median", "sampler.type=random"])
    assert space.scheduler.model_dump() == {"type": "median", "grace_epochs": 3, "min_trials": 5}
    assert space.sampler.model_dump() == {"type": "random"}
    same = load(file, changed("grace_epochs: 3", "grace_epochs: 2"), settings=["scheduler.type=asha"])
    assert same.scheduler.model_dump() == {"type": "asha", "grace_epochs": 2, "reduction_factor": 3}


def test_a_type_and_its_settings_may_follow_each_other(file: Path) -> None:
    space = load(file, BASE, settings=["scheduler.type=hyperband", "scheduler.brackets=2"])
    assert space.scheduler.model_dump() == {
        "type": "hyperband",
        "grace_epochs": 1,
        "reduction_factor": 3,
        "brackets": 2,
    }


def test_a_part_that_the_file_does_not_have_can_be_set(file: Path) -> None:
    text = re.sub(r"scheduler: .*\n", "", BASE)
    assert load(file, text, settings=["scheduler.type=none"]).scheduler.type == "none"


def test_trials_epochs_and_dataset_are_taken_from_the_command_line(file: Path) -> None:
    space = load(file, BASE, trials=200, epochs=40, dataset="mnist")
    assert (space.trials, space.epochs, space.dataset) == (200, 40, "mnist")


def test_a_grid_made_on_the_command_line_sets_the_number_of_trials(file: Path) -> None:
    text = changed(LATENT, "latent_size: {type: int, low: 2, high: 4}").replace("latent_size: 20, ", "")
    space = load(file, text, settings=["hidden_units=128", "beta=1", "sampler.type=grid"])
    assert space.trials == 3 * 2
    assert len(space.first_trials) == 6


def test_a_grid_on_the_command_line_keeps_to_the_trials_that_are_given_there(file: Path) -> None:
    text = changed(LATENT, "latent_size: {type: int, low: 2, high: 4}").replace("latent_size: 20, ", "")
    settings = ["hidden_units=128", "beta=1", "sampler.type=grid"]
    expected = "--trials 5 (trials): 5 with sampler grid, which has 6 points; allowed: 6"
    assert refusal(file, text, settings=settings, trials=5) == f"{file}: {expected}"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("beta", "--set beta: expected key=value, such as batch_size=256 or scheduler.type=none"),
        ("=3", "--set =3: expected key=value, such as batch_size=256 or scheduler.type=none"),
        (" =3", "--set  =3: expected key=value, such as batch_size=256 or scheduler.type=none"),
        ("beta=[1", "--set beta=[1: '[1' is not a value"),
        ("beta=!!int x", "--set beta=!!int x: '!!int x' is not a value"),
        ("beta=*a", "--set beta=*a: '*a' is not a value"),
        (
            "btea=1",
            "--set btea=1: no such hyperparameter; did you mean 'beta'? "
            f"allowed: {ALLOWED_HYPERPARAMETERS}, repeats, metric, keep_models, scheduler.type, sampler.type",
        ),
        ("trials=3", "--set trials=3: trials is not a hyperparameter; use --trials"),
        ("epochs=3", "--set epochs=3: epochs is not a hyperparameter; use --epochs"),
        ("dataset=mnist", "--set dataset=mnist: dataset is not a hyperparameter; use --dataset"),
        (
            "scheduler=none",
            "--set scheduler=none: scheduler is not a hyperparameter; use a dotted key, such as scheduler.type=...",
        ),
        ("description=x", "--set description=x: description is not a hyperparameter; change it in the file"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(file: Path, setting: str, expected: str) -> None:
    file.write_text(BASE)
    with pytest.raises(SpaceError, match=r"^--set ") as refused:
        load_space(str(file), Overrides(settings=[setting]))
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("beta=-1", "(fixed.beta): -1: input should be greater than or equal to 0"),
        ("beta=", "(fixed.beta): None: input should be a valid number"),
        ("beta=1=2", "(fixed.beta): '1=2': input should be a valid number"),
        ("beta=true", "(fixed.beta): True: input should be a valid number"),
        ("beta=nan", "(fixed.beta): 'nan': input should be a valid number"),
        ("beta=.nan", "(fixed.beta): nan: input should be a finite number"),
        ("batch_size=64.0", "(fixed.batch_size): 64.0: input should be a valid integer"),
        (
            "activation=rleu",
            "(fixed.activation): 'rleu'; did you mean 'relu'? allowed: relu, tanh, elu, softplus",
        ),
        (
            "scheduler.grace=3",
            "(scheduler.grace): no such key; allowed: type, grace_epochs, reduction_factor",
        ),
        (
            "scheduler.type=ash",
            "(scheduler.type): 'ash'; did you mean 'asha'? allowed: asha, hyperband, median, none",
        ),
        (
            "search.betta.low=3",
            f"(search.betta): no such key; did you mean 'beta'? allowed: {ALLOWED_HYPERPARAMETERS}",
        ),
    ],
)
def test_a_faulty_value_points_at_its_option(file: Path, setting: str, expected: str) -> None:
    assert refusal(file, BASE, settings=[setting]) == f"{file}: --set {setting} {expected}"


@pytest.mark.parametrize("name", ["faces", "./faces", "faces/"])
def test_a_folder_of_images_is_relative_to_the_working_directory_and_becomes_absolute(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    here = tmp_path / "elsewhere"
    (here / "faces").mkdir(parents=True)
    monkeypatch.chdir(here)
    for space in (load(file, changed("dataset: digits", f"dataset: {name}")), load(file, BASE, dataset=name)):
        assert space.dataset == str(here / "faces")
        monkeypatch.chdir("/")
        assert SearchSpace.model_validate(space.model_dump(exclude_none=True)) == space
        monkeypatch.chdir(here)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"dataset": "./none/x"}, "--dataset ./none/x (dataset): '{here}/none/x': no such folder"),
        ({"trials": 100_001}, "--trials 100001 (trials): 100001: input should be less than or equal to 100000"),
        (
            {"dataset": "minst"},
            "--dataset minst (dataset): 'minst'; did you mean 'mnist'? allowed: "
            "auto, digits, mnist, fashion, freyface, or a folder of images",
        ),
    ],
)
def test_a_faulty_option_is_named(file: Path, overrides: dict[str, Any], expected: str) -> None:
    assert refusal(file, BASE, **overrides) == f"{file}: {expected.format(here=Path.cwd())}"


def test_faults_of_the_file_and_of_the_options_come_together(file: Path) -> None:
    text = changed("metric: val_elbo", "metric: val_loss")
    message = refusal(file, text, trials=100_001, settings=["batch_size=0", "learning_rate=2"]).splitlines()
    assert message[0] == f"{file}: 4 faults"
    assert "--trials 100001" in message[2]
    assert "--set learning_rate=2" in message[3]
    assert "--set batch_size=0" in message[4]


def test_a_short_try_with_epochs_shortens_the_grace() -> None:
    space = load_space("beta_study", Overrides(epochs=2))
    assert (space.epochs, space.scheduler.grace_epochs) == (2, 2)


def test_a_grace_that_is_set_with_epochs_is_kept_and_refused_where_it_is_too_long() -> None:
    space = load_space("beta_study", Overrides(epochs=9, settings=["scheduler.grace_epochs=1"]))
    assert (space.epochs, space.scheduler.grace_epochs) == (9, 1)
    with pytest.raises(SpaceError, match=r"--set scheduler.grace_epochs=5.*5 is above epochs, 2"):
        load_space("beta_study", Overrides(epochs=2, settings=["scheduler.grace_epochs=5"]))


# ---------------------------------------------------------------- grids, conditions, repeats, metric


GRID = """\
description: A grid.
trials: 6
epochs: 9
search:
  latent_size: {type: categorical, choices: [2, 5, 10]}
  beta: {type: float, low: 1.0, high: 2.0, step: 1.0}
scheduler: {type: none}
sampler: {type: grid}
baselines:
  - {latent_size: 5, beta: 2.0}
"""


@pytest.mark.parametrize(
    ("setting", "points"),
    [
        ("latent_size=2", [{"beta": 1.0}, {"beta": 2.0}]),
        ("beta=3", [{"latent_size": 2}, {"latent_size": 5}, {"latent_size": 10}]),
        ("search.latent_size.choices=[5]", [{"latent_size": 5, "beta": 1.0}, {"latent_size": 5, "beta": 2.0}]),
        ("search.beta.high=1", [{"latent_size": 2, "beta": 1.0}]),
    ],
)
def test_a_grids_trials_follow_its_points_where_the_command_line_changes_its_dimensions(
    file: Path, setting: str, points: list[dict[str, Any]]
) -> None:
    text = GRID.replace("  - {latent_size: 5, beta: 2.0}", "  []")
    space = load(file, text, settings=[setting])
    assert space.first_trials[: len(points)] == points
    assert space.trials == len(space.first_trials)


def test_a_grid_whose_every_dimension_is_set_is_one_trial(file: Path) -> None:
    space = load(file, GRID, settings=["latent_size=2", "beta=1"])
    assert (space.trials, space.first_trials) == (1, [{}])


def test_a_grid_does_not_follow_what_is_no_dimension_of_it(file: Path) -> None:
    text = changed("trials: 6", "trials: 7", GRID)
    expected = "line 2, trials: 7 with sampler grid, which has 6 points; allowed: 6"
    assert refusal(file, text, settings=["batch_size=64", "scheduler.type=none"]) == f"{file}: {expected}"


def test_a_grid_follows_its_points_beside_faults_elsewhere(file: Path) -> None:
    assert_refused(
        file,
        GRID,
        "--set batch_size=0 (fixed.batch_size): 0: input should be greater than or equal to 1",
        settings=["latent_size=2", "batch_size=0"],
    )


def test_a_baseline_of_a_changed_grid_that_is_left_out_of_it_is_refused_by_name(file: Path) -> None:
    expected = "line 10, baselines.0.latent_size: 5 is not a choice; allowed: 2, 10"
    assert_refused(file, GRID, expected, settings=["search.latent_size.choices=[2, 10]"])


@pytest.mark.parametrize(
    ("setting", "dimensions", "points"),
    [
        ("noise=none", [], [{}]),
        ("noise=gaussian", ["noise_factor"], [{"noise_factor": 0.1}, {"noise_factor": 0.3}, {"noise_factor": 0.5}]),
        ("noise_factor=0.2", ["noise"], [{"noise": "none"}, {"noise": "gaussian"}, {"noise": "salt_pepper"}]),
        (
            "search.noise_factor.when.noise=gaussian",
            ["noise", "noise_factor"],
            [
                {"noise": "none"},
                *({"noise": "gaussian", "noise_factor": factor} for factor in (0.1, 0.3, 0.5)),
                {"noise": "salt_pepper"},
            ],
        ),
    ],
)
def test_what_is_set_decides_what_is_still_searched(
    file: Path, setting: str, dimensions: list[str], points: list[dict[str, Any]]
) -> None:
    space = load(file, CONDITIONAL, settings=[setting])
    assert list(space.dimensions) == dimensions
    assert space.first_trials == points
    assert space.trials == len(points)


def test_what_never_applies_leaves_the_search_where_the_condition_is_on_what_was_never_searched(file: Path) -> None:
    text = CONDITIONAL.replace(WHEN, "when: {mode: vae, noise: [gaussian, salt_pepper]}")
    space = load(file, text, settings=["mode=autoencoder", "metric=val_distortion"])
    assert list(space.dimensions) == ["noise"]
    assert (space.trials, space.metric) == (3, "val_distortion")


def test_baselines_of_another_value_leave_with_a_condition_on_it(file: Path) -> None:
    text = CONDITIONAL + "baselines: [{noise: none}, {noise: salt_pepper, noise_factor: 0.5}]\n"
    assert load(file, text, settings=["noise=salt_pepper"]).first_trials[0] == {"noise_factor": 0.5}
    assert load(file, text, settings=["noise=none"]).first_trials == [{}]
    assert len(load(file, text, settings=["noise=gaussian"]).first_trials) == 3


def test_a_misspelt_value_of_a_condition_is_told_alone(file: Path) -> None:
    expected = "--set noise=gausian (fixed.noise): 'gausian'; did you mean 'gaussian'? "
    expected += "allowed: none, gaussian, salt_pepper"
    assert_refused(file, CONDITIONAL, expected, settings=["noise=gausian"])


def test_repeats_and_metric_can_be_set(file: Path) -> None:
    space = load(file, CONDITIONAL, settings=["repeats=3", "metric=rate_distortion"])
    assert (space.repeats, space.n_runs, space.metric) == (3, 21, "rate_distortion")
    assert load(file, changed("trials: 7", "trials: 7\nrepeats: 4", CONDITIONAL), settings=["repeats=1"]).n_runs == 7


def test_a_metric_or_repeats_that_cannot_be_points_at_the_option(file: Path) -> None:
    expected = "--set repeats=2 (repeats): 2 with scheduler asha: the mean of trials stopped at different epochs means "
    assert_refused(file, BASE, f"{expected}nothing; allowed: scheduler none", settings=["repeats=2"])
    expected = "--set metric=val_rate (metric): val_rate cannot rank trials: alone it is best for a model that ignores "
    expected += "the image; allowed: val_elbo, val_distortion, rate_distortion"
    assert_refused(file, BASE, expected, settings=["metric=val_rate"])


@pytest.mark.parametrize("key", ["description", "search", "fixed", "baselines"])
def test_what_is_no_hyperparameter_is_changed_in_the_file(file: Path, key: str) -> None:
    file.write_text(BASE)
    with pytest.raises(SpaceError, match=f"^--set {key}=1: {key} is not a hyperparameter; change it in the file$"):
        load_space(str(file), Overrides(settings=[f"{key}=1"]))
