"""What a dataset is: its splits as uint8 arrays, and how to find and read them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Images:
    """One split. pixels: uint8 [N, D], rows of one image; labels: int64 [N], all 0 where there are none."""

    pixels: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class DatasetSpec:
    """A dataset's shape and sizes, and how to find and read it below a folder of data.

    image_shape: (height, width). find: makes sure that the dataset is there, and says where. class_names:
    the meaning of each label, () where there are none. digest: a hash of the images, '' where they never change.
    """

    image_shape: tuple[int, int]
    n_images: dict[SplitName, int]
    find: Callable[[Path], str]
    read: Callable[[Path, SplitName], Images]
    class_names: tuple[str, ...] = ()
    digest: str = ""

    @property
    def n_pixels(self) -> int:
        return self.image_shape[0] * self.image_shape[1]
