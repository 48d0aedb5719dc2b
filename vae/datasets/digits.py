"""The 1,797 real digits that come with scikit-learn: 8 x 8 pixels, stratified splits."""

from pathlib import Path

import numpy as np

from vae.datasets.types import DatasetSpec, Images, SplitName

SPLIT_SEED = 1797
HELD_OUT = 180  # images in validation, and as many in test


def _read(data_dir: Path, split: SplitName) -> Images:
    from sklearn.datasets import load_digits  # a second to import, and only digits need it
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pixels = np.rint(digits.data * (255 / 16)).astype(np.uint8)  # the file has 0..16
    rest, test = train_test_split(
        np.arange(len(pixels)), test_size=HELD_OUT, random_state=SPLIT_SEED, stratify=digits.target
    )
    train, validation = train_test_split(
        rest, test_size=HELD_OUT, random_state=SPLIT_SEED, stratify=digits.target[rest]
    )
    rows = {"train": train, "validation": validation, "test": test}[split]
    return Images(pixels[rows], digits.target[rows].astype(np.int64))


DIGITS = DatasetSpec(
    image_shape=(8, 8),
    n_images={"train": 1437, "validation": HELD_OUT, "test": HELD_OUT},
    find=lambda data_dir: "1,797 real digits inside scikit-learn",
    read=_read,
    class_names=tuple("0123456789"),
)
