"""Datasets: whole splits as uint8 arrays, checked when they are read; the splits never move."""

import math
import os
import shutil
import socket
import struct
import tempfile
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vae.errors import DataError

SplitName = Literal["train", "validation", "test"]
AUTO = "auto"
NETWORK_SECONDS = 8  # how long to look for a mirror before a machine counts as one without network
MNIST_FILES = {  # name: (magic number, shape), as LeCun's page gives them
    "train-images-idx3-ubyte": (2051, (60_000, 28, 28)),
    "train-labels-idx1-ubyte": (2049, (60_000,)),
    "t10k-images-idx3-ubyte": (2051, (10_000, 28, 28)),
    "t10k-labels-idx1-ubyte": (2049, (10_000,)),
}
DIGITS_SPLIT_SEED = 1797
DIGITS_HELD_OUT = 180  # images in validation, and as many in test


@dataclass(frozen=True)
class Images:
    """One split. pixels: uint8 [N, D], rows of one image; labels: int64 [N]."""

    pixels: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class DatasetSpec:
    """What a dataset must be once it is read, and how a split of it is read from a folder."""

    image_shape: tuple[int, int]
    n_images: dict[SplitName, int]
    read: Callable[[Path, SplitName], Images]
    about: str


def default_data_dir() -> Path:
    """VAE_DATA_DIR, or data/ in the working directory."""
    return Path(os.environ.get("VAE_DATA_DIR", "data"))


def load(name: str, data_dir: Path, split: SplitName) -> Images:
    """Read and check one split. Raises DataError where it is missing, truncated or not what it should be."""
    spec = DATASETS[name]
    images = spec.read(data_dir, split)
    expected = (spec.n_images[split], spec.image_shape[0] * spec.image_shape[1])
    if images.pixels.shape != expected or images.labels.shape != expected[:1]:
        raise DataError(f"{name}, {split} split: images of shape {images.pixels.shape}; expected {expected}")
    if images.pixels.dtype != np.uint8 or images.pixels.max() < 128:
        raise DataError(f"{name}, {split} split: grey values end at {images.pixels.max()}; expected 0..255 as uint8")
    if images.labels.min() < 0 or images.labels.max() > 9:
        raise DataError(f"{name}, {split} split: labels end at {images.labels.max()}; expected 0..9")
    return images


def resolve(name: str, data_dir: Path) -> tuple[str, str]:
    """The dataset that `name` stands for, present on disk now, and why: ("digits", "auto: MNIST is not ...").

    "auto" is MNIST where it is on disk or can be downloaded, digits otherwise. "mnist" never falls
    back. Raises DataError for an unknown name and for files that are missing or damaged.
    """
    if name != AUTO and name not in DATASETS:
        raise DataError(f"--dataset {name}: no such dataset; allowed: {', '.join([AUTO, *DATASETS])}")
    if name not in (AUTO, "mnist"):
        return name, f"{name}: {DATASETS[name].about}"
    where = f"in {data_dir}"
    if not _mnist_is_there(data_dir):
        failure = _download_mnist(data_dir)
        if failure and name == "mnist":
            raise DataError(
                f"--dataset mnist: MNIST is not in {data_dir} and cannot be downloaded ({failure}); "
                "point --data-dir or VAE_DATA_DIR at a folder that holds MNIST/raw, or use --dataset digits"
            )
        if failure:
            return "digits", f"digits: MNIST is not in {data_dir} and cannot be downloaded ({failure})"
        where = f"downloaded to {data_dir}"
    _check_mnist_files(data_dir)
    return "mnist", f"mnist: {where}"


def _read_digits(data_dir: Path, split: SplitName) -> Images:
    from sklearn.datasets import load_digits  # a second to import, and only digits need it
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pixels = np.rint(digits.data * (255 / 16)).astype(np.uint8)  # 0..16 in the file
    rest, test = train_test_split(
        np.arange(len(pixels)), test_size=DIGITS_HELD_OUT, random_state=DIGITS_SPLIT_SEED, stratify=digits.target
    )
    train, validation = train_test_split(
        rest, test_size=DIGITS_HELD_OUT, random_state=DIGITS_SPLIT_SEED, stratify=digits.target[rest]
    )
    rows = {"train": train, "validation": validation, "test": test}[split]
    return Images(pixels[rows], digits.target[rows].astype(np.int64))


def _read_mnist(data_dir: Path, split: SplitName) -> Images:
    from torchvision.datasets import MNIST  # seconds to import, and only MNIST needs it

    _check_mnist_files(data_dir)
    mnist = MNIST(str(data_dir), train=split != "test")
    pixels, labels = mnist.data.numpy().reshape(len(mnist.data), -1), mnist.targets.numpy()
    rows = {"train": slice(0, 55_000), "validation": slice(55_000, 60_000), "test": slice(None)}[split]
    return Images(np.ascontiguousarray(pixels[rows]), labels[rows].astype(np.int64))


def _mnist_is_there(data_dir: Path) -> bool:
    return all((data_dir / "MNIST" / "raw" / name).exists() for name in MNIST_FILES)


def _check_mnist_files(data_dir: Path) -> None:
    for name, (magic, shape) in MNIST_FILES.items():
        _check_idx_file(data_dir / "MNIST" / "raw" / name, magic, shape)


def _check_idx_file(path: Path, magic: int, shape: tuple[int, ...]) -> None:
    """LeCun's format: the magic number and the length of each axis, four bytes each in big endian; then the bytes."""
    if not path.is_file():
        raise DataError(f"{path}: missing; MNIST is four files in {path.parent}")
    n_header = 4 + 4 * len(shape)
    expected = n_header + math.prod(shape)
    if path.stat().st_size != expected:
        raise DataError(
            f"{path}: {path.stat().st_size:,} bytes, expected {expected:,}; "
            "it is truncated or not MNIST: delete it to have it downloaded again"
        )
    with path.open("rb") as file:
        found, *lengths = struct.unpack(f">{1 + len(shape)}I", file.read(n_header))
    if found != magic:
        raise DataError(f"{path}: starts with {found}, expected {magic}; it is not MNIST's file of this name")
    if tuple(lengths) != shape:
        raise DataError(f"{path}: says its shape is {tuple(lengths)}, expected {shape}; it is not MNIST's file")


def _download_mnist(data_dir: Path) -> str:
    """Download beside, rename into place; the reason in a few words where that fails, else ''."""
    from torchvision.datasets import MNIST

    if not _answers_within(MNIST.mirrors, NETWORK_SECONDS):
        return "no network: no mirror answers"
    before = socket.getdefaulttimeout()
    exists = next(path for path in (data_dir.absolute(), *data_dir.absolute().parents) if path.is_dir())
    try:
        with tempfile.TemporaryDirectory(prefix=".download-", dir=exists) as beside:
            socket.setdefaulttimeout(NETWORK_SECONDS)
            print(f"Downloading MNIST (11 MB) to {data_dir}")
            with warnings.catch_warnings(action="ignore"):
                MNIST(beside, download=True)
            data_dir.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(data_dir / "MNIST", ignore_errors=True)
            (Path(beside) / "MNIST").rename(data_dir / "MNIST")
    except (OSError, RuntimeError) as error:
        return " ".join(str(error).split())[:120]
    finally:
        socket.setdefaulttimeout(before)
    return ""


def _answers_within(urls: list[str], seconds: float) -> bool:
    """Whether any address answers. In threads, because looking up a name has no time limit of its own."""
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
        pass  # it answered; whether it has the files is the download's to find out
    except OSError:
        return
    answered.set()


DATASETS: dict[str, DatasetSpec] = {
    "digits": DatasetSpec(
        (8, 8), {"train": 1437, "validation": 180, "test": 180}, _read_digits, "1,797 real digits inside scikit-learn"
    ),
    "mnist": DatasetSpec(
        (28, 28), {"train": 55_000, "validation": 5_000, "test": 10_000}, _read_mnist, "60,000 + 10,000 digits"
    ),
}
