"""Fault: one thing wrong with a search space; and what pydantic finds wrong, in the words of the space's file."""

import difflib
import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, NamedTuple, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tuning.space.dimensions import Dimension
from tuning.space.model import METRICS, MOST_TRIALS, REFUSED_METRICS, SEARCHABLE, Confirm, SearchSpace, type_of
from tuning.space.samplers import Sampler
from tuning.space.schedulers import Scheduler
from vae.datasets.names import suggestion

KeyPath = tuple[str | int, ...]  # of keys and of places in a list: ("search", "beta", "low")
LONGEST = 80  # characters of a value that are shown
EXPECTED = {
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "dict_type": "keys and values",
    "list_type": "a list",
}
TAG_POSITIONS = {"search": 2, "scheduler": 1, "sampler": 1}

_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(type_of(name), config=ConfigDict(strict=True, allow_inf_nan=False)) for name in SEARCHABLE
}


class Fault(NamedTuple):
    """One thing wrong with a space: where it is, and what would be right."""

    path: KeyPath
    message: str


# ---- words


def value_problem(name: str, value: Any) -> str:
    """What is wrong with this value of this hyperparameter, '' where nothing is."""
    try:
        _ADAPTERS[name].validate_python(value)
    except ValidationError as error:
        return f"{shown(value)} for {name}: {_lower(error.errors()[0]['msg'])}"
    return ""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """'; did you mean 'beta'? allowed: ...'"""
    allowed = list(allowed)
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ";"
    return f"{hint} allowed: {', '.join(allowed)}"


def shown(value: Any) -> str:
    """A value as Python writes it, cut where nobody would read on."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def printable(text: str) -> str:
    """Text on one line, cut where nobody would read on, with what cannot be printed as Python writes it."""
    line = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    return line if len(line) <= 2 * LONGEST else f"{line[: 2 * LONGEST]}..."


def _lower(text: str) -> str:
    return f"{text[:1].lower()}{text[1:]}"


# ---- faults of types


def sound_part(content: dict[str, Any]) -> tuple[SearchSpace | None, list[Fault]]:
    """The space without what does not fit its type, None where nothing is left; and the faults of what does not."""
    try:
        return SearchSpace.model_validate(content), []
    except ValidationError as error:
        faults = _type_faults(error, content)
    try:
        return SearchSpace.model_validate(_without(content, faults)), faults
    except ValidationError:
        return None, faults


def _without(content: dict[str, Any], faults: list[Fault]) -> dict[str, Any]:
    """The content without its faulty parts, complete enough to be a space."""
    rest: dict[Any, Any] = deepcopy(content)
    # A faulty key takes with it the smallest part that means something without it: one value of a baseline, one
    # baseline, one hyperparameter or setting, or all that stands under a key of the top level.
    for top, *below in (fault.path for fault in faults):
        if top == "baselines" and len(below) == 2:
            rest[top][below[0]].pop(below[1], None)
        elif top == "baselines" and below:
            rest[top][below[0]] = {}  # not removed: the places of the others are in their faults
        elif below and isinstance(rest.get(top), dict):
            rest[top].pop(below[0], None)
        else:
            rest.pop(top, None)
    for key in ("scheduler", "sampler"):
        if isinstance(rest.get(key), dict) and "type" not in rest[key]:
            rest.pop(key)
    # What a space must have and now lacks gets a value that breaks no rule, or the rules would report what the user
    # did not write: none instead of the default scheduler, the most trials and epochs, and an empty search.
    if "scheduler" in content and "scheduler" not in rest:
        rest["scheduler"] = {"type": "none"}
    return {"description": "-", "trials": MOST_TRIALS, "epochs": 100_000, "search": {}, **rest}


def _type_faults(error: ValidationError, content: dict[str, Any]) -> list[Fault]:
    """Each value that does not fit its type, once."""
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


def _path(loc: tuple[str | int, ...]) -> KeyPath:
    """pydantic's location without the tags of its unions, which are not keys of the file."""
    tag = TAG_POSITIONS.get(str(loc[0]), len(loc))
    path = loc[:tag] + loc[tag + 1 :]
    return path[:4] if path[0] == "search" else path  # choices.0 and when.y are unions without a tag


def _message(item: Any, path: KeyPath, content: dict[str, Any]) -> str:
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
    return f"{what}: {_lower(item['msg'])}"


def _models(path: KeyPath) -> dict[str, Any]:
    """The models that may stand at this place, by their type."""
    union = {"scheduler": Scheduler, "sampler": Sampler}.get(str(path[0]), Dimension)
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(union)[0])}


def _allowed(path: KeyPath, content: dict[str, Any]) -> list[str]:
    """The keys that may stand at this place."""
    if not path:
        return list(SearchSpace.model_fields)
    if path in (("search",), ("fixed",)) or path[0] == "baselines":
        return list(SEARCHABLE)
    if path == ("confirm",):
        return list(Confirm.model_fields)
    part: Any = content
    for key in path:
        part = part[key]
    return list(_models(path)[part["type"]].model_fields)
