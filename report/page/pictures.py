"""A trial's pictures as the page has them: strips of small images as WebP, each stored once."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from report.drawing.tiles import tile
from vae.storage.preview import Preview

QUALITY = 60  # of 100, for photographs of digits: 3 kB for ten reconstructions and twenty samples of MNIST
FIGURE_WIDTH = 900  # pixels
FIGURE_QUALITY = 70  # of figures, whose letters must stay sharp
ROW = 10  # images in a row
LARGEST = 56  # pixels a side: larger images are thinned out, the page shows no more of them


@dataclass
class Album:
    """Pictures as data URIs, each once: models of one dataset are shown the same inputs."""

    uris: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        return sum(map(len, self.uris))

    def add(self, content: bytes, kind: str = "webp") -> int:
        """A picture's bytes; returns its place in `uris`."""
        uri = f"data:image/{kind};base64," + base64.b64encode(content).decode()
        if uri not in self._places:
            self._places[uri] = len(self.uris)
            self.uris.append(uri)
        return self._places[uri]


def n_characters(content: bytes) -> int:
    """What a picture adds to the page."""
    return len(content) * 4 // 3 + 40


def strip(images: np.ndarray) -> bytes:
    """Images uint8 [n, h, w], ten in a row."""
    step = -(-max(images.shape[1:]) // LARGEST)
    content = io.BytesIO()
    Image.fromarray(tile(images[:, ::step, ::step], min(ROW, len(images)))).save(
        content, "WEBP", quality=QUALITY, method=2
    )
    return content.getvalue()


def figure_webp(png: bytes, width: int = FIGURE_WIDTH) -> bytes:
    """A figure from its PNG, at most `width` pixels wide."""
    content = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        figure = image.convert("RGB")
    if figure.width > width:
        figure = figure.resize((width, round(figure.height * width / figure.width)), Image.Resampling.LANCZOS)
    figure.save(content, "WEBP", quality=FIGURE_QUALITY, method=4)
    return content.getvalue()


@dataclass(frozen=True)
class Shown:
    """What one model shows: images uint8 [n, h, w]; None where it has no such picture.

    epoch: of its weights. kl: of each latent, the largest first, nats per image; () without a posterior.
    """

    epoch: int
    inputs: np.ndarray | None
    outputs: np.ndarray | None
    samples: np.ndarray
    kl: Sequence[float] = ()

    @classmethod
    def of_preview(cls, epoch: int, preview: Preview) -> "Shown":
        """While the trial trains."""
        return cls(epoch, preview.inputs, preview.reconstructions, preview.samples)

    @cached_property
    def strips(self) -> dict[str, bytes]:
        """The pictures that there are, by name."""
        images = {"inputs": self.inputs, "outputs": self.outputs, "samples": self.samples}
        return {name: strip(shown) for name, shown in images.items() if shown is not None}

    def stored(self, album: Album) -> dict[str, Any]:
        """As the page's JSON has it, the pictures by their places in the album."""
        places = {name: album.add(content) for name, content in self.strips.items()}
        height, width = self.samples.shape[1:]
        return {"epoch": self.epoch, "size": [width, height], **places, "kl": [round(float(nat), 3) for nat in self.kl]}
