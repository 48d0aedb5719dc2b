"""Fault: one thing wrong with a search space, and the words that say what would be right."""

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tuning.space.model import SEARCHABLE, type_of

Path = tuple[str | int, ...]
LONGEST = 80  # characters of a value that are shown

_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(type_of(name), config=ConfigDict(strict=True, allow_inf_nan=False)) for name in SEARCHABLE
}


class Fault(NamedTuple):
    """One thing wrong with a space: where in it, and what would be right."""

    path: Path
    message: str


def value_problem(name: str, value: Any) -> str:
    """What is wrong with this value of this hyperparameter, '' where nothing is."""
    try:
        _ADAPTERS[name].validate_python(value)
    except ValidationError as error:
        return f"{shown(value)} for {name}: {error.errors()[0]['msg'][:1].lower()}{error.errors()[0]['msg'][1:]}"
    return ""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """'; did you mean 'beta'? allowed: ...'"""
    allowed = list(allowed)
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ";"
    return f"{hint} allowed: {', '.join(allowed)}"


def shown(value: Any) -> str:
    """A value as Python writes it, not longer than anyone would read."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def printable(text: str) -> str:
    """On one line, and not longer than anyone would read."""
    line = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    return line if len(line) <= 2 * LONGEST else f"{line[: 2 * LONGEST]}..."
