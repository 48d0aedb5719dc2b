import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from report.output.event_files import EventFile, encode_png, read_events

EVERYTHING = {"scalars": 0, "images": 0, "tensors": 0}


def _read(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), EVERYTHING)
    accumulator.Reload()
    return accumulator


def _scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in _read(folder).Scalars(tag)]


def test_tensorboard_reads_the_scalars_back(tmp_path: Path) -> None:
    with EventFile(tmp_path) as file:
        file.scalar("val/elbo", -104.5, step=1)
        file.scalars({"val/elbo": -103.25, "val/rate": 25.0}, step=2)
    assert _scalars(tmp_path, "val/elbo") == [(1, -104.5), (2, -103.25)]
    assert _scalars(tmp_path, "val/rate") == [(2, 25.0)]


def test_the_wall_time_is_now_unless_it_is_given(tmp_path: Path) -> None:
    with EventFile(tmp_path) as file:
        file.scalar("given", 1.0, step=1, wall_time=123.5)
    assert _read(tmp_path).Scalars("given")[0].wall_time == 123.5


def test_what_is_written_is_on_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    file = EventFile(tmp_path)
    file.scalar("val/elbo", -1.5, step=1)
    assert _scalars(tmp_path, "val/elbo") == [(1, -1.5)]
    file.close()


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3)])
def test_an_image_comes_back_pixel_by_pixel(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with EventFile(tmp_path) as file:
        file.image("grid", pixels, step=4)
        file.image("png", encode_png(pixels), step=4)
    for tag in ("grid", "png"):
        (event,) = _read(tmp_path).Images(tag)
        assert (event.step, event.width, event.height) == (4, 5, 3)
        assert np.array_equal(np.rint(imread(BytesIO(event.encoded_image_string)) * 255), pixels)


def test_a_gif_comes_back_as_it_is_with_its_size(tmp_path: Path) -> None:
    content = BytesIO()
    frames = [Image.new("L", (300, 5), grey) for grey in (10, 200)]
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
    with EventFile(tmp_path) as file:
        file.image("moving", content.getvalue(), step=4)
    (event,) = _read(tmp_path).Images("moving")
    assert (event.step, event.width, event.height) == (4, 300, 5)
    assert event.encoded_image_string == content.getvalue()


def test_a_text_keeps_its_tag_and_its_letters(tmp_path: Path) -> None:
    with EventFile(tmp_path) as file:
        file.text("summary", "| \N{GREEK SMALL LETTER BETA} |\n|---|\n| 1 |")
    (event,) = _read(tmp_path).Tensors("summary")
    assert tensor_util.make_ndarray(event.tensor_proto).tolist() == ["| β |\n|---|\n| 1 |".encode()]


def test_two_files_of_one_second_are_two_files_in_order(tmp_path: Path) -> None:
    for step in range(12):
        with EventFile(tmp_path) as file:
            file.scalar("tag", step, step)
    assert len(list(tmp_path.glob("*tfevents*"))) == 12
    steps = [event.step for event in read_events(tmp_path) if event.summary.value]
    assert steps == list(range(12))


@given(st.integers(0, 60))
def test_a_torn_file_is_read_up_to_the_tear(tmp_path_factory: pytest.TempPathFactory, n_lost: int) -> None:
    folder = tmp_path_factory.mktemp("torn")
    with EventFile(folder) as file:
        for step in (1, 2, 3):
            file.scalar("tag", 1.0, step)
    (path,) = folder.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - n_lost])
    steps = [event.step for event in read_events(folder) if event.summary.value]
    record_bytes = 16 + struct.unpack("<Q", content[-_last_record(content) :][:8])[0]
    n_whole = 3 - -(-n_lost // record_bytes)
    assert steps == [1, 2, 3][:n_whole]


def _last_record(content: bytes) -> int:
    """Its bytes: an independent walk over the file, length (8), its checksum (4), data, its checksum (4)."""
    place, size = 0, 0
    while place < len(content):
        size = 16 + struct.unpack_from("<Q", content, place)[0]
        place += size
    return size


def test_an_empty_file_and_a_missing_folder_hold_no_events(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1").touch()
    assert list(read_events(tmp_path)) == []
    assert list(read_events(tmp_path / "missing")) == []
