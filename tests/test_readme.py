"""The README says what the code says."""

import re
import subprocess
import sys

import pytest
from annotated_types import Ge, Gt, Le, Lt

from tests.material.paths import REPOSITORY
from vae.config import HYPERPARAMETERS, TrialConfig

README = (REPOSITORY / "README.md").read_text()


def row(name: str) -> str:
    """A hyperparameter's line of the README's table, from its declaration."""
    field = TrialConfig.model_fields[name]
    signs = {Ge: ("", ">= ", "ge"), Gt: ("", "> ", "gt"), Le: ("", "<= ", "le"), Lt: ("", "< ", "lt")}
    limits = [f"{signs[type(limit)][1]}{getattr(limit, signs[type(limit)][2]):,}" for limit in field.metadata]
    values = getattr(field.annotation, "__args__", None)
    allowed = ", ".join(values) if values else ", ".join(limits)
    return f"| `{name}` | {field.default} | {allowed} | {field.description} |"


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_the_table_of_hyperparameters_is_that_of_the_code(name: str) -> None:
    assert row(name) in README


def test_every_option_that_the_readme_shows_is_one() -> None:
    used = set(
        re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(re.findall(r"(?m)^    python sweep\.py (.*)$", README)))
    )
    help_text = subprocess.run(
        [sys.executable, "sweep.py", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert len(used) > 8
    assert used <= set(re.findall(r"--[a-z][a-z-]+", help_text))


def test_every_file_that_the_layout_names_is_there() -> None:
    layout = README[README.index("    sweep.py    ") : README.index("`vae/` imports none")]
    folders = [REPOSITORY, *(REPOSITORY / name for name in ("vae", "tuning", "report"))]
    names = set(re.findall(r"\w+\.py", layout))
    assert len(names) > 40
    assert [name for name in names if not any((folder / name).is_file() for folder in folders)] == []


def test_every_module_stands_in_the_layout() -> None:
    layout = README[README.index("    sweep.py    ") : README.index("`vae/` imports none")]
    modules = [path for folder in ("vae", "tuning", "report") for path in (REPOSITORY / folder).glob("*.py")]
    missing = [path.name for path in modules if path.name != "__init__.py" and path.name not in layout]
    assert missing == []
