"""Animated GIFs of samples and manifold over training, from the snapshots that a training leaves in its folder."""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from report.drawing.tiles import SMALL, tile
from vae.files import LocalFiles, cannot_write
from vae.storage.snapshots import SNAPSHOTS_FILE, Snapshot, read_snapshots

TITLES = {"samples": "Samples at z ~ N(0, I)", "manifold": "Learned manifold"}
FRAME_MILLISECONDS, LAST_MILLISECONDS = 300, 2000
LEAST_SIDE = 400  # pixels: a picture whose longer side is shorter is enlarged
LEAST_WIDTH = 330  # pixels that a caption takes
MARGIN, FONT_SIZE = 8, 17  # pixels
CAPTION = FONT_SIZE + 2 * MARGIN  # pixels, above the images
WHITE, INK, MUTED = 255, 34, 107


@dataclass(frozen=True)
class Frame:
    """An epoch's images as one picture, uint8 [H, W]."""

    epoch: int
    picture: np.ndarray


def animations(content: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """(kind, GIF) of each kind in the content of a snapshots.zip. Raises CheckpointError, which names `where`."""
    snapshots = read_snapshots(content, where)
    for kind, title in TITLES.items():
        found = frames(snapshots, kind)
        if found:
            yield kind, encode_gif([drawn(frame, title) for frame in found])


def draw_animations(folder: Path, out: Path) -> Iterator[Path]:
    """Write samples.gif and manifold.gif of the training in a folder; yields each path once it is written.

    No file without snapshots. Raises CheckpointError if the snapshots cannot be read, UserError if a file cannot be
    written.
    """
    content = LocalFiles(folder).read(SNAPSHOTS_FILE)
    if content is None:
        return
    for kind, gif in animations(content, str(folder / SNAPSHOTS_FILE)):
        path = out / f"{kind}.gif"
        with cannot_write(path):
            LocalFiles(out).write(path.name, gif)
        yield path


def frames(snapshots: list[Snapshot], kind: str) -> list[Frame]:
    """The frames of "samples" or of "manifold", in the order of the epochs; [] if there are none."""
    found = ((snapshot.epoch, getattr(snapshot, kind)) for snapshot in snapshots)
    return [Frame(epoch, _picture(tiles, kind)) for epoch, tiles in found if tiles is not None]


def _picture(tiles: np.ndarray, kind: str) -> np.ndarray:
    """Tiles [rows, columns, h, w] as one picture, enlarged by a whole factor if it is small."""
    rows, columns, height, width = tiles.shape
    factor = math.ceil(LEAST_SIDE / max(rows * height, columns * width))
    large = tiles.reshape(-1, height, width).repeat(factor, axis=1).repeat(factor, axis=2)
    needs_gap = kind == "samples" or height <= SMALL  # a manifold's neighbours are alike and look joined
    return tile(large, columns, gap=2 if needs_gap else 0)


def drawn(frame: Frame, title: str) -> Image.Image:
    """The picture below a caption that says what it shows and of which epoch."""
    height, width = frame.picture.shape[0], max(LEAST_WIDTH, frame.picture.shape[1])
    image = Image.new("L", (width, height + CAPTION), WHITE)
    image.paste(Image.fromarray(frame.picture), ((width - frame.picture.shape[1]) // 2, CAPTION))
    canvas = ImageDraw.Draw(image)
    canvas.text((MARGIN, CAPTION / 2), title, MUTED, _font("DejaVuSans"), anchor="lm")
    canvas.text((width - MARGIN, CAPTION / 2), f"epoch {frame.epoch}", INK, _font("DejaVuSans-Bold"), anchor="rm")
    return image


def _font(name: str) -> ImageFont.FreeTypeFont:
    """A font that comes with matplotlib, as the figures' fonts do."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf"), FONT_SIZE)


def encode_gif(images: list[Image.Image]) -> bytes:
    """A GIF that repeats for ever and rests at its last frame."""
    content = io.BytesIO()
    durations = [FRAME_MILLISECONDS] * (len(images) - 1) + [LAST_MILLISECONDS]
    images[0].save(content, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return content.getvalue()
