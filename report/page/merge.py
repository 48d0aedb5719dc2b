"""One page of several sweeps, made from the pages that they have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report.page.document import PAGE_FILE, embedded
from vae.errors import UserError

Data = dict[str, Any]  # of a page, see report.page.contents
COMPARABLE = ("likelihood", "variance", "binarize")  # settings that decide what a nat is a nat of


def read_page(folder: Path) -> Data:
    """The data of a sweep's page; `folder`: the sweep's, its report's, or the file itself. Raises UserError."""
    places = [folder / "report" / PAGE_FILE, folder / PAGE_FILE, folder]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        where = f"{folder}: has no report/{PAGE_FILE}"
        raise UserError(f"{where}; build it with: python sweep.py --report {folder.name} --storage {folder.parent}")
    try:
        return embedded(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not the page of a sweep ({error})") from None


def merged(pages: Sequence[Data]) -> Data:
    """The data of one page: all trials, the best first. Raises UserError where their numbers cannot be compared."""
    _refuse_incomparable(pages)
    names = _names([page["sweeps"][0]["name"] for page in pages])
    trials = [(page, name, i) for page, name in zip(pages, names, strict=True) for i in range(page["n"])]
    trials.sort(key=lambda one: _order(one[0], one[2]))
    album: dict[str, int] = {}
    search = _search(pages)
    return {
        "built": max(page["built"] for page in pages),
        "rebuilt_every": pages[0]["rebuilt_every"],
        "sweeps": [_head(page, name, album) for page, name in zip(pages, names, strict=True)],
        "metric": pages[0]["metric"],
        "search": search,
        "n": len(trials),
        "columns": {
            "sweep": [name for _, name, _ in trials],
            **{name: [_value(page, name, i) for page, _, i in trials] for name in _column_names(pages)},
        },
        "seed_moves": None,  # each sweep has its own
        "config": pages[0]["config"],
        "given": _given(trials, [dimension["name"] for dimension in search]),
        "curves": [page["curves"][i] for page, _, i in trials],
        "pictures": [_pictures(page, i, album) for page, _, i in trials],
        "images": list(album),
    }


def _refuse_incomparable(pages: Sequence[Data]) -> None:
    first, *others = pages
    for other in others:
        for what, of in _basis(first).items():
            if of != _basis(other)[what]:
                names = " and ".join(page["sweeps"][0]["name"] for page in (first, other))
                raise UserError(f"{names} cannot be compared: {what} {of} and {_basis(other)[what]}")


def _basis(page: Data) -> dict[str, str]:
    """What must be the same for two nats to be the same, in words."""
    height, width = page["sweeps"][0]["image_shape"]
    found = {"ranked by": page["metric"]["name"], "images of": f"{height} x {width} pixels"}
    for name in COMPARABLE:
        values = sorted({str(_value(page, name, i)) for i in range(page["n"])})
        found[name] = ", ".join(values)
    return found


def _names(names: Sequence[str]) -> list[str]:
    """Each name once: a second sweep of the same name is 'name-2'."""
    return [name if names.index(name) == k else f"{name}-{k + 1}" for k, name in enumerate(names)]


def _value(page: Data, name: str, i: int) -> Any:
    column = page["columns"].get(name)
    return column[i] if isinstance(column, list) else (column or {}).get("all")


def _order(page: Data, i: int) -> tuple[bool, float]:
    metric = "val_distortion" if page["metric"]["sign"] < 0 or _value(page, "val_elbo", i) is None else "val_elbo"
    value = _value(page, metric, i)
    if value is None or _value(page, "state", i) == "failed":
        return True, 0.0
    return False, -value if metric == "val_elbo" else value


def _column_names(pages: Sequence[Data]) -> list[str]:
    return list(dict.fromkeys(name for page in pages for name in page["columns"]))


def _search(pages: Sequence[Data]) -> list[dict[str, Any]]:
    """The searched dimensions of all, each as wide as in the sweeps that search it."""
    found: dict[str, dict[str, Any]] = {}
    for dimension in (one for page in pages for one in page["search"]):
        known = found.get(dimension["name"])
        found[dimension["name"]] = dimension if known is None else _wider(known, dimension)
    return list(found.values())


def _wider(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    if "choices" in one and "choices" in other:
        return one | {"choices": list(dict.fromkeys([*one["choices"], *other["choices"]]))}
    if "choices" in one or "choices" in other:
        return {"name": one["name"], "label": one["label"], "type": "float"}  # a range here, some values there
    ends = {"low": min(one["low"], other["low"]), "high": max(one["high"], other["high"])}
    return one | ends | {"log": bool(one.get("log")) and bool(other.get("log"))}


def _given(trials: Sequence[tuple[Data, str, int]], search: Sequence[str]) -> dict[str, list[bool]]:
    """A sweep that fixes what another one searches has it in all its trials."""
    found = {}
    for name in search:
        flags = [page["given"].get(name, {}) and page["given"][name][i] is False for page, _, i in trials]
        if any(flags):
            found[name] = [not is_absent for is_absent in flags]
    return found


def _head(page: Data, name: str, album: dict[str, int]) -> dict[str, Any]:
    head: dict[str, Any] = page["sweeps"][0]
    models = [
        model | {"figures": [[words, _placed(page, place, album)] for words, place in model["figures"]]}
        for model in head["models"]
    ]
    return head | {"name": name, "models": models}


def _pictures(page: Data, i: int, album: dict[str, int]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = page["pictures"][i]
    if found is None:
        return None
    names = [name for name in ("inputs", "outputs", "samples") if name in found]
    return found | {name: _placed(page, found[name], album) for name in names}


def _placed(page: Data, place: int, album: dict[str, int]) -> int:
    return album.setdefault(page["images"][place], len(album))
