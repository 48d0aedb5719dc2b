import re
from pathlib import Path

import pytest

from tests.material.spaces import BASE, changed, load, refusal
from tuning.errors import SpaceError
from tuning.space.load import SPACES, list_spaces, load_space


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


def test_text_of_the_file_cannot_break_the_messages_lines(file: Path) -> None:
    message = refusal(file, BASE + '"a\\nb\\e[31m": 1\n' + f"{'y' * 120}: 1\n" + f"x: {'z' * 5000}\n")
    assert message.count("\n") == 3
    assert "\x1b" not in message
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
