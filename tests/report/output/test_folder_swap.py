from pathlib import Path

import pytest

from report.output.folder_swap import rebuilt
from vae.errors import UserError


def _build(folder: Path, content: str) -> None:
    with rebuilt(folder) as beside:
        (beside / content).touch()


def _fail_half_way(folder: Path) -> None:
    with rebuilt(folder) as beside:
        (beside / "new").touch()
        raise ArithmeticError("half way")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    _build(tmp_path / "best", "old")
    _build(tmp_path / "best", "new")
    assert _names(tmp_path / "best") == ["new"]
    assert _names(tmp_path) == ["best"]


def test_until_the_end_the_old_folder_is_there(tmp_path: Path) -> None:
    _build(tmp_path / "best", "old")
    with rebuilt(tmp_path / "best") as beside:
        (beside / "new").touch()
        assert _names(tmp_path / "best") == ["old"]


def test_a_rebuild_that_fails_leaves_the_old_folder_and_nothing_beside(tmp_path: Path) -> None:
    _build(tmp_path / "best", "old")
    with pytest.raises(ArithmeticError, match="half way"):
        _fail_half_way(tmp_path / "best")
    assert _names(tmp_path / "best") == ["old"]
    assert _names(tmp_path) == ["best"]


def test_when_the_new_folder_cannot_take_its_place_the_old_one_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _build(tmp_path / "best", "old")
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == ".best.new":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UserError, match="Input/output error"):
        _build(tmp_path / "best", "new")
    assert _names(tmp_path / "best") == ["old"]
    assert _names(tmp_path) == ["best"]


@pytest.mark.parametrize("left", [[".best.new"], [".best.old"], [".best.old", ".best.new"], ["best", ".best.old"]])
def test_what_a_killed_rebuild_left_is_used_or_cleared(tmp_path: Path, left: list[str]) -> None:
    for name in left:
        (tmp_path / name).mkdir()
        (tmp_path / name / name.strip(".")).touch()
    with pytest.raises(ArithmeticError, match="half way"):
        _fail_half_way(tmp_path / "best")
    expected = {"best": "best", ".best.old": "best.old"}
    kept = next((expected[name] for name in ("best", ".best.old") if name in left), None)
    assert _names(tmp_path) == (["best"] if kept else [])
    if kept:
        assert _names(tmp_path / "best") == [kept]


def test_a_place_that_cannot_be_written_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        _build(tmp_path / "file" / "best", "new")
