"""Write a TensorBoard event file record by record, and read the event files of a folder.

TensorBoard's own EventFileWriter starts a thread per file and keeps records back for up to two minutes. A sweep
writes a few records per epoch, and they must outlive a killed driver, so each record goes to the operating system
at once.
"""

import io
import itertools
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer.record_writer import RecordWriter

from vae.files import cannot_write

_serial = itertools.count()


class EventFile:
    """A new event file in a folder. Raises OSError if it cannot be written."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard wants "tfevents" in the name and reads a folder's files in the order of their names.
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_serial):06d}"
        self.path = folder / name
        self._file = self.path.open("xb")
        self._records = RecordWriter(self._file)
        self._write(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def scalar(self, tag: str, value: float, step: int, wall_time: float | None = None) -> None:
        self.scalars({tag: value}, step, wall_time)

    def scalars(self, values: Mapping[str, float], step: int, wall_time: float | None = None) -> None:
        """Several scalars, in one record."""
        summary = summary_pb2.Summary()
        for tag, value in values.items():
            summary.value.add(tag=tag, simple_value=value)
        self.summary(summary, step, wall_time)

    def image(self, tag: str, image: np.ndarray | bytes, step: int) -> None:
        """image: uint8 [h, w] or [h, w, 3], or the bytes of a PNG file or of a GIF, which TensorBoard plays."""
        encoded = image if isinstance(image, bytes) else encode_png(image)
        width, height = _size(encoded)
        summary = summary_pb2.Summary()
        content = summary_pb2.Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
        summary.value.add(tag=tag, image=content)
        self.summary(summary, step)

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        one = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])
        tensor = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING, tensor_shape=one, string_val=[markdown.encode("utf-8")]
        )
        metadata = text_metadata.create_summary_metadata(display_name=None, description=None)
        summary = summary_pb2.Summary()
        summary.value.add(tag=tag, metadata=metadata, tensor=tensor)
        self.summary(summary, step)

    def summary(self, summary: summary_pb2.Summary, step: int = 0, wall_time: float | None = None) -> None:
        """Any summary message, such as those of the HParams plugin."""
        self._write(event_pb2.Event(wall_time=wall_time or time.time(), step=step, summary=summary))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "EventFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _write(self, event: event_pb2.Event) -> None:
        self._records.write(event.SerializeToString())
        self._file.flush()


def write_images(folder: Path, images: Mapping[str, bytes], text: str = "") -> Path:
    """Replace the folder's event files by one with the images (PNG or GIF, by tag) and a summary.

    Raises UserError if it cannot be written.
    """
    with cannot_write(folder):
        for old in folder.glob("*tfevents*"):  # TensorBoard would show both files
            old.unlink()
        with EventFile(folder) as file:
            if text:
                file.text("summary", text)
            for tag, content in images.items():
                file.image(tag, content, step=0)
            return file.path


def _size(encoded: bytes) -> tuple[int, int]:
    """Width and height from the header of a GIF or PNG file."""
    is_gif = encoded.startswith(b"GIF8")
    width, height = struct.unpack("<HH", encoded[6:10]) if is_gif else struct.unpack(">II", encoded[16:24])
    return width, height


def encode_png(image: np.ndarray) -> bytes:
    """uint8 [h, w] or [h, w, 3] as the bytes of a PNG file."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="PNG")
    return content.getvalue()


def read_events(folder: Path) -> Iterator[event_pb2.Event]:
    """The events of the event files in this folder, oldest file first; a torn file is read up to the tear."""
    for path in sorted(folder.glob("*tfevents*")):
        if path.stat().st_size:  # the loader fails on an empty file
            yield from LegacyEventFileLoader(str(path)).Load()
