"""A space's YAML file as plain values, with the line of every key, for messages that say where."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tuning.errors import SpaceError
from tuning.space.faults import KeyPath, printable

MOST_INTEGER = 2**63


class _Reference(yaml.MarkedYAMLError):
    """An anchor or an alias."""


class Loader(yaml.SafeLoader):
    """YAML with its traps closed.

    1e-3 is a number. A key is a word, and one that appears twice is an error. Anchors and aliases are refused: a few
    lines of lists that name each other stand for billions of values.
    """

    # The loader works in two steps, each a place for some of the traps: it composes a tree of nodes from the text,
    # where an alias is still an event of its own, then it constructs Python's values from the nodes.
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:  # an alias has the name of its anchor
            problem = f"anchors and aliases (&{event.anchor}, *{event.anchor}) are not allowed; write the values out"
            raise _Reference(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str) or key in seen:
                problem = f"key {key!r} " + ("appears twice" if isinstance(key, str) else "is not a word")
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


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


@dataclass
class Document:
    """The file's content as plain values, and where each key came from: a line, or an option of the command line."""

    path: Path
    content: Any
    lines: dict[KeyPath, int]
    options: dict[KeyPath, str] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """'line 7, search.beta.low' or '--set beta=x (fixed.beta)', of the nearest key that is there."""
        keys = printable(".".join(map(str, path)))
        for length in range(len(path), 0, -1):
            if path[:length] in self.options:
                return f"{self.options[path[:length]]} ({keys})"
            if path[:length] in self.lines:
                return f"line {self.lines[path[:length]]}, {keys}"
        return keys or "the whole file"


def read(path: Path) -> Document:
    """The file as keys and values. Raises SpaceError."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        content = yaml.load(text, Loader)
        lines = _lines(yaml.compose(text, Loader))
    except yaml.YAMLError as error:
        raise SpaceError(f"{path}: {_yaml_problem(error)}") from None
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise SpaceError(f"{path}: line {number}: not UTF-8: byte 0x{error.object[error.start]:02x}") from None
    except RecursionError:
        raise SpaceError(f"{path}: not YAML: nested too deeply") from None
    except OSError as error:
        raise SpaceError(f"{path}: cannot be read: {error.strerror}") from None
    if not isinstance(content, dict):
        found = {type(None): "is empty", list: "is a list"}.get(type(content), "is one value")
        raise SpaceError(f"{path}: {found}, not keys and values; see search_spaces/quick.yaml")
    return Document(path, content, lines)


def _yaml_problem(error: yaml.YAMLError) -> str:
    """'line 3: not YAML: ...'"""
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1}: " if mark else ""
    problem = printable(" ".join((getattr(error, "problem", None) or str(error)).split()))
    return f"{line}{problem}" if isinstance(error, _Reference) else f"{line}not YAML: {problem}"


def _lines(node: yaml.Node | None, path: KeyPath = ()) -> dict[KeyPath, int]:
    """The line of every key, by its path."""
    lines: dict[KeyPath, int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*path, key.value)] = key.start_mark.line + 1
            lines.update(_lines(value, (*path, key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, index)] = value.start_mark.line + 1
            lines.update(_lines(value, (*path, index)))
    return lines
