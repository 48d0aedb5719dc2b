"""A space's YAML file and the command line's changes to it -> SearchSpace, or every fault at once."""

import difflib
import re
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from tuning import space as space_module
from tuning.errors import SpaceError
from tuning.space import METRICS, REFUSED_METRICS, SEARCHABLE, Fault, SearchSpace, faults_of

EXPECTED = {"model_type": "keys and values", "model_attributes_type": "keys and values", "list_type": "a list"}
SPACES = Path(__file__).resolve().parent.parent / "search_spaces"


class _Loader(yaml.SafeLoader):
    """YAML with the two traps closed: 1e-3 is a number, and a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            if isinstance(key, list | dict) or key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} stands twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(  # type: ignore[no-untyped-call]
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
    lines: dict[space_module.Path, int]
    options: dict[space_module.Path, str] = field(default_factory=dict)

    def where(self, path: space_module.Path) -> str:
        """'line 7  search.beta.low' or '--set beta=x', for the nearest key that is there."""
        keys = ".".join(map(str, path))
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
        faults = list(dict.fromkeys(_fault(item, content) for item in error.errors()))
    try:
        rest = SearchSpace.model_validate(_without(content, faults))
    except ValidationError:
        return None, faults
    return None, faults + [fault for fault in faults_of(rest) if fault.path not in (("search",), ("trials",))]


def _without(content: dict[str, Any], faults: list[Fault]) -> dict[str, Any]:
    """The content without its faulty keys; what must be there and is not gets a value that breaks no rule."""
    rest = deepcopy(content)
    for top, *below in (fault.path for fault in faults):
        if below and isinstance(rest.get(top), dict):
            rest[top].pop(below[0], None)
        else:
            rest.pop(top, None)
    for key in ("scheduler", "sampler"):
        if "type" not in (rest.get(key) or {"type": ""}):
            rest.pop(key)
    return {"description": "-", "trials": 100_000, "epochs": 100_000, "search": {}, **rest}


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or len(path.parts) != 1:
        if not path.is_file():
            raise SpaceError(f"--space {name_or_path}: no such file")
        return path
    names = sorted(found.stem for found in SPACES.glob("*.yaml"))
    if name_or_path not in names:
        raise SpaceError(f"--space {name_or_path}: no such space{_nearest(name_or_path, names)}")
    return SPACES / f"{name_or_path}.yaml"


def _nearest(name: str, allowed: Iterable[str]) -> str:
    """'; did you mean 'beta'? allowed: ...'"""
    allowed = list(allowed)
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ";"
    return f"{hint} allowed: {', '.join(allowed)}"


def _read(path: Path) -> _Document:
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, _Loader)
        lines = _lines(yaml.compose(text, _Loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise SpaceError(f"{path}: {line}not YAML: {problem}") from None
    except (UnicodeDecodeError, OSError, RecursionError) as error:
        raise SpaceError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SpaceError(f"{path}: holds {type(content).__name__}, not keys and values; see search_spaces/quick.yaml")
    return _Document(path, content, lines)


def _lines(node: yaml.Node | None, path: space_module.Path = ()) -> dict[space_module.Path, int]:
    """The line of every key, by its path."""
    lines: dict[space_module.Path, int] = {}
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
        if not equals or not key.strip():
            raise SpaceError(f"--set {setting}: expected key=value, such as batch_size=256 or scheduler.type=none")
        _set(document, key.strip(), _scalar(text, setting), f"--set {setting}")
    _follow_grid(document, overrides)


def _follow_grid(document: _Document, overrides: Overrides) -> None:
    """A grid made on the command line sets the number of trials, unless that is given too."""
    if overrides.trials is not None or ("sampler", "type") not in document.options:
        return
    try:
        space = SearchSpace.model_validate(document.content)
    except ValidationError:
        return
    if space.sampler.type == "grid" and (n_points := len(space.first_trials)):
        document.content["trials"] = n_points


def _scalar(text: str, setting: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        raise SpaceError(f"--set {setting}: '{text}' is not a value") from None


def _set(document: _Document, key: str, value: Any, option: str) -> None:
    """A hyperparameter leaves the search and is fixed; a dotted key changes that part of the space."""
    if "." in key:
        _assign(document, tuple(key.split(".")), value, option)
        return
    if key not in SEARCHABLE:
        keys = [*SEARCHABLE, "scheduler.type", "sampler.type"]
        if key in SearchSpace.model_fields:
            raise SpaceError(f"{option}: {key} is not a hyperparameter; {_instead(key)}")
        raise SpaceError(f"{option}: no such hyperparameter{_nearest(key, keys)}")
    for part in [document.content.get("search"), *(document.content.get("baselines") or [])]:
        if isinstance(part, dict):
            part.pop(key, None)
    document.content["baselines"] = [part for part in document.content.get("baselines") or [] if part]
    _assign(document, ("fixed", key), value, option)


def _instead(key: str) -> str:
    if key in ("trials", "epochs", "dataset"):
        return f"use --{key}"
    return f"use a dotted key, such as {key}.type=..." if key in ("scheduler", "sampler") else "change it in the file"


def _assign(document: _Document, path: tuple[str, ...], value: Any, option: str) -> None:
    part = document.content
    for key in path[:-1]:
        if not isinstance(part.get(key), dict):
            part[key] = {}
        part = part[key]
    if path[-1] == "type" and part.get("type") != value:
        part.clear()  # another type has other settings
    part[path[-1]] = value
    document.options[path] = option


def _fault(item: Any, content: dict[str, Any]) -> Fault:
    """One of pydantic's errors in our words."""
    path = _path(item["loc"], content)
    metric = item["input"] if path == ("metric",) else None
    if isinstance(metric, str) and metric in REFUSED_METRICS:
        allowed = ", ".join(METRICS)
        return Fault(path, f"{metric} cannot rank trials: {REFUSED_METRICS[metric]}; allowed: {allowed}")
    return Fault(path, _message(item, path, content))


def _path(loc: tuple[str | int, ...], content: Any) -> space_module.Path:
    """pydantic's location without the union tags, which are not keys of the file."""
    path: list[str | int] = []
    for position, part in enumerate(loc):
        is_key = (isinstance(content, dict) and part in content) or (isinstance(content, list) and part != "")
        if not is_key and position < len(loc) - 1:
            continue
        path.append(part)
        content = content[part] if is_key and not isinstance(content, str) else None
    return tuple(path)


def _message(item: Any, path: space_module.Path, content: dict[str, Any]) -> str:
    given, kind, context = item["input"], item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        if path[-1] == "epochs":
            return "epochs is the budget of the whole space; set it at the top level, or with --epochs"
        return f"no such key{_nearest(str(path[-1]), _allowed(path[:-1], content))}"
    if kind in ("missing", "union_tag_not_found"):
        return "missing" if kind == "missing" else f"'type' is missing; allowed: {_types(path)}"
    if kind == "union_tag_invalid":
        tags = context["expected_tags"].replace("'", "").split(", ")
        return f"type {context['tag']!r}{_nearest(str(context['tag']), tags)}"
    if kind == "literal_error":
        choices = [choice.strip("' ") for choice in re.split(r", | or ", context["expected"])]
        return f"{given!r}{_nearest(str(given), choices)}"
    shown = repr(given) if not isinstance(given, dict) else "keys and values"
    if kind in EXPECTED:
        return f"{shown}: expected {EXPECTED[kind]}"
    return f"{shown}: {item['msg'][:1].lower()}{item['msg'][1:]}"


def _types(path: space_module.Path) -> str:
    union = {"scheduler": space_module.Scheduler, "sampler": space_module.Sampler}.get(
        str(path[0]), space_module.Dimension
    )
    return ", ".join(get_args(model.model_fields["type"].annotation)[0] for model in get_args(get_args(union)[0]))


def _allowed(path: space_module.Path, content: dict[str, Any]) -> list[str]:
    """The keys that may stand at this place."""
    if not path:
        return list(SearchSpace.model_fields)
    if path in (("search",), ("fixed",)) or path[0] == "baselines":
        return list(SEARCHABLE)
    union = {"scheduler": space_module.Scheduler, "sampler": space_module.Sampler}.get(
        str(path[0]), space_module.Dimension
    )
    part: Any = content
    for key in path:
        part = part[key]
    models = {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(union)[0])}
    return list(models[part["type"]].model_fields)


def _report(document: _Document, faults: list[Fault]) -> str:
    lines = [f"{document.where(fault.path)}: {fault.message}" for fault in faults]
    path = document.path
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    if len(lines) == 1:
        return f"{path}: {lines[0]}"
    return "\n".join([f"{path}: {len(lines)} faults", *(f"  {line}" for line in lines)])
