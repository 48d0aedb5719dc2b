"""vae/datasets/mnist.py: its files, where they are on disk."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.material.idx_files import (
    FILES,
    FOLDERS,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    idx,
    link_files,
    number_of,
)
from vae.datasets.registry import DATASETS, load, resolve
from vae.datasets.types import SplitName
from vae.errors import DataError

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
both = pytest.mark.parametrize("name", ["mnist", "fashion"])


@pytest.fixture
def copied(numbered: Path, tmp_path: Path) -> Path:
    """The numbered files of both datasets under other names, to replace one of them."""
    for folder in FOLDERS.values():
        link_files(numbered / folder / "raw", tmp_path / "data" / folder / "raw")
    return tmp_path / "data"


def path_of(folder: Path, name: str, file: str) -> Path:
    return folder / FOLDERS[name] / "raw" / file


def replace(path: Path, content: bytes) -> None:
    path.unlink()  # the others still have the link
    path.write_bytes(content)


def load_all(name: str, folder: Path) -> None:
    """As `load` without a download: what is there is damaged, and nothing but an error will do."""
    for split in SPLITS:
        load(name, folder, split)


# ---- splits


@both
@pytest.mark.parametrize(
    ("split", "first", "last", "mark"),
    [("train", 0, 55_000, 1), ("validation", 55_000, 60_000, 1), ("test", 0, 10_000, 2)],
)
def test_the_images_are_split_by_position_in_the_files(
    numbered: Path, name: str, split: SplitName, first: int, last: int, mark: int
) -> None:
    images = load(name, numbered, split)
    assert number_of(images).tolist() == list(range(first, last))
    assert set(images.pixels[:, 3].tolist()) == {mark}
    assert (images.labels == np.arange(first, last) % 10).all()
    assert (images.pixels.dtype, images.labels.dtype) == (np.uint8, np.int64)
    assert images.pixels.shape == (last - first, 784)


@pytest.mark.mnist
def test_the_real_mnist_is_what_its_page_says(data_dir: Path) -> None:
    """Counts of labels from LeCun's files; the mean grey value 0.1307 and std 0.3081 are those everybody uses."""
    splits = {split: load("mnist", data_dir, split) for split in SPLITS}
    assert [images.pixels.shape for images in splits.values()] == [(55_000, 784), (5_000, 784), (10_000, 784)]
    labels = np.concatenate([splits["train"].labels, splits["validation"].labels])
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(splits["test"].labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = np.concatenate([splits["train"].pixels, splits["validation"].pixels]) / 255
    assert (pixels.mean(), pixels.std()) == (pytest.approx(0.1307, abs=5e-5), pytest.approx(0.3081, abs=5e-5))


@pytest.mark.fashion
def test_the_real_fashion_mnist_is_what_its_page_says(data_dir: Path) -> None:
    """Balanced classes (Xiao et al. 2017); mean 0.2860 and std 0.3530 are those everybody uses."""
    splits = {split: load("fashion", data_dir, split) for split in SPLITS}
    labels = np.concatenate([splits["train"].labels, splits["validation"].labels])
    assert np.bincount(labels).tolist() == [6_000] * 10
    assert np.bincount(splits["test"].labels).tolist() == [1_000] * 10
    pixels = np.concatenate([splits["train"].pixels, splits["validation"].pixels]) / 255
    assert (pixels.mean(), pixels.std()) == (pytest.approx(0.2860, abs=5e-5), pytest.approx(0.3530, abs=5e-5))


def test_the_names_of_the_classes_are_torchvisions() -> None:
    from torchvision.datasets import MNIST, FashionMNIST

    assert DATASETS["fashion"].class_names == tuple(FashionMNIST.classes)
    assert [f"{name} - " for name in DATASETS["mnist"].class_names] == [name[:4] for name in MNIST.classes]


@both
def test_a_dataset_that_is_on_disk_says_where(numbered: Path, name: str) -> None:
    assert resolve(name, numbered) == (name, f"{name}: in {numbered}")


# ---- damaged files


@both
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("length", [0, 3, 16, 10_007, -1])
def test_a_truncated_file_is_named_with_its_size(copied: Path, name: str, file: str, length: int) -> None:
    path = path_of(copied, name, file)
    replace(path, path.read_bytes()[:length])
    says = rf"{path}: [\d,]+ bytes, expected [\d,]+; it is truncated or not (Fashion-)?MNIST: delete it"
    for fails in (lambda: load_all(name, copied), lambda: resolve(name, copied)):
        with pytest.raises(DataError, match=says) as caught:
            fails()
        assert "\n" not in str(caught.value)


def test_auto_does_not_fall_back_where_mnist_is_damaged(copied: Path) -> None:
    replace(path_of(copied, "mnist", TRAIN_IMAGES), b"")
    with pytest.raises(DataError, match=f"{TRAIN_IMAGES}: 0 bytes, expected 47,040,016; it is truncated"):
        resolve("auto", copied)


@both
@pytest.mark.parametrize("file", [TRAIN_IMAGES, TEST_LABELS])
def test_a_file_that_is_too_long_is_refused(copied: Path, name: str, file: str) -> None:
    path = path_of(copied, name, file)
    replace(path, path.read_bytes() + b"\0")
    with pytest.raises(DataError, match=f"{file}: .* bytes, expected"):
        resolve(name, copied)


@both
@pytest.mark.parametrize(("file", "magic"), [(TRAIN_IMAGES, 2049), (TEST_LABELS, 2051), (TEST_IMAGES, 0)])
def test_a_wrong_magic_number_is_refused(copied: Path, name: str, file: str, magic: int) -> None:
    path = path_of(copied, name, file)
    replace(path, magic.to_bytes(4, "big") + path.read_bytes()[4:])
    with pytest.raises(DataError, match=f"{file}: starts with {magic}"):
        resolve(name, copied)


@both
@pytest.mark.parametrize("lengths", [(60_000, 14, 56), (30_000, 28, 56), (60_000, 784, 1), (2**31 - 1, 28, 28)])
def test_images_of_another_shape_are_refused_though_the_size_is_right(
    copied: Path, name: str, lengths: tuple[int, int, int]
) -> None:
    path = path_of(copied, name, TRAIN_IMAGES)
    header = (2051).to_bytes(4, "big") + b"".join(length.to_bytes(4, "big") for length in lengths)
    replace(path, header + path.read_bytes()[16:])
    with pytest.raises(DataError, match=rf"{TRAIN_IMAGES}: .*{lengths[1]}.*expected .*60000.*28.*28"):
        load_all(name, copied)


@both
def test_labels_beyond_the_ten_classes_are_refused(copied: Path, name: str) -> None:
    path = path_of(copied, name, TRAIN_LABELS)
    replace(path, path.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(DataError, match=rf"{name}, validation split: labels end at 10; expected 0\.\.9"):
        load_all(name, copied)


@both
def test_images_that_are_all_dark_are_refused(copied: Path, name: str) -> None:
    replace(path_of(copied, name, TEST_IMAGES), idx(np.zeros((10_000, 28, 28), np.uint8)))
    with pytest.raises(DataError, match=rf"{name}, test split: grey values end at 0; expected 0\.\.255"):
        load_all(name, copied)


@both
@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(copied: Path, name: str, file: str) -> None:
    path_of(copied, name, file).unlink()
    with pytest.raises(DataError, match=f"{file}: missing; (Fashion-)?MNIST is four files in"):
        load_all(name, copied)


# ---- a pickle beside the files


class _Runs:
    """An object whose unpickling makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def plant(folder: Path, name: str, content: Any) -> Path:
    """What torchvision before 0.9 left beside raw/, and reads in its place to this day."""
    processed = folder / FOLDERS[name] / "processed"
    processed.mkdir()
    for file in ("training.pt", "test.pt"):
        torch.save(content, processed / file)
    return processed


@both
def test_a_pickle_beside_the_files_is_not_read_in_their_place(copied: Path, name: str) -> None:
    white = (torch.full((60_000, 28, 28), 255, dtype=torch.uint8), torch.zeros(60_000, dtype=torch.int64))
    processed = plant(copied, name, white)
    before = sorted(processed.iterdir())
    assert number_of(load(name, copied, "train")).tolist() == list(range(55_000))
    assert set(load(name, copied, "test").pixels[:, 3].tolist()) == {2}
    assert sorted(processed.iterdir()) == before


@both
def test_a_pickle_beside_the_files_is_not_run(copied: Path, tmp_path: Path, name: str) -> None:
    plant(copied, name, _Runs(tmp_path / "ran"))
    load_all(name, copied)
    assert not (tmp_path / "ran").exists()
