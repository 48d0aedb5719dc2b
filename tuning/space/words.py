"""What pydantic finds wrong with a space, in the words of its file: the key, the value, what is allowed."""

import re
from typing import Any, get_args

from pydantic import ValidationError

from tuning.space.dimensions import Dimension
from tuning.space.faults import Fault, Path, nearest, shown
from tuning.space.model import METRICS, REFUSED_METRICS, SEARCHABLE, Sampler, Scheduler, SearchSpace
from vae.datasets.registry import suggestion

EXPECTED = {
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "dict_type": "keys and values",
    "list_type": "a list",
}
TAG_POSITIONS = {"search": 2, "scheduler": 1, "sampler": 1}


def type_faults(error: ValidationError, content: dict[str, Any]) -> list[Fault]:
    """Each thing that does not fit its type, once."""
    return list(dict.fromkeys(_fault(item, content) for item in error.errors()))


def _fault(item: Any, content: dict[str, Any]) -> Fault:
    """One of pydantic's errors in our words."""
    path = _path(item["loc"])
    if item["type"] == "union_tag_invalid":
        tag = item["ctx"]["tag"]
        return Fault((*path, "type"), f"{shown(tag)}{nearest(str(tag), _models(path))}")
    metric = item["input"] if path == ("metric",) else None
    if isinstance(metric, str) and metric in REFUSED_METRICS:
        allowed = ", ".join(METRICS)
        return Fault(path, f"{metric} cannot rank trials: {REFUSED_METRICS[metric]}; allowed: {allowed}")
    return Fault(path, _message(item, path, content))


def _path(loc: tuple[str | int, ...]) -> Path:
    """pydantic's location without the tags of its unions, which are not keys of the file."""
    tag = TAG_POSITIONS.get(str(loc[0]), len(loc))
    path = loc[:tag] + loc[tag + 1 :]
    return path[:4] if path[0] == "search" else path  # choices.0 and when.y are unions without a tag


def _message(item: Any, path: Path, content: dict[str, Any]) -> str:
    given, kind = item["input"], item["type"]
    if path == ("dataset",):
        return f"{shown(given)}{suggestion(str(given))}"
    if kind == "extra_forbidden":
        if path[-1] == "epochs":
            return "epochs is the budget of the whole space; set it at the top level, or with --epochs"
        return f"no such key{nearest(str(path[-1]), _allowed(path[:-1], content))}"
    if kind in ("missing", "union_tag_not_found"):
        return "missing" if kind == "missing" else f"'type' is missing; allowed: {', '.join(_models(path))}"
    if kind == "literal_error":
        choices = [choice.strip("' ") for choice in re.split(r", | or ", item["ctx"]["expected"])]
        return f"{shown(given)}{nearest(str(given), choices)}"
    if len(path) > 1 and path[-2] == "choices":
        return f"{shown(given)}: expected a number or a word"
    if len(path) == 4 and path[2] == "when":
        whole = content["search"][path[1]]["when"][path[3]]
        return f"{shown(whole)}: expected a number or a word, or a list of them"
    what = shown(given) if not isinstance(given, dict) else "keys and values"
    if kind in EXPECTED:
        return f"{what}: expected {EXPECTED[kind]}"
    return f"{what}: {item['msg'][:1].lower()}{item['msg'][1:]}"


def _models(path: Path) -> dict[str, Any]:
    """What may stand at this place, by its type."""
    union = {"scheduler": Scheduler, "sampler": Sampler}.get(str(path[0]), Dimension)
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(union)[0])}


def _allowed(path: Path, content: dict[str, Any]) -> list[str]:
    """The keys that may stand at this place."""
    if not path:
        return list(SearchSpace.model_fields)
    if path in (("search",), ("fixed",)) or path[0] == "baselines":
        return list(SEARCHABLE)
    part: Any = content
    for key in path:
        part = part[key]
    return list(_models(path)[part["type"]].model_fields)
