"""Frey Face (Roweis): 1,965 frames of one video of a face, 28 rows x 20 columns, split in the film's order."""

import struct
from pathlib import Path

import numpy as np

from vae.datasets.types import DatasetSpec, Images, SplitName
from vae.errors import DataError, MissingDataError

FILE = "frey_rawface.mat"
ADDRESS = "https://cs.nyu.edu/~roweis/data/frey_rawface.mat"
REMEDY = f"get it from {ADDRESS}"
N_PIXELS, N_FRAMES = 560, 1965
EXPECTED = f"key ff, uint8 {N_PIXELS} x {N_FRAMES:,}"
# The bytes of a MAT file of version 5 between its opening text and the frames. Each part is a code of its type, its
# length in bytes and its value, four bytes each.
HEADER_AT, FRAMES_AT = 124, 184
HEADER = b"\x00\x01IM" + struct.pack(  # the version, and the order of the bytes
    "<14I",
    *(14, 1_100_448),  # the matrix: all that follows
    *(6, 8, 9, 0),  # its class: uint8
    *(5, 8, N_PIXELS, N_FRAMES),  # its shape
    *(1 | 2 << 16, int.from_bytes(b"ff", "little")),  # its name, type and length in one because it is short
    *(2, N_PIXELS * N_FRAMES),  # its values, column by column
)
# Neighbouring frames are nearly equal: a random split would test on images almost seen in training.
ROWS = {"train": slice(0, 1565), "validation": slice(1565, 1765), "test": slice(1765, 1965)}


def _path(data_dir: Path) -> Path:
    """Raises MissingDataError."""
    places = (data_dir / "FreyFace" / FILE, data_dir / FILE)
    for path in places:
        if path.is_file():
            return path
    raise MissingDataError(f"Frey Face is not in {data_dir}", f"put {FILE} ({EXPECTED}; from {ADDRESS}) at {places[0]}")


def _find(data_dir: Path) -> str:
    path = _path(data_dir)
    _frames(path)
    return f"in {path.parent}"


def _read(data_dir: Path, split: SplitName) -> Images:
    pixels = _frames(_path(data_dir))[ROWS[split]].copy()
    return Images(pixels, np.zeros(len(pixels), np.int64))


def _frames(path: Path) -> np.ndarray:
    """uint8 [1965, 560], a frame per row, row by row from its top left. Raises DataError for any other file.

    The bytes are parsed here because scipy.io.loadmat 1.17 crashes the process on some damaged headers.
    """
    content = path.read_bytes()
    expected = FRAMES_AT + N_PIXELS * N_FRAMES
    if len(content) != expected:
        what = "it is truncated or something else"
        raise DataError(f"{path}: {len(content):,} bytes, expected {expected:,} ({EXPECTED}); {what}: {REMEDY}")
    if content[HEADER_AT:FRAMES_AT] != HEADER:
        raise DataError(f"{path}: not a MAT file of version 5 with {EXPECTED}, uncompressed: {REMEDY}")
    return np.frombuffer(content, np.uint8, offset=FRAMES_AT).reshape(N_FRAMES, N_PIXELS)


FREYFACE = DatasetSpec(
    image_shape=(28, 20),
    n_images={"train": 1565, "validation": 200, "test": 200},
    find=_find,
    read=_read,
)
