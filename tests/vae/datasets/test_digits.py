"""vae/digits.py."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from vae.datasets.registry import DATASETS, load
from vae.datasets.types import Images

DIGITS_TEST_HASH = "8b24f10e528bbd2b"


def test_digits_are_split_1437_180_180_without_a_common_image(digits: dict[str, Images]) -> None:
    """Together they are scikit-learn's 1,797 images, each as often as there (no two of them are equal)."""
    assert {split: len(images.pixels) for split, images in digits.items()} == {
        "train": 1437,
        "validation": 180,
        "test": 180,
    }
    ours = sorted(row.tobytes() for images in digits.values() for row in images.pixels)
    theirs = sorted(np.rint(row / 16 * 255).astype(np.uint8).tobytes() for row in load_digits().data)
    assert len(set(theirs)) == 1797
    assert ours == theirs


def test_every_digit_keeps_its_label(digits: dict[str, Images]) -> None:
    source = load_digits()
    label_of = {
        np.rint(row / 16 * 255).astype(np.uint8).tobytes(): int(label)
        for row, label in zip(source.data, source.target, strict=True)
    }
    for images in digits.values():
        assert [label_of[row.tobytes()] for row in images.pixels] == images.labels.tolist()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_digits_are_stratified(digits: dict[str, Images], split: str) -> None:
    """Each class has its share of the 180 to within one image."""
    share = np.bincount(load_digits().target) * 180 / 1797
    assert (np.abs(np.bincount(digits[split].labels) - share) <= 1).all()


def test_digits_are_in_the_same_order_in_every_process_and_version(digits: dict[str, Images]) -> None:
    """A new order would be a new split: whoever changes it must see this fail. Taken down on 2026-11-21."""
    again = load("digits", Path("unused"), "validation")
    assert np.array_equal(again.pixels, digits["validation"].pixels)
    assert hashlib.sha256(digits["test"].pixels.tobytes()).hexdigest()[:16] == DIGITS_TEST_HASH


def test_grey_values_span_the_whole_range(digits: dict[str, Images]) -> None:
    assert (digits["train"].pixels.min(), digits["train"].pixels.max()) == (0, 255)


def test_the_names_of_the_classes_are_scikit_learns() -> None:
    assert DATASETS["digits"].class_names == tuple(map(str, load_digits().target_names))
