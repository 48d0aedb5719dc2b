"""The command line's changes to a space's file: --trials, --epochs, --dataset and --set."""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import yaml

from tuning.errors import SpaceError
from tuning.space.dimensions import listed
from tuning.space.document import Document, Loader
from tuning.space.faults import nearest, printable, sound_part
from tuning.space.model import MOST_TRIALS, SEARCHABLE, SearchSpace
from tuning.space.rules import dimension_faults

SETTABLE = ("repeats", "metric", "keep_models")  # by --set, besides the hyperparameters


@dataclass
class Overrides:
    """What the command line changes; None keeps what the file says."""

    trials: int | None = None
    epochs: int | None = None
    dataset: str | None = None
    settings: list[str] = field(default_factory=list)
    keep_models: int | None = None
    confirm: dict[str, int] | None = None  # what it gives of tuning.space.model.Confirm


def apply(document: Document, overrides: Overrides) -> None:
    """Change the document's content, and note which option changed what. Raises SpaceError."""
    # The changes are made to plain values, before anything is checked: the file and the options are then checked
    # together, once, and a fault names the option if one wrote the value.
    in_file = document.content
    document.content = deepcopy(document.content)
    for key in ("trials", "epochs", "dataset", "keep_models"):
        value = getattr(overrides, key)
        if value is not None:
            _assign(document, (key,), value, f"--{key.replace('_', '-')} {printable(str(value))}")
    confirm = overrides.confirm or {}
    for key, value in confirm.items():
        _assign(document, ("confirm", key), value, f"--confirm {'x'.join(map(str, confirm.values()))}")
    for setting in overrides.settings:
        key, equals, text = setting.partition("=")
        option = f"--set {printable(setting)}"
        if not equals or not key.strip():
            raise SpaceError(f"{option}: expected key=value, such as batch_size=256 or scheduler.type=none")
        _set(document, key.strip(), scalar(text, option), option)
    # Last, what the file says of trials and grace follows the changes, unless an option says it.
    if overrides.trials is None and _changes_grid(document, in_file.get("search")):
        _follow_grid(document)
    _shorten_grace(document, overrides)


def scalar(text: str, option: str) -> Any:
    """A value as it would stand in the file. Raises SpaceError."""
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError):
        raise SpaceError(f"{option}: '{printable(text)}' is not a value") from None


def _set(document: Document, key: str, value: Any, option: str) -> None:
    """Fix a hyperparameter instead of searching it; a dotted key changes that part of the space."""
    if "." in key or key in SETTABLE:
        _assign(document, tuple(key.split(".")), value, option)
        return
    if key not in SEARCHABLE:
        keys = [*SEARCHABLE, *SETTABLE, "scheduler.type", "sampler.type"]
        if key in SearchSpace.model_fields:
            raise SpaceError(f"{option}: {key} is not a hyperparameter; {_instead(key)}")
        raise SpaceError(f"{option}: no such hyperparameter{nearest(key, keys)}")
    _take_out(document, key, value)
    _assign(document, ("fixed", key), value, option)


def _instead(key: str) -> str:
    if key in ("trials", "epochs", "dataset", "confirm"):
        return f"use --{key}"
    return f"use a dotted key, such as {key}.type=..." if key in ("scheduler", "sampler") else "change it in the file"


def _assign(document: Document, path: tuple[str, ...], value: Any, option: str) -> None:
    """Write a value at this path, and on the way there the parts that are missing."""
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


def _take_out(document: Document, key: str, value: Any) -> None:
    """Take a hyperparameter that is now fixed out of the search and the baselines."""
    search, baselines = document.content.get("search"), document.content.get("baselines")
    conditions = {name: _conditions(part)[key] for name, part in _items(search) if key in _conditions(part)}
    # A dimension that is searched only with another value of the hyperparameter goes with it, and so does a baseline
    # of another value: it has, or lacks, a value of such a dimension, and is no configuration of this search.
    if isinstance(baselines, list):
        kept = [part for part in baselines if not (conditions and _items(part) and part.get(key, value) != value)]
        document.content["baselines"] = baselines = kept
    gone = [key, *(name for name, wanted in conditions.items() if value not in listed(wanted))]
    for part in [search, *(baselines if isinstance(baselines, list) else [])]:
        if isinstance(part, dict):
            for name in gone:
                part.pop(name, None)
    if document.content.get("compare") in gone:
        del document.content["compare"]
    # Baselines that differed only in what was taken out are now equal, or empty.
    if isinstance(baselines, list):
        document.content["baselines"] = [part for i, part in enumerate(baselines) if part and part not in baselines[:i]]


def _items(part: Any) -> list[tuple[str, Any]]:
    """The keys and values of a part of the file; [] where it has none, which is reported later."""
    return list(part.items()) if isinstance(part, dict) else []


def _conditions(dimension: Any) -> dict[str, Any]:
    """What a dimension of the file has under `when`."""
    return dict(_items(dict(_items(dimension)).get("when")))


def _changes_grid(document: Document, in_file: Any) -> bool:
    """Whether an option can have changed the points of a grid. in_file: what the file searches."""
    dimensions = in_file if isinstance(in_file, dict) else {}
    named = {key for dimension in dimensions.values() for key in _conditions(dimension)}
    return any(
        path == ("sampler", "type") or path[0] == "search" or (path[0] == "fixed" and path[-1] in named | {*dimensions})
        for path in document.options
    )


def _follow_grid(document: Document) -> None:
    """A grid that the command line made or changed gets as many trials as it has points."""
    space, _ = sound_part(document.content)
    if space is None or space.sampler.type != "grid" or any(dimension_faults(space).values()):
        return
    if 1 <= space.grid_size <= MOST_TRIALS:
        document.content["trials"] = space.grid_size


def _shorten_grace(document: Document, overrides: Overrides) -> None:
    """--epochs below the file's grace is a short try of the study: every trial then has all its epochs."""
    scheduler = document.content.get("scheduler")
    if overrides.epochs is None or not isinstance(scheduler, dict) or ("scheduler", "grace_epochs") in document.options:
        return
    grace = scheduler.get("grace_epochs")
    if isinstance(grace, int) and grace > overrides.epochs:
        scheduler["grace_epochs"] = overrides.epochs
