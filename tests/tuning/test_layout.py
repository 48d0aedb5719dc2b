"""Where things are, as a user reads it."""

from pathlib import Path

import pytest

from tuning.layout import as_typed, trial_folder


def test_a_path_is_shown_as_the_user_would_type_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert as_typed(tmp_path / "runs" / "it") == Path("runs/it")
    assert as_typed(tmp_path.parent / "elsewhere") == tmp_path.parent / "elsewhere"


def test_a_trials_folder_is_relative_to_the_sweeps() -> None:
    assert trial_folder("0042-1") == "trials/0042-1"
