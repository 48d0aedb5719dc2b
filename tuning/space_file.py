"""A space's YAML file and the command line's changes to it -> SearchSpace, or every fault at once."""

import os
import re
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tuning import space_rules
from tuning.errors import SpaceError
from tuning.space import MOST_TRIALS, SEARCHABLE, SearchSpace, grid_size
from tuning.space_rules import Fault, faults_of
from tuning.space_words import nearest, printable, type_faults

MOST_INTEGER = 2**63
SPACES = Path(__file__).resolve().parent.parent / "search_spaces"


class _Loader(yaml.SafeLoader):
    """YAML with its traps closed: 1e-3 is a number, a key is a word, and one that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str) or key in seen:
                problem = f"key {key!r} " + ("stands twice" if isinstance(key, str) else "is not a word")
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, OverflowError, AttributeError) as error:  # of Python's own int, float and date
            problem = " ".join(str(error).split())
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None
        if isinstance(value, int) and abs(value) > MOST_INTEGER:
            raise yaml.MarkedYAMLError(problem="a whole number beyond 64 bits", problem_mark=node.start_mark)
        return value


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


@dataclass
class Overrides:
    """What the command line changes; None leaves the file's word."""

    trials: int | None = None
    epochs: int | None = None
    dataset: str | None = None
    settings: list[str] = field(default_factory=list)


@dataclass
class _Document:
    """The file's content as plain values, and where each key came from."""

    path: Path
    content: Any
    lines: dict[space_rules.Path, int]
    options: dict[space_rules.Path, str] = field(default_factory=dict)

    def where(self, path: space_rules.Path) -> str:
        """'line 7  search.beta.low' or '--set beta=x', for the nearest key that is there."""
        keys = printable(".".join(map(str, path)))
        for length in range(len(path), 0, -1):
            if path[:length] in self.options:
                return f"{self.options[path[:length]]} ({keys})"
            if path[:length] in self.lines:
                return f"line {self.lines[path[:length]]}, {keys}"
        return keys or "the whole file"


def list_spaces() -> dict[str, str]:
    """Every shipped space by name, with its description."""
    return {path.stem: load_space(path.stem).description for path in sorted(SPACES.glob("*.yaml"))}


def load_space(name_or_path: str, overrides: Overrides | None = None) -> SearchSpace:
    """The space as the sweep will run it. Raises SpaceError with every fault of the file and the options."""
    document = _read(_find(name_or_path))
    _apply(document, overrides or Overrides())
    space, faults = _validate(document.content)
    if faults or space is None:
        raise SpaceError(_report(document, faults))
    return space


def _validate(content: dict[str, Any]) -> tuple[SearchSpace | None, list[Fault]]:
    """The space and its faults. What does not fit its type is set aside, so that the rest is checked as well."""
    try:
        space = SearchSpace.model_validate(content)
        return space, faults_of(space)
    except ValidationError as error:
        faults = type_faults(error, content)
    try:
        rest = SearchSpace.model_validate(_without(content, faults))
    except ValidationError:
        return None, faults
    return None, faults + [fault for fault in faults_of(rest) if not _follows(fault, faults, rest)]


def _without(content: dict[str, Any], faults: list[Fault]) -> dict[str, Any]:
    """The content without its faulty keys; what must be there and is not gets a value that breaks no rule."""
    rest: dict[Any, Any] = deepcopy(content)
    for top, *below in (fault.path for fault in faults):
        if top == "baselines" and len(below) == 2:
            rest[top][below[0]].pop(below[1], None)
        elif top == "baselines" and below:
            rest[top][below[0]] = {}
        elif below and isinstance(rest.get(top), dict):
            rest[top].pop(below[0], None)
        else:
            rest.pop(top, None)
    for key in ("scheduler", "sampler"):
        if isinstance(rest.get(key), dict) and "type" not in rest[key]:
            rest.pop(key)
    return {"description": "-", "trials": MOST_TRIALS, "epochs": 100_000, "search": {}, **rest}


def _follows(fault: Fault, faults: list[Fault], rest: SearchSpace) -> bool:
    """Whether a rule is broken only because something faulty was set aside."""
    faulty = {path[0] for path, _ in faults}
    top, *below = fault.path
    if fault.path in (("search",), ("trials",)):
        return bool(faulty & {"search", "baselines", "trials"})
    if top == "baselines":
        if len(below) == 2:
            return "search" in faulty and below[1] not in rest.dimensions
        return bool(faulty & {"search", "baselines"})
    return top == "scheduler" and top in faulty and below[0] not in rest.scheduler.model_fields_set


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


def _read(path: Path) -> _Document:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        content = yaml.load(text, _Loader)
        lines = _lines(yaml.compose(text, _Loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise SpaceError(f"{path}: {line}not YAML: {printable(' '.join(problem.split()))}") from None
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise SpaceError(f"{path}: line {number}: not UTF-8: byte 0x{error.object[error.start]:02x}") from None
    except RecursionError:
        raise SpaceError(f"{path}: not YAML: nested too deeply, or an anchor holds itself") from None
    except OSError as error:
        raise SpaceError(f"{path}: cannot be read: {error.strerror}") from None
    if not isinstance(content, dict):
        found = {type(None): "is empty", list: "is a list"}.get(type(content), "is one value")
        raise SpaceError(f"{path}: {found}, not keys and values; see search_spaces/quick.yaml")
    return _Document(path, content, lines)


def _lines(node: yaml.Node | None, path: space_rules.Path = ()) -> dict[space_rules.Path, int]:
    """The line of every key, by its path."""
    lines: dict[space_rules.Path, int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*path, key.value)] = key.start_mark.line + 1
            lines.update(_lines(value, (*path, key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, index)] = value.start_mark.line + 1
            lines.update(_lines(value, (*path, index)))
    return lines


def _apply(document: _Document, overrides: Overrides) -> None:
    document.content = deepcopy(document.content)
    for key in ("trials", "epochs", "dataset"):
        value = getattr(overrides, key)
        if value is not None:
            _assign(document, (key,), value, f"--{key} {value}")
    for setting in overrides.settings:
        key, equals, text = setting.partition("=")
        option = f"--set {printable(setting)}"
        if not equals or not key.strip():
            raise SpaceError(f"{option}: expected key=value, such as batch_size=256 or scheduler.type=none")
        _set(document, key.strip(), _scalar(text, option), option)
    _follow_grid(document, overrides)
    _shorten_grace(document, overrides)


def _shorten_grace(document: _Document, overrides: Overrides) -> None:
    """--epochs below the file's grace is a short try of the study: then every trial has all its epochs."""
    scheduler = document.content.get("scheduler")
    if overrides.epochs is None or not isinstance(scheduler, dict) or ("scheduler", "grace_epochs") in document.options:
        return
    grace = scheduler.get("grace_epochs")
    if isinstance(grace, int) and grace > overrides.epochs:
        scheduler["grace_epochs"] = overrides.epochs


def _follow_grid(document: _Document, overrides: Overrides) -> None:
    """A grid made on the command line sets the number of trials, unless that is given too."""
    if overrides.trials is not None or ("sampler", "type") not in document.options:
        return
    try:
        space = SearchSpace.model_validate(document.content)
    except ValidationError:
        return
    if space.sampler.type == "grid" and not faults_of(space.model_copy(update={"trials": grid_size(space.dimensions)})):
        document.content["trials"] = grid_size(space.dimensions)


def _scalar(text: str, option: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError):
        raise SpaceError(f"{option}: '{printable(text)}' is not a value") from None


def _set(document: _Document, key: str, value: Any, option: str) -> None:
    """A hyperparameter leaves the search and is fixed; a dotted key changes that part of the space."""
    if "." in key:
        _assign(document, tuple(key.split(".")), value, option)
        return
    if key not in SEARCHABLE:
        keys = [*SEARCHABLE, "scheduler.type", "sampler.type"]
        if key in SearchSpace.model_fields:
            raise SpaceError(f"{option}: {key} is not a hyperparameter; {_instead(key)}")
        raise SpaceError(f"{option}: no such hyperparameter{nearest(key, keys)}")
    baselines = document.content.get("baselines")
    for part in [document.content.get("search"), *(baselines if isinstance(baselines, list) else [])]:
        if isinstance(part, dict):
            part.pop(key, None)
    if isinstance(baselines, list):
        document.content["baselines"] = [part for i, part in enumerate(baselines) if part and part not in baselines[:i]]
    _assign(document, ("fixed", key), value, option)


def _instead(key: str) -> str:
    if key in ("trials", "epochs", "dataset"):
        return f"use --{key}"
    return f"use a dotted key, such as {key}.type=..." if key in ("scheduler", "sampler") else "change it in the file"


def _assign(document: _Document, path: tuple[str, ...], value: Any, option: str) -> None:
    part = document.content
    for length, key in enumerate(path[:-1], start=1):
        if not isinstance(part.get(key), dict):
            part[key] = {}
            document.options[path[:length]] = option
        part = part[key]
    if path[-1] == "type" and part.get("type") != value:
        part.clear()  # another type has other settings
    part[path[-1]] = value
    document.options[path] = option


def _report(document: _Document, faults: list[Fault]) -> str:
    lines = [f"{document.where(fault.path)}: {fault.message}" for fault in faults]
    path = document.path
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    if len(lines) == 1:
        return f"{path}: {lines[0]}"
    return "\n".join([f"{path}: {len(lines)} faults", *(f"  {line}" for line in lines)])
