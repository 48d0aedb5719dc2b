"""MNIST and Fashion-MNIST: four IDX files in the folder where torchvision puts them; downloaded where absent."""

import math
import shutil
import socket
import struct
import tempfile
import threading
import time
import urllib.error
import urllib.request
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
NETWORK_SECONDS = 8  # how long a mirror may take to answer before the machine counts as one without network


@dataclass(frozen=True)
class IdxDataset:
    """A dataset of four IDX files in folder/raw; `folder` is also the name of torchvision's class."""

    title: str
    folder: str
    megabytes: int

    def spec(self, class_names: tuple[str, ...]) -> DatasetSpec:
        n_images: dict[SplitName, int] = {"train": 55_000, "validation": 5_000, "test": 10_000}
        return DatasetSpec((28, 28), n_images, self.find, self.read, class_names)

    def find(self, data_dir: Path) -> str:
        """Where the files are, whole. Raises MissingDataError where they cannot be had, DataError where damaged."""
        where = f"in {data_dir}"
        if not all(self._path(data_dir, name).exists() for name in FILES):
            if failure := download(self._torchvision(), self.title, self.megabytes, data_dir):
                what = f"{self.title} is not in {data_dir} and cannot be downloaded ({failure})"
                holds = f"point --data-dir or VAE_DATA_DIR at a folder that holds {self.folder}/raw"
                raise MissingDataError(what, f"{holds}, or use --dataset digits")
            where = f"downloaded to {data_dir}"
        self._check(data_dir)
        return where

    def read(self, data_dir: Path, split: SplitName) -> Images:
        """Split by position in the files: the last 5,000 of the 60,000 are the validation split. Raises DataError."""
        self._check(data_dir)
        prefix = "t10k" if split == "test" else "train"
        images, labels = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
        pixels = _values(self._path(data_dir, images), FILES[images][1])
        digits = _values(self._path(data_dir, labels), FILES[labels][1])
        rows = ROWS[split]
        return Images(pixels.reshape(len(pixels), -1)[rows].copy(), digits[rows].astype(np.int64))

    def _path(self, data_dir: Path, name: str) -> Path:
        return data_dir / self.folder / "raw" / name

    def _check(self, data_dir: Path) -> None:
        for name, (magic, shape) in FILES.items():
            _check_file(self._path(data_dir, name), magic, shape, self.title)

    def _torchvision(self) -> Any:
        from torchvision import datasets  # seconds to import, and only a download needs it

        return getattr(datasets, self.folder)


def _check_file(path: Path, magic: int, shape: tuple[int, ...], title: str) -> None:
    """The IDX header: a magic number and the length of each axis, four bytes each in big endian; then the bytes."""
    if not path.is_file():
        raise DataError(f"{path}: missing; {title} is four files in {path.parent}")
    expected = _header_bytes(shape) + math.prod(shape)
    if path.stat().st_size != expected:
        raise DataError(
            f"{path}: {path.stat().st_size:,} bytes, expected {expected:,}; "
            f"it is truncated or not {title}: delete it to have it downloaded again"
        )
    with path.open("rb") as file:
        found, *lengths = struct.unpack(f">{1 + len(shape)}I", file.read(_header_bytes(shape)))
    if found != magic:
        raise DataError(f"{path}: starts with {found}, expected {magic}; it is not {title}'s file of this name")
    if tuple(lengths) != shape:
        raise DataError(f"{path}: says its shape is {tuple(lengths)}, expected {shape}; it is not {title}'s file")


def _values(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The bytes behind a checked header, uint8; read here, because torchvision prefers a pickle beside the files."""
    return np.frombuffer(path.read_bytes(), np.uint8, math.prod(shape), _header_bytes(shape)).reshape(shape)


def _header_bytes(shape: tuple[int, ...]) -> int:
    return 4 + 4 * len(shape)


MNIST = IdxDataset("MNIST", "MNIST", 11).spec(tuple("0123456789"))
FASHION = IdxDataset("Fashion-MNIST", "FashionMNIST", 31).spec(FASHION_NAMES)


def download(dataset: Any, title: str, megabytes: int, data_dir: Path) -> str:
    """Download into a temporary folder beside data_dir, then rename; '' or, in a few words, why it failed.

    dataset: a class of torchvision.datasets, with its `mirrors`; its files go to a folder of its name.
    """
    if not answers_within(dataset.mirrors, NETWORK_SECONDS):
        return "no network: no mirror answers"
    folder = dataset.__name__
    before = socket.getdefaulttimeout()
    exists = next(path for path in (data_dir.absolute(), *data_dir.absolute().parents) if path.is_dir())
    try:
        with tempfile.TemporaryDirectory(prefix=".download-", dir=exists) as beside:
            socket.setdefaulttimeout(NETWORK_SECONDS)
            print(f"Downloading {title} ({megabytes} MB) to {data_dir}")
            with warnings.catch_warnings(action="ignore"):
                dataset(beside, download=True)
            # Only raw/ is replaced: whatever else the user keeps in the dataset's folder stays there.
            (data_dir / folder).mkdir(parents=True, exist_ok=True)
            shutil.rmtree(data_dir / folder / "raw", ignore_errors=True)
            (Path(beside) / folder / "raw").rename(data_dir / folder / "raw")
    except (OSError, RuntimeError) as error:
        return " ".join(str(error).split())[:120]
    finally:
        socket.setdefaulttimeout(before)
    return ""


def answers_within(urls: list[str], seconds: float) -> bool:
    """Whether any address answers. Threads ask, because the look-up of a name has no time limit of its own."""
    answered = threading.Event()
    tries = [threading.Thread(target=_try, args=(url, seconds, answered), daemon=True) for url in urls]
    for thread in tries:
        thread.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not answered.is_set() and any(thread.is_alive() for thread in tries):
        time.sleep(0.02)
    return answered.is_set()


def _try(url: str, seconds: float, answered: threading.Event) -> None:
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
    except urllib.error.HTTPError:
        pass  # the mirror answered; the download finds out whether it has the files
    except OSError:
        return
    answered.set()
