"""A space's YAML file and the command line's changes to it -> SearchSpace, or every fault at once."""

import os
from pathlib import Path
from typing import Any

from tuning.errors import SpaceError
from tuning.layout import SPACES
from tuning.space.document import Document, read
from tuning.space.faults import Fault, nearest, printable, sound_part
from tuning.space.model import MOST_TRIALS, SearchSpace
from tuning.space.overrides import Overrides, apply, scalar
from tuning.space.rules import faults_of

# What decides which modes there are: where it is at fault, a metric that does not suit the modes only follows.
OF_THE_MODE = {("search",), ("fixed",), ("search", "mode"), ("fixed", "mode")}


def list_spaces() -> dict[str, str]:
    """The description of every shipped space, by the space's name."""
    return {path.stem: load_space(path.stem).description for path in sorted(SPACES.glob("*.yaml"))}


def load_space(name_or_path: str, overrides: Overrides | None = None) -> SearchSpace:
    """The space as the sweep will run it. Raises SpaceError with every fault of the file and the options."""
    document = read(_find(name_or_path))
    apply(document, overrides or Overrides())
    space, faults = _validated(document.content)
    if faults or space is None:
        raise SpaceError(_report(document, faults))
    return space


def configuration(space: SearchSpace, text: str, option: str) -> dict[str, Any]:
    """Values of searched hyperparameters as typed, 'latent_size=20,beta=2': those that a baseline of the space could
    have. What is left out is for the sampler to propose. Raises SpaceError with every fault."""
    values = {}
    for setting in text.split(","):
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise SpaceError(f"{option}: expected key=value,key=value, such as latent_size=20,beta=2")
        values[key.strip()] = scalar(value, option)
    if unknown := [name for name in values if name not in space.dimensions]:
        searched = ", ".join(space.dimensions) or "nothing"
        raise SpaceError(f"{option}: {unknown[0]} is not searched there; searched: {searched}")
    content = space.model_dump(exclude_none=True)
    found, faults = _validated({**content, "baselines": [values], "trials": MOST_TRIALS, "repeats": 1})
    if faults or found is None:
        raise SpaceError("\n".join(f"{option}: {fault.message}" for fault in faults))
    return dict(found.baselines[0].model_dump(exclude_none=True))


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or len(path.parts) != 1:
        if not os.path.isfile(path):  # Path's own method raises for a name that is too long
            raise SpaceError(f"--space {printable(name_or_path)}: no such file")
        return path
    names = sorted(found.stem for found in SPACES.glob("*.yaml"))
    if name_or_path not in names:
        raise SpaceError(f"--space {printable(name_or_path)}: no such space{nearest(name_or_path, names)}")
    return SPACES / f"{name_or_path}.yaml"


def _report(document: Document, faults: list[Fault]) -> str:
    lines = [f"{document.where(fault.path)}: {fault.message}" for fault in faults]
    path = document.path
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    if len(lines) == 1:
        return f"{path}: {lines[0]}"
    return "\n".join([f"{path}: {len(lines)} faults", *(f"  {line}" for line in lines)])


def _validated(content: dict[str, Any]) -> tuple[SearchSpace | None, list[Fault]]:
    """The space and its faults, those of its types and those of its rules."""
    rest, faults = sound_part(content)
    if rest is None:
        return None, faults
    if not faults:
        return rest, faults_of(rest)
    # The rules are checked on what fits its type, so that the user sees all faults in one message. What was set
    # aside may itself be why a rule is broken there: such a fault would lead away from its cause and is left out.
    return None, faults + [fault for fault in faults_of(rest) if not _follows(fault, faults, rest)]


def _follows(fault: Fault, faults: list[Fault], rest: SearchSpace) -> bool:
    """Whether a rule is broken only because something faulty was set aside."""
    faulty = {path[0] for path, _ in faults}
    top, *below = fault.path
    if fault.path in (("search",), ("trials",)):
        return bool(faulty & {"search", "baselines", "trials"})
    if fault.path == ("metric",):
        return "metric" in faulty or any(path[:2] in OF_THE_MODE for path, _ in faults)
    if fault.path == ("compare",):
        return "search" in faulty
    if top == "search" and below[1:2] == ["when"] and len(below) == 3:  # about a hyperparameter that was set aside
        return any(path[:2] in (("search",), ("search", below[2]), ("fixed", below[2])) for path, _ in faults)
    if top == "confirm":
        return bool(faulty & {"confirm", "metric", "trials", "epochs"})
    if top == "baselines":
        if len(below) == 2:
            return "search" in faulty and below[1] not in rest.dimensions
        return bool(faulty & {"search", "baselines"})
    return top == "scheduler" and top in faulty and below[0] not in rest.scheduler.model_fields_set
