"""The datasets by name: a built-in one, or the path of a folder of images; their splits never change."""

from pathlib import Path

import numpy as np

from vae.datasets.digits import DIGITS
from vae.datasets.folder import folder_spec
from vae.datasets.freyface import FREYFACE
from vae.datasets.mnist import FASHION, MNIST
from vae.datasets.names import AUTO, BUILT_IN, canonical, fault_of
from vae.datasets.types import DatasetSpec, Images, SplitName
from vae.errors import DataError, MissingDataError

DATASETS: dict[str, DatasetSpec] = dict(zip(BUILT_IN, (DIGITS, MNIST, FASHION, FREYFACE), strict=True))


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
