import time
from pathlib import Path

import pytest

from tests.material.spaces import BASE, BETA, changed, load, refusal


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("description: [a, b\ntrials: 3\n", 2, "expected ',' or ']'"),
        ("description: x\n\ttrials: 3\n", 2, r"found character '\t' that cannot start any token"),
        (BASE + "trials: 3\n", 17, "key 'trials' appears twice"),
        (changed("batch_size: 128", "batch_size: 128\n  batch_size: 64"), 13, "key 'batch_size' appears twice"),
        (BASE + "3: 4\n", 17, "key 3 is not a word"),
        (BASE + "yes: 4\n", 17, "key True is not a word"),
        (BASE + "? [a]\n: 4\n", 17, "key ['a'] is not a word"),
        ("description: !!python/object/apply:os.system [ls]\n", 1, "could not determine a constructor for the tag"),
        ("description: !!python/name:os.system\n", 1, "could not determine a constructor for the tag"),
        (BASE + "---\n" + BASE, 17, "but found another document"),
        (changed("trials: 12", "trials: !!int many"), 4, "invalid literal for int()"),
        (changed("trials: 12", "trials: !!float many"), 4, "could not convert string to float"),
        (changed("trials: 12", "trials: 2001-99-99"), 4, "month must be in 1..12"),
        (changed("trials: 12", "trials: " + "9" * 5000), 4, "4300 digits"),
        (changed("trials: 12", "trials: 0x" + "f" * 5000), 4, "a whole number beyond 64 bits"),
    ],
)
def test_what_is_not_yaml_is_one_line_with_its_number(file: Path, text: str, line: int, problem: str) -> None:
    message = refusal(file, text)
    assert message.startswith(f"{file}: line {line}: not YAML: ")
    assert problem in message
    assert "\n" not in message


def test_a_python_tag_runs_nothing(file: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    refusal(file, f"description: !!python/object/apply:os.mkdir [{ran}]\n")
    assert not ran.exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty, not keys and values"),
        ("# only a comment\n", "is empty, not keys and values"),
        ("- a\n- b\n", "is a list, not keys and values"),
        ("hello\n", "is one value, not keys and values"),
        ("a: " + "[" * 5000 + "]" * 5000, "not YAML: nested too deeply"),
        (b"description: x\n# caf\xe9\n", "line 2: not UTF-8: byte 0xe9"),
        (b"a: \0\n", "not YAML: unacceptable character #x0000"),
    ],
)
def test_a_file_that_is_no_keys_and_values_is_refused(file: Path, text: str | bytes, problem: str) -> None:
    message = refusal(file, text)
    assert message.startswith(f"{file}: ")
    assert problem in message
    assert "\n" not in message


# Seven levels of ten: ten million numbers in eight lines.
NESTED = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 8))


@pytest.mark.parametrize(
    ("text", "line", "name"),
    [
        (BASE + NESTED, 17, "a0"),
        ("a: &a [*a]\n", 1, "a"),
        (changed("trials: 12", "trials: *twelve"), 4, "twelve"),
        (changed("trials: 12", "trials: &twelve 12"), 4, "twelve"),
        (changed("fixed:\n", "fixed: &rest\n"), 11, "rest"),
        (BASE + "&key note: 3\n", 17, "key"),
    ],
)
def test_an_anchor_or_alias_is_refused_at_once_with_its_line(file: Path, text: str, line: int, name: str) -> None:
    started = time.perf_counter()
    expected = f"line {line}: anchors and aliases (&{name}, *{name}) are not allowed; write the values out"
    assert refusal(file, text) == f"{file}: {expected}"
    assert time.perf_counter() - started < 1


def test_an_ampersand_or_a_star_in_a_text_is_no_anchor(file: Path) -> None:
    text = changed("A space to break.", "'&a trade of *R* & D'")
    assert load(file, text).description == "&a trade of *R* & D"


def test_a_byte_order_mark_windows_line_ends_and_merged_keys_are_read(file: Path) -> None:
    merged = changed("fixed:\n  batch_size: 128", "fixed:\n  <<: {batch_size: 128}")
    assert load(file, b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode()) == load(file, merged) == load(file, BASE)


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "1.e-3", "1.0e-3", "0.001", ".1e-2", "+1e-3"])
def test_a_number_in_any_notation_is_a_number(file: Path, number: str) -> None:
    text = changed(BETA, f"beta: {{type: float, low: {number}, high: 4.0, log: true}}")
    beta = load(file, text).dimensions["beta"]
    assert beta.type == "float"
    assert beta.low == 0.001
