"""A folder of the user's own images: all of one size, read as grey, with a sub-folder per label where there are any."""

import hashlib
import os
import time
import warnings
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vae.datasets.types import DatasetSpec, Images, SplitName
from vae.errors import DataError

FORMATS = {  # Pillow's name: suffixes
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
LAYOUT = "expected PNG, JPEG, BMP, GIF, TIFF or WebP files in the folder itself, or in one sub-folder per label"
FEWEST_IMAGES = 10
FEWEST_HELD_OUT = 2  # in validation, and in test: active units are found by a variance over a split
MOST_PIXELS = 65_536
SPLIT_SEED = 80_10_10
DEEPEST = 3  # parts of a path; an image one level below the sub-folders of labels is a fault
SILENT_SECONDS = 1.0  # reading takes longer than this: a line says so


class _Picture(NamedTuple):
    """One image file: its grey values, uint8 [height, width], and what the file had besides."""

    grey: np.ndarray
    was_coloured: bool = False
    was_transparent: bool = False


@lru_cache(maxsize=2)
def folder_spec(folder: Path) -> DatasetSpec:
    """The dataset of a folder, read whole and checked; a second call in the same process costs nothing.

    Every image is decoded here, so that a damaged file does not come to light with the test split,
    after a night of training. Raises DataError.
    """
    files = shuffled(_image_files(folder))
    with warnings.catch_warnings(action="ignore"):  # Pillow warns of odd metadata
        pixels, image_shape, changes = _read_all(folder, files)
    labels, class_names = _labels(files)
    rows = split_rows(len(files))

    def read(data_dir: Path, split: SplitName) -> Images:
        return Images(pixels[rows[split]], labels[rows[split]])

    n_images = {split: len(range(len(files))[part]) for split, part in rows.items()}
    about = f"{len(files):,} images of {image_shape[0]} x {image_shape[1]} pixels{_of_labels(class_names)}{changes}"
    return DatasetSpec(image_shape, n_images, lambda data_dir: about, read, class_names, _digest(pixels, labels))


def shuffled(files: list[Path]) -> list[Path]:
    """The order in which the splits are cut: a permutation of the sorted relative paths."""
    files = sorted(files, key=Path.as_posix)
    # RandomState, because NumPy promises never to change its numbers.
    return [files[index] for index in np.random.RandomState(SPLIT_SEED).permutation(len(files))]


def split_rows(n_images: int) -> dict[SplitName, slice]:
    """A tenth of the images, rounded down but at least two, for validation, and as many for test."""
    held_out = max(FEWEST_HELD_OUT, n_images // 10)
    n_train = n_images - 2 * held_out
    return {
        "train": slice(0, n_train),
        "validation": slice(n_train, n_train + held_out),
        "test": slice(n_train + held_out, n_images),
    }


def _image_files(folder: Path) -> list[Path]:
    """The images' paths below the folder, all at one depth."""
    try:
        files = list(_walk(folder))
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read ({error.strerror or error})") from None
    if not files:
        raise DataError(f"{folder}: no images; {LAYOUT}")
    highest, deepest = (choose(files, key=lambda file: (len(file.parts), file)) for choose in (min, max))
    if len(highest.parts) != len(deepest.parts):
        raise DataError(f"{folder}: images at several depths, such as {highest} and {deepest}; {LAYOUT}")
    if len(highest.parts) == DEEPEST:
        raise DataError(f"{folder}: images too deep, such as {highest}; {LAYOUT}")
    if len(files) < FEWEST_IMAGES:
        raise DataError(f"{folder}: {len(files)} images; allowed: at least {FEWEST_IMAGES}")
    return files


def _walk(folder: Path) -> Iterator[Path]:
    """Every file with an image's suffix, down to DEEPEST; hidden files and folders are left out."""
    suffixes = tuple(chain.from_iterable(FORMATS.values()))
    for root, folders, names in os.walk(folder, onerror=_stop, followlinks=True):
        below = Path(root).relative_to(folder)
        is_deepest = len(below.parts) == DEEPEST - 1
        folders[:] = [] if is_deepest else [name for name in folders if not name.startswith(".")]
        yield from (below / name for name in names if name.lower().endswith(suffixes) and not name.startswith("."))


def _stop(error: OSError) -> None:
    raise error


def _labels(files: list[Path]) -> tuple[np.ndarray, tuple[str, ...]]:
    """int64 [N], and the meaning of each label: the sorted names of the sub-folders."""
    if len(files[0].parts) == 1:
        return np.zeros(len(files), np.int64), ()
    names = sorted({file.parts[0] for file in files})
    number = {name: index for index, name in enumerate(names)}
    labels = np.array([number[file.parts[0]] for file in files], np.int64)
    return labels, tuple(os.fsencode(name).decode(errors="backslashreplace") for name in names)


def _of_labels(class_names: tuple[str, ...]) -> str:
    return f", {len(class_names)} label{'s' * (len(class_names) != 1)}" if class_names else ""


def _digest(pixels: np.ndarray, labels: np.ndarray) -> str:
    """A hash of the images, their order and their labels."""
    digest = hashlib.blake2b(pixels.data, digest_size=8)
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _read_all(folder: Path, files: list[Path]) -> tuple[np.ndarray, tuple[int, int], str]:
    """uint8 [N, D] in the order of the files, (height, width), and how the images were changed, in words."""
    first = _read_image(folder / files[0]).grey
    height, width = first.shape
    pixels = np.empty((len(files), first.size), np.uint8)
    n_coloured = n_transparent = 0
    started, said = time.monotonic(), False
    for row, file in enumerate(files):
        image = _read_image(folder / file)
        if image.grey.shape != first.shape:
            sizes = f"{files[0]} has {width} x {height} pixels, {file} {image.grey.shape[1]} x {image.grey.shape[0]}"
            raise DataError(f"{folder}: images of several sizes: {sizes} (width x height); allowed: one size")
        pixels[row] = image.grey.ravel()
        n_coloured += image.was_coloured
        n_transparent += image.was_transparent
        if not said and time.monotonic() - started > SILENT_SECONDS:
            print(f"Reading {len(files):,} images in {folder}", flush=True)
            said = True
    changes = _share(n_coloured, len(files), "in colour: turned to grey")
    return pixels, (height, width), changes + _share(n_transparent, len(files), "transparent: laid on white")


def _share(n: int, n_images: int, words: str) -> str:
    """', in colour: turned to grey' of all images, ', 3 in colour: turned to grey' of some, '' of none."""
    if not n:
        return ""
    return f", {words}" if n == n_images else f", {n:,} {words}"


def _read_image(path: Path) -> _Picture:
    """The first frame. Raises DataError."""
    from PIL import Image  # only a folder needs it

    try:
        with Image.open(path, formats=tuple(FORMATS)) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(_too_large(path, f"{image.width} x {image.height} pixels"))
            return _as_grey(image, path)
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(_too_large(path, "hundreds of millions of pixels")) from None
    except Exception as error:  # each of Pillow's decoders raises an exception of its own for a damaged file
        reason = getattr(error, "strerror", None) or "truncated, damaged, or something else"
        raise DataError(f"{path}: not an image that can be read ({reason})") from None


def _too_large(path: Path, size: str) -> str:
    return f"{path}: {size}; allowed: at most {MOST_PIXELS:,} pixels, such as 256 x 256"


def _as_grey(image: Any, path: Path) -> _Picture:
    """What is transparent is laid on white, as a page would show it; then colours are weighed as ITU-R 601 does."""
    if image.mode.startswith("I;16"):
        if image.has_transparency_data:
            raise DataError(f"{path}: transparency in pixels of 16 bits; allowed: 16 bits without it, or 8 bits")
        # Pillow's own conversion clips values above 255: a 16-bit scan would come out white.
        return _Picture((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DataError(f"{path}: pixels of 32 bits; allowed: 8 or 16 bits a channel")
    is_transparent = False
    if image.has_transparency_data:
        image, is_transparent = _on_white(image)
    # Grey images are often stored with three equal channels: only unequal ones are a colour.
    channels = np.asarray(image.convert("RGB"))
    is_coloured = bool((channels != channels[..., :1]).any())
    return _Picture(np.asarray(image.convert("L")), is_coloured, is_transparent)


def _on_white(image: Any) -> tuple[Any, bool]:
    """The image as RGB over a white page, and whether any of the page shows through."""
    from PIL import Image  # only a folder needs it

    over = image.convert("RGBA")  # an alpha channel, a palette's alpha or a transparent colour become one alpha
    page = Image.new("RGBA", over.size, "white")
    return Image.alpha_composite(page, over).convert("RGB"), over.getextrema()[3][0] < 255
