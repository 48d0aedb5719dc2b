"""What a dataset is: whole splits of images as uint8 arrays, and how they are found and read."""

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
    """What a dataset must be once it is read, and how it is found and read below a folder of data.

    image_shape: (height, width). find: makes sure that it is there, and says where. class_names: the
    meaning of each label, () where there are none. digest: of the images, '' where they never change.
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
