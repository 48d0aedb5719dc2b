"""The page as one file: template, style, script and data, under a policy that allows nothing from outside."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vae.files import LocalFiles

HERE = Path(__file__).parent
SCRIPTS = (  # in the order in which they stand in the page, one scope for all
    "data",
    "selection",
    "chart",
    "card",
    "plane",
    "parallel",
    "curves",
    "slices",
    "compare",
    "table",
    "head",
    "main",
)
PAGE_FILE = "index.html"
DATA_TAG = '<script type="application/json" id="data">'


def page(data: Mapping[str, Any]) -> str:
    """The whole file for contents.contents(...)."""
    script = "\n".join(["'use strict';", *((HERE / "script" / f"{name}.js").read_text("utf-8") for name in SCRIPTS)])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {
        "title": html.escape(" and ".join(sweep["name"] for sweep in data["sweeps"])),
        "policy": f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        "style": (HERE / "page.css").read_text("utf-8"),
        "data": f"{DATA_TAG}{as_json(data)}</script>",
        "script": f"<script>{script}</script>",
    }
    template = (HERE / "page.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def as_json(data: Mapping[str, Any]) -> str:
    """Without "<", so that no text in it can end the script's element or begin a comment.

    Key by key, and lists in parts: the encoder keeps every other thread of the process waiting while it works.
    """
    inside = ",".join(f"{json.dumps(key)}:{_value(value)}" for key, value in data.items())
    return "{" + inside.replace("<", "\\u003c") + "}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list) and len(value) > 1000:
        return "[" + ",".join(_dumped(value[start : start + 500])[1:-1] for start in range(0, len(value), 500)) + "]"
    return _dumped(value)


def _dumped(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def embedded(text: str) -> dict[str, Any]:
    """The data of a page. Raises ValueError where the text is no such page."""
    _, found, rest = text.partition(DATA_TAG)
    if not found:
        raise ValueError("no data")
    data: dict[str, Any] = json.loads(rest.partition("</script>")[0])
    return data


def write_page(folder: Path, text: str) -> None:
    """Without fsync, because it can be made again."""
    LocalFiles(folder, synced=False).write(PAGE_FILE, text.encode())
