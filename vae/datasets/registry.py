"""The datasets by name: a built-in one, or the path of a folder of images; their splits never change."""

import difflib
import os
from pathlib import Path

import numpy as np

from vae.datasets.digits import DIGITS
from vae.datasets.folder import folder_spec
from vae.datasets.freyface import FREYFACE
from vae.datasets.mnist import FASHION, MNIST
from vae.datasets.types import DatasetSpec, Images, SplitName
from vae.errors import DataError, MissingDataError

AUTO = "auto"
DATASETS: dict[str, DatasetSpec] = {"digits": DIGITS, "mnist": MNIST, "fashion": FASHION, "freyface": FREYFACE}
NAMES = (AUTO, *DATASETS)


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


def spec(name: str, data_dir: Path) -> DatasetSpec:
    """The dataset of this name. A folder is read for it, once in a process. Raises DataError."""
    if name in DATASETS:
        return DATASETS[name]
    assert name != AUTO, "resolve says which one it stands for"
    if fault := fault_of(name):
        raise DataError(f"dataset {name}: {fault}")
    return folder_spec(Path(canonical(name)))


def load(name: str, data_dir: Path, split: SplitName) -> Images:
    """Read and check one split. Raises DataError where it is missing, truncated or another than it should be."""
    dataset = spec(name, data_dir)
    images = dataset.read(data_dir, split)
    expected = (dataset.n_images[split], dataset.n_pixels)
    if images.pixels.shape != expected or images.labels.shape != expected[:1]:
        raise DataError(f"{name}, {split} split: images of shape {images.pixels.shape}; expected {expected}")
    if images.pixels.dtype != np.uint8 or (name in DATASETS and images.pixels.max() < 128):
        raise DataError(f"{name}, {split} split: grey values end at {images.pixels.max()}; expected 0..255 as uint8")
    last = max(len(dataset.class_names) - 1, 0)
    if images.labels.min() < 0 or images.labels.max() > last:
        raise DataError(f"{name}, {split} split: labels end at {images.labels.max()}; expected 0..{last}")
    return images


def resolve(name: str, data_dir: Path) -> tuple[str, str]:
    """The dataset that `name` stands for, now on disk, and why this one: ("digits", "digits: MNIST is not ...").

    "auto" is MNIST where it is on disk or can be downloaded, and digits elsewhere; only "auto" falls
    back. A folder becomes its absolute path. Raises DataError for an unknown name and for files that
    are missing or damaged.
    """
    if fault := fault_of(name):
        raise DataError(f"--dataset {name}: {fault}")
    dataset = "mnist" if name == AUTO else canonical(name)
    try:
        return dataset, f"{dataset}: {spec(dataset, data_dir).find(data_dir)}"
    except MissingDataError as missing:
        if name == AUTO:
            return "digits", f"digits: {missing.what}"
        raise DataError(f"--dataset {name}: {missing}") from None
