"""A space's plain values -> SearchSpace and all its faults, those of its types and those of its rules."""

from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from tuning.space.faults import Fault
from tuning.space.model import MOST_TRIALS, SearchSpace
from tuning.space.rules import faults_of
from tuning.space.words import type_faults

# What decides which modes there are: where it is at fault, a metric that does not go with the mode only follows.
OF_THE_MODE = {("search",), ("fixed",), ("search", "mode"), ("fixed", "mode")}


def validated(content: dict[str, Any]) -> tuple[SearchSpace | None, list[Fault]]:
    """The space and its faults. What does not fit its type is set aside, so that the rest is checked as well."""
    rest, faults = sound_part(content)
    if rest is None:
        return None, faults
    if not faults:
        return rest, faults_of(rest)
    return None, faults + [fault for fault in faults_of(rest) if not _follows(fault, faults, rest)]


def sound_part(content: dict[str, Any]) -> tuple[SearchSpace | None, list[Fault]]:
    """The space without what does not fit its type, and the faults of that; None where nothing is left."""
    try:
        return SearchSpace.model_validate(content), []
    except ValidationError as error:
        faults = type_faults(error, content)
    try:
        return SearchSpace.model_validate(_without(content, faults)), faults
    except ValidationError:
        return None, faults


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
    if "scheduler" in content and "scheduler" not in rest:
        rest["scheduler"] = {"type": "none"}
    return {"description": "-", "trials": MOST_TRIALS, "epochs": 100_000, "search": {}, **rest}


def _follows(fault: Fault, faults: list[Fault], rest: SearchSpace) -> bool:
    """Whether a rule is broken only because something faulty was set aside."""
    faulty = {path[0] for path, _ in faults}
    top, *below = fault.path
    if fault.path in (("search",), ("trials",)):
        return bool(faulty & {"search", "baselines", "trials"})
    if fault.path == ("metric",):
        return "metric" in faulty or any(path[:2] in OF_THE_MODE for path, _ in faults)
    if top == "search" and below[1:2] == ["when"] and len(below) == 3:  # about a hyperparameter that was set aside
        return any(path[:2] in (("search",), ("search", below[2]), ("fixed", below[2])) for path, _ in faults)
    if top == "baselines":
        if len(below) == 2:
            return "search" in faulty and below[1] not in rest.dimensions
        return bool(faulty & {"search", "baselines"})
    return top == "scheduler" and top in faulty and below[0] not in rest.scheduler.model_fields_set
