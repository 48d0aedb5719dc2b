"""What a dataset may be called, and where data is. It loads nothing: every command line asks here before its work."""

import difflib
import os
from pathlib import Path

AUTO = "auto"
BUILT_IN = ("digits", "mnist", "fashion", "freyface")  # vae.datasets.registry has them
NAMES = (AUTO, *BUILT_IN)


def default_data_dir() -> Path:
    """VAE_DATA_DIR, or data/ in the working directory."""
    return Path(os.environ.get("VAE_DATA_DIR", "data"))


def is_folder(name: str) -> bool:
    """Whether this names a folder of images: no built-in name, and it looks like a path or such a folder exists."""
    if name in NAMES:
        return False
    separators = tuple(filter(None, (os.sep, os.altsep)))
    return name.startswith((".", "~")) or any(mark in name for mark in separators) or os.path.isdir(name)


def canonical(name: str) -> str:
    """A folder's absolute path, by which every working directory finds it; a built-in name stays as it is."""
    if not is_folder(name) or "\0" in name:
        return name
    return os.path.realpath(os.path.expanduser(name))


def short_name(name: str) -> str:
    """A name for files and the titles of figures: a folder's last part, a built-in name as it is."""
    return (Path(canonical(name)).name or "images") if is_folder(name) else name


def fault_of(name: str) -> str:
    """What is wrong with a dataset's name, '' where nothing is; reads no images."""
    if name in NAMES:
        return ""
    if not is_folder(name):
        return f"no such dataset{suggestion(name)}"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "a folder's name must be UTF-8"
    return "" if os.path.isdir(os.path.expanduser(name)) else "no such folder"


def suggestion(name: str) -> str:
    """'; did you mean 'mnist'? allowed: auto, digits, ..., or a folder of images'."""
    close = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ";"
    return f"{hint} allowed: {', '.join(NAMES)}, or a folder of images"
