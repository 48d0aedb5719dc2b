"""The projector's files, and what a running TensorBoard makes of them."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from report.build import build_report
from report.models.subject import Subject
from report.output import projector
from report.output.event_files import EventFile
from report.output.projector import (
    CONFIG_FILE,
    METADATA_FILE,
    SPRITE_FILE,
    VECTORS_FILE,
    sprite_columns,
    write_projector,
)
from tests.material.reports import trained
from tests.material.subjects import untrained
from tests.material.tensorboard import serving
from vae.datasets.types import Images
from vae.errors import UserError


def subject_of(images: Images, shape: tuple[int, int], class_names: tuple[str, ...] = (), **config: object) -> Subject:
    """A model with weights of its seed."""
    return untrained(images, shape, [], class_names=class_names, **{"latent_size": 4, "hidden_units": 16, **config})


@pytest.fixture(scope="module")
def subject(digits: dict[str, Images]) -> Subject:
    return subject_of(digits["validation"], (8, 8), tuple("0123456789"))


def noise(n: int, height: int, width: int) -> Images:
    """No labels."""
    pixels = np.random.default_rng(n).integers(0, 256, (n, height * width), np.uint8)
    return Images(pixels, np.zeros(n, np.int64))


def codes_of(subject: Subject) -> np.ndarray:
    with torch.no_grad():
        x = torch.from_numpy(subject.images.pixels).float() / 255
        codes: np.ndarray = subject.model.encode(x).mean.numpy()
    return codes


def vectors(folder: Path) -> np.ndarray:
    return np.loadtxt(folder / VECTORS_FILE, delimiter="\t", dtype=np.float32, ndmin=2)


def sprite(folder: Path) -> np.ndarray:
    """Grey and opacity, uint8 [H, W, 2]."""
    with Image.open(folder / SPRITE_FILE) as image:
        assert image.mode == "LA"
        return np.asarray(image)


def test_every_vector_is_its_images_code(subject: Subject, tmp_path: Path) -> None:
    paths = write_projector(subject, tmp_path)
    assert paths == [tmp_path / name for name in (VECTORS_FILE, METADATA_FILE, SPRITE_FILE, CONFIG_FILE)]
    assert vectors(tmp_path) == pytest.approx(codes_of(subject), rel=1e-5, abs=1e-6)


def test_place_i_of_the_sprite_shows_image_i(subject: Subject, tmp_path: Path) -> None:
    """TensorBoard 2.21's own arithmetic: column i mod (columns), row floor(i / rows)."""
    write_projector(subject, tmp_path)
    sheet = sprite(tmp_path)
    columns, rows = sheet.shape[1] // 8, sheet.shape[0] // 8
    for index, pixels in enumerate(subject.images.pixels):
        top, left = index // rows * 8, index % columns * 8
        assert np.array_equal(sheet[top : top + 8, left : left + 8, 0], pixels.reshape(8, 8))
        assert (sheet[top : top + 8, left : left + 8, 1] == 255).all()


@given(st.integers(1, 5000))
def test_the_sprite_is_square_and_a_float_finds_every_row(n: int) -> None:
    columns = sprite_columns(n)
    assert columns**2 >= n
    assert columns == 1 or (columns // 2) ** 2 < n
    reciprocal = np.float32(1) / np.float32(columns)  # a graphics card may divide in this way
    index = np.arange(n)
    assert np.array_equal(np.floor(index.astype(np.float32) * reciprocal).astype(int), index // columns)


@pytest.mark.parametrize(("height", "width"), [(28, 20), (3, 7)])
def test_images_that_are_not_square_keep_their_proportions(tmp_path: Path, height: int, width: int) -> None:
    images = noise(5, height, width)
    write_projector(subject_of(images, (height, width)), tmp_path)
    side, sheet = max(height, width), sprite(tmp_path)
    assert sheet.shape == (4 * side, 4 * side, 2)
    for index in range(16):
        place = sheet[index // 4 * side :, index % 4 * side :][:side, :side]
        seen = np.argwhere(place[..., 1] == 255)
        assert len(seen) == (height * width if index < 5 else 0)
        if index < 5:
            assert np.array_equal(place[..., 0][place[..., 1] == 255], images.pixels[index])
            assert np.abs((seen.min(axis=0) + seen.max(axis=0) + 1) / 2 - side / 2).max() <= 0.5  # in the middle


def test_large_images_are_shrunk_until_the_sprite_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector, "LARGEST_SPRITE", 64)
    images = noise(16, 32, 32)
    write_projector(subject_of(images, (32, 32)), tmp_path)
    sheet = sprite(tmp_path)
    assert sheet.shape == (64, 64, 2)
    expected = images.pixels[6].reshape(16, 2, 16, 2).mean(axis=(1, 3))
    assert np.abs(sheet[16:32, 32:48, 0] - expected).max() <= 1


def test_of_more_images_some_are_taken_from_the_whole_split(subject: Subject, tmp_path: Path) -> None:
    write_projector(subject, tmp_path, n=10)
    rows = [line.split("\t") for line in (tmp_path / METADATA_FILE).read_text().splitlines()]
    assert rows[0] == ["class", "image"]
    places = [int(place) for _, place in rows[1:]]
    assert (places[0], places[-1], len(places)) == (0, 179, 10)
    assert set(np.diff(places)) <= {19, 20}
    assert vectors(tmp_path) == pytest.approx(codes_of(subject)[places], rel=1e-5, abs=1e-6)
    assert [int(name) for name, _ in rows[1:]] == subject.images.labels[places].tolist()


def test_classes_have_their_names_and_a_tab_in_one_does_no_harm(tmp_path: Path) -> None:
    images = Images(noise(4, 2, 2).pixels, np.array([0, 1, 2, 1]))
    write_projector(
        subject_of(images, (2, 2), ("T-shirt/top", "a\tb", "Gr\N{LATIN SMALL LETTER O WITH DIAERESIS}n")), tmp_path
    )
    text = (tmp_path / METADATA_FILE).read_text(encoding="utf-8")
    assert text == "class\timage\nT-shirt/top\t0\na b\t1\nGr\N{LATIN SMALL LETTER O WITH DIAERESIS}n\t2\na b\t3\n"


def test_without_labels_a_point_is_named_by_its_frame(tmp_path: Path) -> None:
    """A header over a single column would be taken for the first point."""
    write_projector(subject_of(noise(3, 28, 20), (28, 20)), tmp_path)
    assert (tmp_path / METADATA_FILE).read_text() == "0\n1\n2\n"


@pytest.mark.parametrize("latent_size", [1, 2])
def test_fewer_than_three_latents_are_filled_up_with_zeros(
    digits: dict[str, Images], tmp_path: Path, latent_size: int
) -> None:
    few = subject_of(digits["validation"], (8, 8), latent_size=latent_size)
    write_projector(few, tmp_path)
    found = vectors(tmp_path)
    assert found.shape == (180, 3)
    assert found[:, :latent_size] == pytest.approx(codes_of(few), rel=1e-5, abs=1e-6)
    assert (found[:, latent_size:] == 0).all()


def test_an_autoencoder_shows_its_codes(digits: dict[str, Images], tmp_path: Path) -> None:
    autoencoder = subject_of(digits["validation"], (8, 8), mode="autoencoder")
    write_projector(autoencoder, tmp_path)
    with torch.no_grad():
        expected = autoencoder.model.code(torch.from_numpy(digits["validation"].pixels).float() / 255).numpy()
    assert vectors(tmp_path) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_decoder_alone_has_no_projector(digits: dict[str, Images], tmp_path: Path) -> None:
    assert write_projector(subject_of(digits["validation"], (8, 8), mode="decoder_only"), tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_the_users_error(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "projector").touch()
    with pytest.raises(UserError, match=r"projector/vectors\.tsv: cannot write"):
        write_projector(subject, tmp_path)


@pytest.mark.parametrize("in_a_run", [False, True])
def test_tensorboard_serves_it_where_there_is_a_run_and_where_there_is_none(
    subject: Subject, tmp_path: Path, in_a_run: bool
) -> None:
    folder, run = (tmp_path / "report", "report") if in_a_run else (tmp_path, ".")
    write_projector(subject, folder)
    if in_a_run:
        with EventFile(folder) as file:
            file.text("summary", "a run")
    with serving(tmp_path) as client:
        client.until(n_runs=int(in_a_run))
        assert client.get("plugin/projector/runs") == [run]
        (embedding,) = client.get(f"plugin/projector/info?run={run}")["embeddings"]
        assert embedding["tensorShape"] == [180, 4]
        assert embedding["sprite"]["singleImageDim"] == [8, 8]
        of = f"run={run}&name={embedding['tensorName']}"
        tensor = np.frombuffer(client.content(f"plugin/projector/tensor?{of}"), np.float32).reshape(180, 4)
        assert np.array_equal(tensor, subject.codes.astype(np.float32))
        metadata = client.content(f"plugin/projector/metadata?{of}").decode().splitlines()
        assert metadata[0] == "class\timage"
        assert [int(line.split("\t")[0]) for line in metadata[1:]] == subject.images.labels.tolist()
        content = client.content(f"plugin/projector/sprite_image?{of}")
        assert content == (folder / SPRITE_FILE).read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            assert image.size == (128, 128)


@pytest.mark.slow
def test_a_sweeps_report_has_the_projector_of_its_best_model_with_an_encoder(
    digits: dict[str, Images], tmp_path: Path
) -> None:
    configs = [{"latent_size": 3}, {"latent_size": 5, "learning_rate": 1e-6}]
    swept = trained(tmp_path / "demo", digits, configs, epochs=2)
    build_report(swept, Path("unused"), 2, lambda _: None)
    assert vectors(swept.folder / "report").shape == (180, 3)  # the second has hardly learned anything
    with serving(swept.folder) as client:
        client.until(n_runs=1)
        assert client.get("plugin/projector/runs") == ["report"]
