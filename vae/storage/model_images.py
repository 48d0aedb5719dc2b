"""The images that a trained model is of."""

from pathlib import Path

from vae.datasets.registry import DATASETS, is_folder, load, spec
from vae.datasets.types import Images, SplitName
from vae.errors import CheckpointError
from vae.storage.checkpoint import Description


def images_of(description: Description, folder: Path, data_dir: Path, split: SplitName) -> Images:
    """A split of the dataset that the model in `folder` was trained on.

    Raises CheckpointError where that dataset is unknown or now has images of another size, DataError where it
    cannot be read.
    """
    name = description.dataset
    if name not in DATASETS and not is_folder(name):
        raise CheckpointError(f"{folder}: of dataset {name!r}; this version knows {', '.join(DATASETS)}")
    shape = spec(name, data_dir).image_shape
    if shape != description.image_shape:
        was, now = (f"{height} x {width}" for height, width in (description.image_shape, shape))
        raise CheckpointError(f"{folder}: of images of {was} pixels; those of {name} have {now}")
    return load(name, data_dir, split)
