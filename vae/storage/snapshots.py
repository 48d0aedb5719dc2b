"""Snapshots: what a trial's model shows at log-spaced epochs, in one small file that reports animate.

`snapshots.zip` holds a PNG for each epoch and kind: samples of one fixed noise and, at latent size 2, the manifold.
A trial of 100 epochs on MNIST keeps 0.9 MB.
"""

import io
import math
import re
import sys
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from vae.config import Mode
from vae.errors import CheckpointError
from vae.files import Files
from vae.model import likelihood
from vae.model.network import Vae
from vae.randomness.streams import EVALUATION_SEED, Stream, generator

SNAPSHOTS_FILE = "snapshots.zip"
SIDES = {"samples": 8, "manifold": 15}  # images along a side of the picture
UNIFORM_RANGE = 3.0  # of an autoencoder's manifold, whose codes follow no prior
LARGEST_TILE = 40  # pixels a side; images larger than this are shrunk to it
GREY_LEVELS = 48  # a grey value is 3 off at the most, and a picture has half the bytes of one with 256
COMPRESSION = 4  # of 9; half the time of 6 for 2 % more bytes
MEMBER = re.compile(r"(samples|manifold)/(\d{6})\.png")
LARGEST_CONTENT = 64 * 2**20  # bytes of all pictures; 100,000 epochs of the largest tiles make less than 20 MB


@dataclass(frozen=True)
class Snapshot:
    """What the model of one epoch showed: uint8 [rows, columns, height, width].

    samples: pixel means at z ~ N(0, I), the same z at every epoch; an autoencoder has them too, although its codes
    follow no prior. manifold: pixel means over the plane of z, z0 to the right and z1 upwards; None unless the
    latent size is 2.
    """

    epoch: int
    samples: np.ndarray
    manifold: np.ndarray | None


def is_snapshot_epoch(epoch: int, last: int) -> bool:
    """1, 2, 3, 4, 6, 8, 11, 16, ...: the powers of the square root of 2, rounded; and the last epoch."""
    exponent = round(2 * math.log2(epoch))
    return epoch in (round(2 ** (exponent / 2)), last)


def snapshot_latents(latent_size: int, mode: Mode) -> dict[str, Tensor]:
    """The z of each kind of picture, [side, side, L]."""
    side = SIDES["samples"]
    draw = generator(EVALUATION_SEED, 0, Stream.SAMPLES)
    samples = torch.randn(side * side, latent_size, generator=draw).reshape(side, side, latent_size)
    return {"samples": samples, "manifold": _plane(mode)} if latent_size == 2 else {"samples": samples}


def _plane(mode: Mode) -> Tensor:
    """Points of z, spaced evenly in the prior's probability (Kingma & Welling 2013, figure 4); an autoencoder's are
    spaced evenly in z."""
    side = SIDES["manifold"]
    quantiles = torch.special.ndtri((torch.arange(side) + 0.5) / side)
    places = torch.linspace(-UNIFORM_RANGE, UNIFORM_RANGE, side) if mode == "autoencoder" else quantiles
    y, x = torch.meshgrid(places.flip(0), places, indexing="ij")
    return torch.stack([x, y], -1)


class Snapshots:
    """The snapshots of one trial, in its folder. Each rewrites the whole file, because a bucket cannot append."""

    def __init__(self, files: Files, image_shape: tuple[int, int], epoch: int = 0) -> None:
        """epoch: the one that training goes on after; later snapshots will be taken again.

        A damaged file costs the animations their beginning and not the training: a warning, and an empty start.
        """
        self._files = files
        self._image_shape = image_shape
        self._pngs: dict[str, bytes] = {}
        content = files.read(SNAPSHOTS_FILE) if epoch else None
        if content is None:
            return
        try:
            found = _unzipped(content, SNAPSHOTS_FILE)
        except CheckpointError as error:
            print(f"{error}; its snapshots up to epoch {epoch} are lost, training goes on", file=sys.stderr, flush=True)
            return
        self._pngs = {name: png for name, png in found.items() if _epoch(name) <= epoch}

    def take(self, model: Vae, epoch: int) -> None:
        """Add what the model shows now and write the file."""
        for kind, z in snapshot_latents(model.latent_size, model.config.mode).items():
            self._pngs[f"{kind}/{epoch:06d}.png"] = _png(_picture(model, z, self._image_shape))
        self._files.write(SNAPSHOTS_FILE, _zipped(self._pngs))


@torch.no_grad()
def _picture(model: Vae, z: Tensor, image_shape: tuple[int, int]) -> np.ndarray:
    """Pixel means at z [rows, columns, L], as one picture of grey values, the images side by side."""
    rows, columns, _ = z.shape
    pixels = model.decode(z.reshape(rows * columns, -1).to(model.logits.weight))
    images = _shrunk(likelihood.means(model.config.likelihood, pixels).reshape(-1, 1, *image_shape))
    levels = (images * (GREY_LEVELS - 1)).round() * (255 / (GREY_LEVELS - 1))
    height, width = images.shape[-2:]
    grid = levels.round().to("cpu", torch.uint8).reshape(rows, columns, height, width)
    picture: np.ndarray = grid.transpose(1, 2).reshape(rows * height, columns * width).numpy()
    return picture


def _shrunk(images: Tensor) -> Tensor:
    """[n, 1, h, w]; larger ones averaged down to LARGEST_TILE."""
    height, width = images.shape[-2:]
    factor = max(height, width) / LARGEST_TILE
    if factor <= 1:
        return images
    return F.interpolate(images, (max(1, round(height / factor)), max(1, round(width / factor))), mode="area")


def _png(picture: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG", compress_level=COMPRESSION)
    return content.getvalue()


def _zipped(members: dict[str, bytes]) -> bytes:
    """The members uncompressed (a PNG is compressed) and without the time: equal pictures make equal files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            archive.writestr(zipfile.ZipInfo(name), member)
    return content.getvalue()


def read_snapshots(content: bytes, where: str) -> list[Snapshot]:
    """The snapshots in a `snapshots.zip`, by epoch. Raises CheckpointError, naming `where`."""
    pngs = _unzipped(content, where)
    snapshots = []
    for epoch in sorted({_epoch(name) for name in pngs}):
        tiles = {kind: _tiles(pngs.get(f"{kind}/{epoch:06d}.png"), side, where) for kind, side in SIDES.items()}
        if tiles["samples"] is None:
            raise CheckpointError(f"{where}: epoch {epoch} has no samples")
        snapshots.append(Snapshot(epoch, tiles["samples"], tiles["manifold"]))
    return snapshots


def _unzipped(content: bytes, where: str) -> dict[str, bytes]:
    """The pictures by name. The directory's names and sizes are checked before anything is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check_directory(members, where)
            return {member.filename: _read(archive, member) for member in members}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{where}: truncated or damaged ({error})") from None


def _check_directory(members: list[zipfile.ZipInfo], where: str) -> None:
    for member in members:
        if not MEMBER.fullmatch(member.filename):
            raise CheckpointError(f"{where}: {member.filename} is none of its pictures")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
            raise CheckpointError(f"{where}: damaged: {member.filename} is packed by method {member.compress_type}")
    total = sum(member.file_size for member in members)
    if total > LARGEST_CONTENT:
        raise CheckpointError(f"{where}: damaged: {total:,} bytes of pictures, allowed: at most {LARGEST_CONTENT:,}")


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """With a size, because `archive.read` would unpack all there is, whatever the directory says."""
    with archive.open(member) as file:
        return file.read(member.file_size)


def _epoch(name: str) -> int:
    return int(name.rpartition("/")[2].removesuffix(".png"))


def _tiles(png: bytes | None, side: int, where: str) -> np.ndarray | None:
    """[side, side, h, w] of a picture."""
    if png is None:
        return None
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if max(image.size) > side * LARGEST_TILE:
                raise ValueError(f"{image.size[0]} x {image.size[1]} pixels")
            picture = np.asarray(image.convert("L"))
        tiles = picture.reshape(side, picture.shape[0] // side, side, picture.shape[1] // side)
    except (OSError, ValueError, SyntaxError, zlib.error, Image.DecompressionBombError) as error:
        raise CheckpointError(f"{where}: a damaged picture ({error})") from None
    return tiles.transpose(0, 2, 1, 3)
