"""Files of MNIST's and Fashion-MNIST's form whose images are numbered."""

import os
from pathlib import Path

import numpy as np

from vae.datasets.types import Images

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
FOLDERS = {"mnist": "MNIST", "fashion": "FashionMNIST"}  # torchvision's


def idx(array: np.ndarray) -> bytes:
    """LeCun's format: two zeros, type 8 (unsigned byte), the number of axes, each length in big endian, the bytes."""
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()


def number_of(images: Images) -> np.ndarray:
    high, middle, low = (images.pixels[:, column].astype(int) for column in range(3))
    return high * 65536 + middle * 256 + low


def write_numbered(folder: Path) -> None:
    """Four files of MNIST's size; the label is the number's last digit; in both datasets' folders."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for images, labels, n, mark in ((TRAIN_IMAGES, TRAIN_LABELS, 60_000, 1), (TEST_IMAGES, TEST_LABELS, 10_000, 2)):
        (raw / images).write_bytes(idx(_numbered(n, mark).reshape(n, 28, 28)))
        (raw / labels).write_bytes(idx((np.arange(n) % 10).astype(np.uint8)))
    link_files(raw, folder / "FashionMNIST" / "raw")


def link_files(source: Path, target: Path) -> None:
    """The same files under other names, to replace one of them."""
    target.mkdir(parents=True)
    for file in source.iterdir():
        os.link(file, target / file.name)


def _numbered(n_images: int, mark: int) -> np.ndarray:
    """Images that know their own number: three grey values of it, then a mark and a white pixel."""
    pixels = np.zeros((n_images, 784), np.uint8)
    number = np.arange(n_images)
    pixels[:, 0], pixels[:, 1], pixels[:, 2] = number // 65536, number // 256 % 256, number % 256
    pixels[:, 3], pixels[:, 4] = mark, 255
    return pixels
