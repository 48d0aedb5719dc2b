"""vae/freyface.py."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from vae.datasets.registry import DATASETS, load, resolve
from vae.datasets.types import SplitName
from vae.errors import DataError

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
FILE = "frey_rawface.mat"
DATA_STARTS = 128 + 8 + 16 + 16 + 8 + 8  # of a MAT file: header; tags of matrix, flags, shape, name, data


def film() -> np.ndarray:
    """uint8 [560, 1965]: frame f is white but for its number, in the first two pixels."""
    frames = np.full((560, 1965), 255, np.uint8)
    frames[0], frames[1] = np.arange(1965) // 256, np.arange(1965) % 256
    return frames


def write(folder: Path, **variables: object) -> Path:
    path = folder / "FreyFace" / FILE
    path.parent.mkdir(exist_ok=True)
    savemat(path, variables)
    return path


def refused(folder: Path) -> str:
    """The line with which both finding and reading refuse what is in the folder."""
    for fails in (lambda: resolve("freyface", folder), lambda: load("freyface", folder, "train")):
        with pytest.raises(DataError, match=FILE) as caught:
            fails()
        assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- splits


def test_the_film_is_split_in_its_order_1565_200_200(tmp_path: Path) -> None:
    write(tmp_path, ff=film())
    numbers = {}
    for split in SPLITS:
        images = load("freyface", tmp_path, split)
        assert (images.pixels.dtype, images.labels.dtype) == (np.uint8, np.int64)
        assert not images.labels.any()
        numbers[split] = (images.pixels[:, 0].astype(int) * 256 + images.pixels[:, 1]).tolist()
    assert numbers == {
        "train": list(range(1565)),
        "validation": list(range(1565, 1765)),
        "test": list(range(1765, 1965)),
    }


@pytest.mark.freyface
def test_the_real_splits_one_after_the_other_are_scipys_array(data_dir: Path) -> None:
    path = next(path for path in (data_dir / "FreyFace" / FILE, data_dir / FILE) if path.is_file())
    theirs = loadmat(path)["ff"]
    assert theirs.shape == (560, 1965)
    splits = [load("freyface", data_dir, split).pixels for split in SPLITS]
    assert [pixels.shape for pixels in splits] == [(1565, 560), (200, 560), (200, 560)]
    assert np.array_equal(np.concatenate(splits), theirs.T)
    assert len({frame.tobytes() for pixels in splits for frame in pixels}) == 1965


@pytest.mark.freyface
def test_a_real_frame_is_a_picture_of_28_rows_and_20_columns(data_dir: Path) -> None:
    """Neighbouring pixels of a picture are alike: read with any other shape or order they are less so."""
    pixels = load("freyface", data_dir, "train").pixels.astype(float)

    def roughness(frames: np.ndarray) -> float:
        return float(np.abs(np.diff(frames, axis=1)).mean() + np.abs(np.diff(frames, axis=2)).mean())

    height, width = DATASETS["freyface"].image_shape
    assert (height, width) == (28, 20)
    ours = roughness(pixels.reshape(-1, height, width))
    others = [pixels.reshape(-1, h, 560 // h) for h in range(2, 280) if 560 % h == 0 and h != height]
    assert ours < 0.9 * min(roughness(frames) for frames in others)
    # the dark beside the face is left and right of it, brighter than neither above nor below
    mean = pixels.mean(0).reshape(height, width)
    assert mean[:, [0, -1]].mean() < mean[[0, -1]].mean() + 20


def test_there_are_no_labels() -> None:
    assert DATASETS["freyface"].class_names == ()


def test_the_file_may_stand_in_the_data_folder_itself(tmp_path: Path) -> None:
    savemat(tmp_path / FILE, {"ff": film()})
    assert resolve("freyface", tmp_path) == ("freyface", f"freyface: in {tmp_path}")
    assert load("freyface", tmp_path, "test").pixels[0, :2].tolist() == [1765 // 256, 1765 % 256]


# ---- what is refused


def test_a_missing_file_is_one_line_that_says_where_to_put_what(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^--dataset freyface: Frey Face is not in") as caught:
        resolve("freyface", tmp_path)
    assert str(caught.value).endswith(
        f"put {FILE} (key ff, uint8 560 x 1,965; from https://cs.nyu.edu/~roweis/data/frey_rawface.mat) "
        f"at {tmp_path / 'FreyFace' / FILE}"
    )
    refused(tmp_path)


@pytest.mark.parametrize(
    "variables",
    [
        {"fg": film()},  # of the same size
        {"ff": film().T},
        {"ff": film().reshape(280, 3930)},
        {"ff": film().view(np.int8)},
    ],
)
def test_a_file_of_the_right_size_that_holds_something_else_is_refused(
    tmp_path: Path, variables: dict[str, object]
) -> None:
    path = write(tmp_path, **variables)
    assert path.stat().st_size == 1_100_584
    assert refused(tmp_path).startswith(
        f"{path}: not a MAT file of version 5 with key ff, uint8 560 x 1,965, uncompressed: get it from https://"
    )


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", bytes(1_100_583), bytes(1_100_585)])
def test_a_file_of_another_size_is_refused_with_its_size(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, ff=film())
    path.write_bytes(content)
    assert refused(tmp_path).startswith(
        f"{path}: {len(content):,} bytes, expected 1,100,584 (key ff, uint8 560 x 1,965); it is truncated or something"
    )


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    return write(tmp_path, ff=film()).read_bytes()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, DATA_STARTS - 1), new=st.binary(min_size=1, max_size=4))
def test_a_damaged_header_is_refused_or_leaves_the_film_as_it_was(
    tmp_path: Path, content: bytes, position: int, new: bytes
) -> None:
    """On some of these scipy's own reader ends the process."""
    new = new[: DATA_STARTS - position]
    (tmp_path / "FreyFace" / FILE).write_bytes(content[:position] + new + content[position + len(new) :])
    if position + len(new) <= 124 or content[position:].startswith(new):  # text for people
        assert np.array_equal(load("freyface", tmp_path, "train").pixels, film().T[:1565])
    else:
        refused(tmp_path)
