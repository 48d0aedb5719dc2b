"""MNIST and Fashion-MNIST: four files in LeCun's format, as torchvision lays them out; downloaded where absent."""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vae.datasets.download import download
from vae.datasets.types import DatasetSpec, Images, SplitName
from vae.errors import DataError, MissingDataError

FILES = {  # name: (magic number, shape), as LeCun's page gives them; Fashion-MNIST has the same ones on purpose
    "train-images-idx3-ubyte": (2051, (60_000, 28, 28)),
    "train-labels-idx1-ubyte": (2049, (60_000,)),
    "t10k-images-idx3-ubyte": (2051, (10_000, 28, 28)),
    "t10k-labels-idx1-ubyte": (2049, (10_000,)),
}
ROWS = {"train": slice(0, 55_000), "validation": slice(55_000, 60_000), "test": slice(None)}
FASHION_NAMES = (  # in the order of the labels 0..9, as Fashion-MNIST's page gives them
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


@dataclass(frozen=True)
class IdxFiles:
    """One of torchvision's datasets of this format. `folder` is its class's name, and its files are in folder/raw."""

    title: str
    folder: str
    megabytes: int

    def spec(self, class_names: tuple[str, ...]) -> DatasetSpec:
        n_images: dict[SplitName, int] = {"train": 55_000, "validation": 5_000, "test": 10_000}
        return DatasetSpec((28, 28), n_images, self.find, self.read, class_names)

    def find(self, data_dir: Path) -> str:
        """Where the files are, whole. Raises MissingDataError where they cannot be had, DataError where damaged."""
        where = f"in {data_dir}"
        if not all((data_dir / self.folder / "raw" / name).exists() for name in FILES):
            if failure := download(self._torchvision(), self.title, self.megabytes, data_dir):
                what = f"{self.title} is not in {data_dir} and cannot be downloaded ({failure})"
                holds = f"point --data-dir or VAE_DATA_DIR at a folder that holds {self.folder}/raw"
                raise MissingDataError(what, f"{holds}, or use --dataset digits")
            where = f"downloaded to {data_dir}"
        self._check(data_dir)
        return where

    def read(self, data_dir: Path, split: SplitName) -> Images:
        """By position in the files: the last 5,000 of the 60,000 are the validation split."""
        self._check(data_dir)
        files = self._torchvision()(str(data_dir), train=split != "test")
        pixels, labels = files.data.numpy().reshape(len(files.data), -1), files.targets.numpy()
        return Images(np.ascontiguousarray(pixels[ROWS[split]]), labels[ROWS[split]].astype(np.int64))

    def _torchvision(self) -> Any:
        from torchvision import datasets  # seconds to import, and only these datasets need it

        return getattr(datasets, self.folder)

    def _check(self, data_dir: Path) -> None:
        for name, (magic, shape) in FILES.items():
            _check_file(data_dir / self.folder / "raw" / name, magic, shape, self.title)


def _check_file(path: Path, magic: int, shape: tuple[int, ...], title: str) -> None:
    """LeCun's format: the magic number and the length of each axis, four bytes each in big endian; then the bytes."""
    if not path.is_file():
        raise DataError(f"{path}: missing; {title} is four files in {path.parent}")
    n_header = 4 + 4 * len(shape)
    expected = n_header + math.prod(shape)
    if path.stat().st_size != expected:
        raise DataError(
            f"{path}: {path.stat().st_size:,} bytes, expected {expected:,}; "
            f"it is truncated or not {title}: delete it to have it downloaded again"
        )
    with path.open("rb") as file:
        found, *lengths = struct.unpack(f">{1 + len(shape)}I", file.read(n_header))
    if found != magic:
        raise DataError(f"{path}: starts with {found}, expected {magic}; it is not {title}'s file of this name")
    if tuple(lengths) != shape:
        raise DataError(f"{path}: says its shape is {tuple(lengths)}, expected {shape}; it is not {title}'s file")


MNIST = IdxFiles("MNIST", "MNIST", 11).spec(tuple("0123456789"))
FASHION = IdxFiles("Fashion-MNIST", "FashionMNIST", 31).spec(FASHION_NAMES)
