"""A model's codes for TensorBoard's embedding projector: every point is drawn as its image.

TensorBoard shows them where it finds `projector_config.pbtxt` in its log folder or in a run's.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from report.models.image_choice import evenly
from report.models.subject import Subject
from vae.files import LocalFiles, cannot_write

CONFIG_FILE = "projector_config.pbtxt"
VECTORS_FILE, METADATA_FILE, SPRITE_FILE = "projector/vectors.tsv", "projector/metadata.tsv", "projector/sprite.png"
MAX_POINTS = 2000
LARGEST_SPRITE = 8192  # pixels a side: what TensorBoard and graphics cards can show
LEAST_COORDINATES = 3  # the projector shows three principal components and draws nothing with fewer coordinates


@dataclass(frozen=True)
class Points:
    """vectors: codes [n, L]; images: what the encoder was given, uint8 [n, h, w]; places: in the split, [n].

    names: the class of each image, [] without labels.
    """

    vectors: np.ndarray
    images: np.ndarray
    places: np.ndarray
    names: list[str]


def write_projector(subject: Subject, folder: Path, n: int = MAX_POINTS) -> list[Path]:
    """Write the projector's files for at most n images; no file for a model without an encoder. Raises UserError."""
    if subject.codes is None:
        return []
    chosen = points(subject, n)
    content = {
        VECTORS_FILE: vectors_tsv(chosen.vectors).encode(),
        METADATA_FILE: metadata_tsv(chosen).encode(),
        SPRITE_FILE: sprite_png(chosen.images),
        CONFIG_FILE: config_pbtxt(chosen).encode(),  # last, because it names the others
    }
    for name, bytes_ in content.items():
        with cannot_write(folder / name):
            LocalFiles(folder).write(name, bytes_)
    return [folder / name for name in content]


def points(subject: Subject, n: int) -> Points:
    """At most n images, spread evenly over the split."""
    assert subject.codes is not None
    places = evenly(len(subject), n)
    names = [subject.class_name(place) for place in places] if subject.class_names else []
    return Points(subject.codes[places], _fitting(subject.inputs(places)), places, names)


def _fitting(images: np.ndarray) -> np.ndarray:
    """The images, shrunk if the sprite would become too large."""
    _, height, width = images.shape
    largest = LARGEST_SPRITE // sprite_columns(len(images))
    factor = max(height, width) / largest
    if factor <= 1:
        return images
    size = max(1, int(width / factor)), max(1, int(height / factor))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images])


def sprite_columns(n_images: int) -> int:
    """The sprite's columns, and its rows: a power of two.

    TensorBoard 2.21 looks for image i in row floor(i / rows), computed with a graphics card's rounding. With any
    other number some points would show another point's image.
    """
    return next(1 << exponent for exponent in range(16) if 1 << 2 * exponent >= n_images)


def vectors_tsv(vectors: np.ndarray) -> str:
    """One line per point; nine digits restore each float32. Zeros fill up to LEAST_COORDINATES."""
    missing = max(0, LEAST_COORDINATES - vectors.shape[1])
    return "".join("\t".join([f"{value:.9g}" for value in row] + ["0"] * missing) + "\n" for row in vectors)


def metadata_tsv(points: Points) -> str:
    """Class and place in the split. Without classes the place alone, and no header: it would count as a point."""
    if not points.names:
        return "".join(f"{place}\n" for place in points.places)
    rows = zip(points.names, points.places, strict=True)
    return "class\timage\n" + "".join(f"{' '.join(name.split())}\t{place}\n" for name, place in rows)


def sprite_png(images: np.ndarray) -> bytes:
    """One picture of all images, row by row, each centred in a transparent square: the projector draws squares."""
    n, height, width = images.shape
    side, columns = max(height, width), sprite_columns(n)
    top, left = (side - height) // 2, (side - width) // 2
    sheet = np.zeros((columns, columns, side, side, 2), np.uint8)  # grey, opacity
    tiles = sheet.reshape(columns**2, side, side, 2)[:n, top : top + height, left : left + width]
    tiles[..., 0], tiles[..., 1] = images, 255
    content = io.BytesIO()
    picture = np.ascontiguousarray(sheet.swapaxes(1, 2)).reshape(columns * side, columns * side, 2)
    Image.fromarray(picture, "LA").save(content, "PNG")
    return content.getvalue()


def config_pbtxt(points: Points) -> str:
    n, side = len(points.images), max(points.images.shape[1:])
    n_coordinates = max(points.vectors.shape[1], LEAST_COORDINATES)
    return f"""embeddings {{
  tensor_name: "codes"
  tensor_path: "{VECTORS_FILE}"
  tensor_shape: {n}
  tensor_shape: {n_coordinates}
  metadata_path: "{METADATA_FILE}"
  sprite {{
    image_path: "{SPRITE_FILE}"
    single_image_dim: {side}
    single_image_dim: {side}
  }}
}}
"""
