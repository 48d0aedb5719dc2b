import re
from pathlib import Path

import pytest

from tests.material.spaces import BASE, BETA, CONDITIONAL, WHEN, assert_refused, changed, load, refusal
from tuning.errors import SpaceError
from tuning.space.load import SPACES, list_spaces, load_space
from tuning.space.overrides import Overrides


def test_the_space_to_break_is_whole(file: Path) -> None:
    space = load(file, BASE)
    assert (space.trials, space.epochs, space.dataset, space.metric) == (12, 9, "digits", "val_elbo")
    assert list(space.dimensions) == ["latent_size", "hidden_units", "activation", "beta"]
    assert space.first_trials == [{"latent_size": 20, "beta": 1.0}]


@pytest.mark.parametrize("name", ["nowhere.yaml", "no/such/place", "/no/such/study.yml", "."])
def test_a_path_without_a_file_is_refused(name: str) -> None:
    with pytest.raises(SpaceError, match=f"^--space {re.escape(name)}: no such (file|space)"):
        load_space(name)


def test_a_folder_and_an_overlong_name_are_no_spaces(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    for path in (tmp_path / "folder.yaml", tmp_path / ("x" * 300 + ".yaml")):
        with pytest.raises(SpaceError, match="no such file"):
            load_space(str(path))


def test_an_unknown_space_is_answered_with_the_nearest_and_all() -> None:
    with pytest.raises(SpaceError, match="--space beta_stuy: no such space; did you mean 'beta_study'"):
        load_space("beta_stuy")
    with pytest.raises(SpaceError, match=r"allowed: .*beta_study.*quick"):
        load_space("zzz")


@pytest.mark.parametrize("name", ["paper", "fashion"])
def test_a_space_of_an_earlier_version_is_answered_as_any_unknown_one(name: str) -> None:
    """paper is now kingma_welling_2013; fashion was beta_study with --dataset fashion."""
    with pytest.raises(SpaceError, match=rf"^--space {name}: no such space; .*allowed: .*kingma_welling_2013, .*"):
        load_space(name)


def test_beta_study_of_clothes_is_an_option_of_the_command_line() -> None:
    space = load_space("beta_study", Overrides(dataset="fashion"))
    assert space.dataset == "fashion"
    assert space == load_space("beta_study").model_copy(update={"dataset": "fashion"})


def test_text_of_the_file_cannot_break_the_messages_lines(file: Path) -> None:
    message = refusal(file, BASE + '"a\\nb\\e[31m": 1\n' + f"{'y' * 120}: 1\n" + f"x: {'z' * 5000}\n")
    assert message.count("\n") == 3
    assert "\x1b" not in message
    unprintable = refusal(file, BASE + '"\\x7f\\x9b2J": "\\u202e\\x07"\n', dataset="\x1b]0;x\x07\x7f")
    assert unprintable.replace("\n", "").isprintable()
    long = refusal(file, changed("dataset: digits", f"dataset: {'d' * 5000}"))
    assert len(long) < 300


def test_a_path_below_the_working_directory_is_shown_as_it_was_typed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    file.write_text(changed("trials: 12", "trials: 0"))
    with pytest.raises(SpaceError, match=r"^study\.yaml: line 4, trials: 0"):
        load_space(str(file))


def test_every_shipped_space_loads_and_opens_with_purpose_command_and_cost() -> None:
    descriptions = list_spaces()
    assert {"beta_study", "quick"} <= set(descriptions)
    for name, description in descriptions.items():
        comment = [line for line in (SPACES / f"{name}.yaml").read_text().splitlines() if line.startswith("#")]
        assert description.endswith(".")
        assert any(f"python sweep.py --space {name}" in line for line in comment)
        assert any(line.startswith("# Cost: ") for line in comment)


def test_beta_study_searches_all_four() -> None:
    assert set(load_space("beta_study").dimensions) == {"latent_size", "hidden_units", "learning_rate", "beta"}


# ---------------------------------------------------------------- all faults at once


def test_all_faults_of_a_file_come_in_one_message(file: Path) -> None:
    text = """\
description: Everything at once.
metric: val_loss
trials: 0
epochs: 9
search:
  latent_size: {type: int, low: 64, high: 2}
  hiden_units: {type: int, low: 64, high: 512}
  beta: {type: float, low: 0, high: 4.0, log: true}
  activation: {type: categorical, choices: [relu, rleu, relu]}
fixed:
  beta: 1.0
  batch_size: 0
scheduler: {type: asha, grace_epochs: 30, reduction: 4}
sampler: {type: cmaes}
baselines:
  - {beta: 9.0}
  - {learning_rate: 0.1, gamma: 3}
"""
    message = refusal(file, text).splitlines()
    assert message[0] == f"{file}: {len(message) - 1} faults"
    assert [re.match(r"  line (\d+), ([\w.]+): ", line).groups() for line in message[1:]] == [  # type: ignore[union-attr]
        ("2", "metric"),
        ("3", "trials"),
        ("7", "search.hiden_units"),
        ("12", "fixed.batch_size"),
        ("13", "scheduler.reduction"),
        ("17", "baselines.1.gamma"),
        ("6", "search.latent_size.low"),
        ("9", "search.activation.choices.1"),
        ("9", "search.activation.choices.2"),
        ("8", "search.beta.low"),
        ("11", "fixed.beta"),
        ("13", "scheduler.grace_epochs"),
        ("9", "search.activation.type"),
        ("16", "baselines.0.beta"),
    ]


def test_what_only_follows_from_another_fault_is_not_told(file: Path) -> None:
    text = changed(BETA, "beta: {type: float, low: .nan, high: 4.0}")
    assert refusal(file, text) == f"{file}: line 9, search.beta.low: nan: input should be a finite number"
    text = changed("grace_epochs: 3", "grace_epochs: few").replace("epochs: 9", "epochs: 2")
    assert "above epochs" not in refusal(file, text)


def test_one_faulty_baseline_does_not_hide_the_others(file: Path) -> None:
    text = BASE + "  - {bta: 3}\n  - {beta: 9.0}\n  - {batch_size: 3}\n"
    lines = [line.split(": ")[0] for line in refusal(file, text).splitlines()[1:]]
    assert lines == [
        "  line 17, baselines.1.bta",
        "  line 18, baselines.2.beta",
        "  line 19, baselines.3.batch_size",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "scheduler: {type: none}",
            "repeats: 2\nscheduler: {type: non}",
            "line 10, scheduler.type: 'non'; did you mean 'none'? allowed: asha, hyperband, median, none",
        ),
        (
            "scheduler: {type: none}",
            "fixed: {mode: autoencodr}\nscheduler: {type: none}",
            "line 9, fixed.mode: 'autoencodr'; did you mean 'autoencoder'? allowed: vae, autoencoder, decoder_only",
        ),
        (
            WHEN,
            "when: {likelihood: gaussian}}\n  likelihood: {type: categorical, choices: 3",
            "line 9, search.likelihood.choices: 3: expected a list",
        ),
        (
            WHEN,
            "when: {latent_size: 2}}\n  latent_size: {type: int, low: two, high: 4",
            "line 9, search.latent_size.low: 'two': input should be a valid integer",
        ),
        (
            "metric: val_elbo",
            "metric: val_dist\nfixed: {mode: autoencoder}",
            "line 3, metric: 'val_dist'; did you mean 'val_distortion'? allowed: val_elbo, val_distortion, "
            "rate_distortion",
        ),
    ],
)
def test_no_rule_is_told_that_is_only_broken_by_what_was_set_aside(
    file: Path, old: str, new: str, expected: str
) -> None:
    assert_refused(file, changed(old, new, CONDITIONAL), expected)
