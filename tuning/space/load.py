"""A space's YAML file and the command line's changes to it -> SearchSpace, or every fault at once."""

import os
from pathlib import Path

from tuning.errors import SpaceError
from tuning.layout import SPACES
from tuning.space.document import Document, read
from tuning.space.faults import Fault, nearest
from tuning.space.model import SearchSpace
from tuning.space.overrides import (
    Overrides,  # the `as` lets it be imported from here
    apply,
)
from tuning.space.validation import validated


def list_spaces() -> dict[str, str]:
    """Every shipped space by name, with its description."""
    return {path.stem: load_space(path.stem).description for path in sorted(SPACES.glob("*.yaml"))}


def load_space(name_or_path: str, overrides: Overrides | None = None) -> SearchSpace:
    """The space as the sweep will run it. Raises SpaceError with every fault of the file and the options."""
    document = read(_find(name_or_path))
    apply(document, overrides or Overrides())
    space, faults = validated(document.content)
    if faults or space is None:
        raise SpaceError(_report(document, faults))
    return space


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or len(path.parts) != 1:
        if not os.path.isfile(path):  # Path's own raises for an overlong name
            raise SpaceError(f"--space {name_or_path}: no such file")
        return path
    names = sorted(found.stem for found in SPACES.glob("*.yaml"))
    if name_or_path not in names:
        raise SpaceError(f"--space {name_or_path}: no such space{nearest(name_or_path, names)}")
    return SPACES / f"{name_or_path}.yaml"


def _report(document: Document, faults: list[Fault]) -> str:
    lines = [f"{document.where(fault.path)}: {fault.message}" for fault in faults]
    path = document.path
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    if len(lines) == 1:
        return f"{path}: {lines[0]}"
    return "\n".join([f"{path}: {len(lines)} faults", *(f"  {line}" for line in lines)])
