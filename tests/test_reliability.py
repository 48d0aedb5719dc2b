"""docs/reliability.md: each line of the contract names tests, and these exist."""

import ast
import re

from tests.material.paths import REPOSITORY

PAGE = REPOSITORY / "docs" / "reliability.md"
RULE = re.compile(r"(?m)^\| (?!rule \|)(?!---)(.+) \| (.*) \|$")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def contract() -> list[tuple[str, list[tuple[str, str]]]]:
    """(rule, its tests as file and function) for each line, without the table of chaos."""
    text = PAGE.read_text().partition("\n## Chaos\n")[0]
    return [(rule, TEST.findall(tests)) for rule, tests in RULE.findall(text)]


def functions_of(file: str) -> set[str]:
    tree = ast.parse((REPOSITORY / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_contract_is_read_line_by_line() -> None:
    """So that the tests below cannot pass by seeing nothing."""
    rows = [line for line in PAGE.read_text().splitlines() if "::test_" in line]
    assert len(contract()) == len(rows) > 30


def test_every_line_of_the_contract_names_a_test_that_exists() -> None:
    assert [rule for rule, tests in contract() if not tests] == []
    named = {one for _, tests in contract() for one in tests}
    assert [f"{file}::{name}" for file, name in sorted(named) if name not in functions_of(file)] == []
