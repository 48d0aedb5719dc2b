"""How a command ends: for people, as JSON, and told to a command of the user's."""

import json
from pathlib import Path

import pytest

from tuning.errors import SpaceError
from tuning.view.console import CONSOLE
from tuning.view.ending import Ending


@pytest.fixture(autouse=True)
def _stdout_again() -> object:
    yield
    CONSOLE.stderr = False


def end(arguments: list[str], error: BaseException | None = None, notify: str | None = None, code: int = 0) -> int:
    with Ending(arguments) as ending:
        ending.notify, ending.code = notify, code
        if error:
            raise error
    return ending.code


def test_a_fault_of_the_user_is_its_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert end([], SpaceError("--trials 0: no")) == 2
    assert capsys.readouterr() == ("", "--trials 0: no\n")


def test_ctrl_c_is_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert end([], KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "Stopped.\n"


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError, match="by zero"):
        end(["--json"], ZeroDivisionError("by zero"))


def test_a_fault_is_one_object_on_stdout_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert end(["--json"], SpaceError("--trials 0: no")) == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {"exit_code": 2, "error": "--trials 0: no"}
    assert err == ""


def test_the_answer_goes_to_the_standard_input_of_the_command(tmp_path: Path) -> None:
    assert end([], notify=f"cat > {tmp_path}/told.json", code=1) == 1
    assert json.loads((tmp_path / "told.json").read_text()) == {"exit_code": 1}


def test_a_command_that_fails_is_a_line_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert end([], notify="exit 3") == 0
    assert capsys.readouterr().err == "--notify exit 3: exit code 3\n"
