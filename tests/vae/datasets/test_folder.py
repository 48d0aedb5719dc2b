"""vae/datasets/folder.py."""

import os
import shutil
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vae.datasets import folder as image_folder
from vae.datasets.folder import MOST_PIXELS, folder_spec, shuffled, split_rows
from vae.datasets.registry import load, resolve, spec
from vae.datasets.types import Images, SplitName
from vae.errors import DataError

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
UNUSED = Path("unused")
WIDTH, HEIGHT = 6, 4


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    yield
    folder_spec.cache_clear()


def image(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Grey noise that only this number gives."""
    return np.random.default_rng(number).integers(0, 256, (height, width)).astype(np.uint8)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_images(folder: Path, n: int, suffix: str = ".png") -> None:
    for number in range(n):
        write(folder / f"{number:03}{suffix}", image(number))


def load_all(folder: Path) -> dict[SplitName, Images]:
    return {split: load(str(folder), UNUSED, split) for split in SPLITS}


def numbers_in(images: Images, n: int) -> list[int]:
    """Which of the first n images these are."""
    number = {image(each).tobytes(): each for each in range(n)}
    return [number[row.tobytes()] for row in images.pixels]


def refused(folder: Path) -> str:
    with pytest.raises(DataError, match=str(folder)) as caught:
        resolve(str(folder), UNUSED)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- what is read


def test_every_image_is_in_one_split_row_by_row(tmp_path: Path) -> None:
    write_images(tmp_path, 40)
    splits = load_all(tmp_path)
    found = {split: numbers_in(images, 40) for split, images in splits.items()}
    assert [len(numbers) for numbers in found.values()] == [32, 4, 4]
    assert sorted(chain.from_iterable(found.values())) == list(range(40))
    assert found["train"] != sorted(found["train"])
    for images in splits.values():
        assert (images.pixels.dtype, images.labels.dtype) == (np.uint8, np.int64)
        assert not images.labels.any()
    about = spec(str(tmp_path), UNUSED)
    assert (about.image_shape, about.class_names) == ((HEIGHT, WIDTH), ())
    assert about.n_images == {"train": 32, "validation": 4, "test": 4}


def test_a_folder_resolves_to_its_absolute_path_and_says_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "mine", 20)
    monkeypatch.chdir(tmp_path)
    expected = (str(tmp_path / "mine"), f"{tmp_path / 'mine'}: 20 images of 4 x 6 pixels")
    for name in ("mine", "./mine", "mine/", str(tmp_path / "mine"), "../" + tmp_path.name + "/mine"):
        assert resolve(name, UNUSED) == expected


def test_sub_folders_are_labels_in_the_order_of_their_names(tmp_path: Path) -> None:
    for label, first in (("zebra", 0), ("ant", 20), ("Bee", 40)):
        for number in range(first, first + 20):
            write(tmp_path / label / f"{number % 20}.png", image(number))
    about = spec(str(tmp_path), UNUSED)
    assert about.class_names == ("Bee", "ant", "zebra")
    assert resolve(str(tmp_path), UNUSED)[1].endswith(": 60 images of 4 x 6 pixels, 3 labels")
    for images in load_all(tmp_path).values():
        numbers = np.array(numbers_in(images, 60))
        assert images.labels.tolist() == [{0: 2, 1: 1, 2: 0}[number // 20] for number in numbers]


def test_every_format_is_read_as_grey(tmp_path: Path) -> None:
    """The lossless ones exactly; JPEG and WebP of an even grey to within a step."""
    for number in range(6):
        for suffix in (".png", ".bmp", ".gif", ".tif", ".TIFF", ".PNG"):
            write(tmp_path / f"{number}{suffix[1:]}{suffix}", image(number))
    rows = [row.tobytes() for images in load_all(tmp_path).values() for row in images.pixels]
    assert sorted(rows) == sorted([image(number).tobytes() for number in range(6)] * 6)
    for suffix in (".jpg", ".jpeg", ".JPG", ".webp"):
        folder = tmp_path / "even" / suffix[1:]
        for number in range(10):
            write(folder / f"{number}{suffix}", np.full((8, 8), 20 * number + 30, np.uint8))
        greys = sorted(int(row.mean()) for images in load_all(folder).values() for row in images.pixels)
        assert greys == pytest.approx([20 * number + 30 for number in range(10)], abs=1)


def test_colours_become_grey_as_itu_r_601_weighs_them(tmp_path: Path) -> None:
    """0.299 R + 0.587 G + 0.114 B."""
    colours = np.random.default_rng(0).integers(0, 256, (20, 1, 1, 3)).astype(np.uint8)
    for number, colour in enumerate(colours):
        write(tmp_path / f"{number}.png", np.broadcast_to(colour, (4, 6, 3)).copy())
    greys = sorted(int(row[0]) for images in load_all(tmp_path).values() for row in images.pixels)
    assert greys == pytest.approx(sorted(colours[:, 0, 0] @ [0.299, 0.587, 0.114]), abs=1)


def test_sixteen_bits_become_eight_and_are_not_clipped(tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / f"{number}.png", image(number).astype(np.uint16) * 257)
    numbers = [number for images in load_all(tmp_path).values() for number in numbers_in(images, 10)]
    assert sorted(numbers) == list(range(10))


def test_black_images_are_images(tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / f"{number}.png", np.zeros((4, 4), np.uint8))
    assert not load(str(tmp_path), UNUSED, "train").pixels.any()


def test_what_is_hidden_or_no_image_by_its_name_is_ignored(tmp_path: Path) -> None:
    write_images(tmp_path, 10)
    write(tmp_path / ".hidden.png", image(99, 9, 9))
    write(tmp_path / ".cache" / "thumbnail.png", image(98, 9, 9))
    (tmp_path / "notes").mkdir()
    for name in ("labels.csv", "README", "notes/list.txt"):
        (tmp_path / name).write_text("not an image")
    found = [number for images in load_all(tmp_path).values() for number in numbers_in(images, 10)]
    assert sorted(found) == list(range(10))


# ---- colour and transparency

INK = np.zeros((HEIGHT, WIDTH), bool)
INK[1:3, 2:4] = True  # a glyph
GREY_INK = np.where(INK, 10, 0).astype(np.uint8)


def with_alpha(mode: str) -> Image.Image:
    """A glyph of grey value 10; around it the grey value is 0, and all is transparent."""
    picture = Image.fromarray(GREY_INK).convert(mode.removesuffix("A"))
    if mode == "PA":  # the index is the grey value
        picture.putpalette([value for value in range(256) for _ in range(3)])
    picture = picture.convert(mode)
    picture.putalpha(Image.fromarray(np.where(INK, 255, 0).astype(np.uint8)))
    return picture


def with_a_transparent_value(mode: str) -> Image.Image:
    """The same glyph around which one value of the pixels is said to be transparent."""
    picture = Image.fromarray(GREY_INK)
    if mode == "P":
        picture = picture.convert("P")
        picture.putpalette([value for value in range(256) for _ in range(3)])
    return picture.convert(mode)


GLYPHS: dict[str, tuple[str, Image.Image, dict[str, Any]]] = {  # suffix, image, how it is saved
    "RGBA": (".png", with_alpha("RGBA"), {}),
    "LA": (".png", with_alpha("LA"), {}),
    "PA": (".tif", with_alpha("PA"), {}),
    "RGBA in WebP": (".webp", with_alpha("RGBA"), {"lossless": True}),
    "RGBA in TIFF": (".tif", with_alpha("RGBA"), {}),
    "P, one transparent colour": (".png", with_a_transparent_value("P"), {"transparency": 0}),
    "P, an alpha per colour": (".png", with_a_transparent_value("P"), {"transparency": bytes([0])}),
    "P in GIF": (".gif", with_a_transparent_value("P"), {"transparency": 0}),
    "L, one transparent grey": (".png", with_a_transparent_value("L"), {"transparency": 0}),
    "RGB, one transparent colour": (".png", with_a_transparent_value("RGB"), {"transparency": (0, 0, 0)}),
}


@pytest.mark.parametrize("case", GLYPHS)
def test_a_dark_glyph_on_transparency_is_dark_on_white(tmp_path: Path, case: str) -> None:
    suffix, picture, how = GLYPHS[case]
    for number in range(10):
        picture.save(tmp_path / f"{number}{suffix}", **how)
    assert resolve(str(tmp_path), UNUSED)[1].endswith(": 10 images of 4 x 6 pixels, transparent: laid on white")
    for row in load(str(tmp_path), UNUSED, "train").pixels:
        assert row.reshape(HEIGHT, WIDTH).tolist() == np.where(INK, 10, 255).tolist()


def test_half_transparent_grey_is_mixed_with_white(tmp_path: Path) -> None:
    """alpha * grey + (1 - alpha) * 255, the over operator of Porter and Duff on white."""
    grey, alpha = np.random.default_rng(0).integers(0, 256, (2, 10, 1, 1)).astype(np.uint8)
    for number in range(10):
        pixels = np.concatenate([grey[number], alpha[number]], axis=-1)
        write(tmp_path / f"{number}.png", np.broadcast_to(pixels, (4, 6, 2)).copy())
    share = alpha.ravel() / 255
    expected = sorted(share * grey.ravel() + (1 - share) * 255)
    found = sorted(int(row[0]) for images in load_all(tmp_path).values() for row in images.pixels)
    assert found == pytest.approx(expected, abs=1)


def test_an_alpha_channel_that_hides_nothing_changes_nothing(tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / f"{number}.png", np.stack([image(number), np.full((HEIGHT, WIDTH), 255, np.uint8)], axis=-1))
    assert resolve(str(tmp_path), UNUSED)[1].endswith(": 10 images of 4 x 6 pixels")
    numbers = [number for images in load_all(tmp_path).values() for number in numbers_in(images, 10)]
    assert sorted(numbers) == list(range(10))


def test_transparency_in_sixteen_bits_is_refused(tmp_path: Path) -> None:
    for number in range(10):
        Image.fromarray(image(number).astype(np.uint16) * 257).save(tmp_path / f"{number}.png", transparency=257)
    said = refused(tmp_path)
    assert said.endswith(".png: transparency in pixels of 16 bits; allowed: 16 bits without it, or 8 bits")


@pytest.mark.parametrize(
    ("n_coloured", "says"),
    [(0, ""), (3, ", 3 in colour: turned to grey"), (12, ", in colour: turned to grey")],
)
@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_the_line_about_a_folder_says_that_colours_are_turned_to_grey(
    tmp_path: Path, n_coloured: int, says: str, suffix: str
) -> None:
    """Three channels that are equal are no colour."""
    for number in range(12):
        pixels = np.stack([image(number)] * 3, axis=-1)
        if number < n_coloured:
            pixels[0, 0] = (250, 20, 20)
        write(tmp_path / "label" / f"{number}{suffix}", pixels)
    assert resolve(str(tmp_path), UNUSED)[1].endswith(f": 12 images of 4 x 6 pixels, 1 label{says}")


def test_a_colour_that_nobody_sees_is_none(tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / f"{number}.png", np.broadcast_to(np.array([250, 20, 20, 0], np.uint8), (4, 6, 4)).copy())
    assert resolve(str(tmp_path), UNUSED)[1].endswith(": 10 images of 4 x 6 pixels, transparent: laid on white")
    assert (load(str(tmp_path), UNUSED, "train").pixels == 255).all()


# ---- splits that never move


def test_the_split_is_of_names_alone(tmp_path: Path) -> None:
    """The order in which a disk lists files, and what is in them, moves nobody."""
    names = [f"{number:03}.png" for number in range(30)]
    for folder, order in (("a", names), ("b", names[::-1])):
        for number, name in enumerate(order):
            write(tmp_path / folder / name, image(int(name[:3]) + 1000 * (folder == "b") * (number % 2)))
    first, second = (load(str(tmp_path / folder), UNUSED, "train").pixels for folder in ("a", "b"))
    same = [row.tobytes() == other.tobytes() for row, other in zip(first, second, strict=True)]
    expected = [int(name[:3]) % 2 == 1 for name in map(str, shuffled([Path(name) for name in names])[:24])]
    assert same == expected


def test_the_split_is_the_same_in_every_process_and_version() -> None:
    """A new order would be a new split: whoever changes it must see this fail. Taken down on 2026-11-21."""
    files = [Path(f"{number:02}.png") for number in range(20)]
    order = [int(file.stem) for file in shuffled(files)]
    assert order == np.random.RandomState(801010).permutation(20).tolist()
    assert order == [15, 2, 4, 10, 7, 17, 13, 1, 12, 3, 5, 6, 16, 11, 19, 9, 0, 8, 14, 18]


@given(st.lists(st.text("ab/. -_é", min_size=1, max_size=6).map(Path), unique=True, max_size=30), st.randoms())
def test_the_order_does_not_depend_on_the_order_given(files: list[Path], random: object) -> None:
    mixed = list(files)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert shuffled(mixed) == shuffled(files)
    assert set(shuffled(files)) == set(files)


@given(st.integers(10, 100_000))
def test_the_splits_are_80_10_10_without_a_gap(n_images: int) -> None:
    rows = split_rows(n_images)
    assert [row for split in SPLITS for row in range(n_images)[rows[split]]] == list(range(n_images))
    sizes = {split: len(range(n_images)[part]) for split, part in rows.items()}
    assert sizes["validation"] == sizes["test"] == max(2, n_images // 10)


def test_a_folder_is_read_once_in_a_process(tmp_path: Path) -> None:
    write_images(tmp_path, 10)
    first = spec(str(tmp_path), UNUSED)
    shutil.rmtree(tmp_path)
    assert folder_spec(tmp_path) is first


def test_the_digest_tells_images_and_labels_from_others(tmp_path: Path) -> None:
    def digest(name: str) -> str:
        return spec(str(tmp_path / name), UNUSED).digest

    write_images(tmp_path / "one", 10)
    shutil.copytree(tmp_path / "one", tmp_path / "same")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    write(tmp_path / "other" / "003.png", image(3) ^ 1)
    write_images(tmp_path / "labelled" / "a", 5)
    for number in range(5, 10):
        write(tmp_path / "labelled" / "b" / f"{number:03}.png", image(number))
    assert digest("one") == digest("same")
    assert len({digest(name) for name in ("one", "other", "labelled")}) == 3


# ---- what is refused


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none") == f"--dataset {tmp_path / 'none'}: no such folder"
    (tmp_path / "file.png").write_bytes(b"")
    assert refused(tmp_path / "file.png").endswith("no such folder")


def test_a_folder_without_images_says_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x")
    assert refused(tmp_path) == (
        f"{tmp_path}: no images; expected PNG, JPEG, BMP, GIF, TIFF or WebP files in the folder itself, "
        "or in one sub-folder per label"
    )


@pytest.mark.parametrize("n", [1, 9])
def test_fewer_than_ten_images_are_refused(tmp_path: Path, n: int) -> None:
    write_images(tmp_path, n)
    assert refused(tmp_path) == f"{tmp_path}: {n} images; allowed: at least 10"


def test_images_of_several_sizes_are_refused_with_two_of_them(tmp_path: Path) -> None:
    write_images(tmp_path, 12)
    write(tmp_path / "odd.png", image(0, WIDTH + 1, HEIGHT))
    said = refused(tmp_path)
    assert "images of several sizes: " in said
    assert "odd.png" in said
    assert f"has {WIDTH} x {HEIGHT} pixels" in said or f".png {WIDTH} x {HEIGHT} (width x height)" in said
    assert f"{WIDTH + 1} x {HEIGHT}" in said


def test_an_image_that_is_turned_is_of_another_size(tmp_path: Path) -> None:
    write_images(tmp_path, 12)
    write(tmp_path / "turned.png", image(0, HEIGHT, WIDTH))
    assert "images of several sizes" in refused(tmp_path)


def test_images_beside_sub_folders_of_images_are_refused_with_an_example_of_each(tmp_path: Path) -> None:
    write_images(tmp_path, 10)
    write_images(tmp_path / "cats", 10)
    assert f"{tmp_path}: images at several depths, such as 000.png and cats/009.png; expected" in refused(tmp_path)


def test_images_too_deep_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "train" / "cats", 10)
    assert f"{tmp_path}: images too deep, such as train/cats/000.png; expected" in refused(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif", ".tiff", ".webp"])
def test_a_truncated_image_is_named(tmp_path: Path, suffix: str) -> None:
    """Cut anywhere, unless all pixels are before the cut."""
    write_images(tmp_path, 10, suffix)
    whole = load(str(tmp_path), UNUSED, "train")
    path = tmp_path / shuffled([Path(f"{number:03}{suffix}") for number in range(10)])[0]  # is in train
    content = path.read_bytes()
    n_refused = 0
    for length in range(0, len(content), 7):
        folder_spec.cache_clear()
        path.write_bytes(content[:length])
        try:
            assert np.array_equal(load(str(tmp_path), UNUSED, "train").pixels, whole.pixels)
        except DataError:
            n_refused += 1
            assert refused(tmp_path).startswith(f"{path}: not an image that can be read (")
    assert n_refused > 0.7 * len(range(0, len(content), 7))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from([".png", ".jpg", ".bmp", ".gif", ".tiff", ".webp"]))
def test_any_damage_is_told_in_a_line_or_read(tmp_path: Path, data: st.DataObject, suffix: str) -> None:
    """A pixel that has changed cannot be seen; what cannot be decoded is named, whatever the decoder raises."""
    folder_spec.cache_clear()
    folder = tmp_path / suffix[1:]
    if not folder.exists():
        write_images(folder, 10, suffix)
    path = folder / f"004{suffix}"
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    new = data.draw(st.binary(min_size=1, max_size=8))
    path.write_bytes(whole[:position] + new + whole[position + len(new) :])
    try:
        assert sum(len(images.pixels) for images in load_all(folder).values()) == 10
    except DataError:
        refused(folder)
    finally:
        path.write_bytes(whole)


def test_a_file_that_is_something_else_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, 10)
    (tmp_path / "page.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n")
    assert refused(tmp_path).startswith(f"{tmp_path / 'page.png'}: not an image that can be read")
    (tmp_path / "page.png").unlink()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    assert refused(tmp_path) == f"{tmp_path / 'gone.png'}: not an image that can be read (No such file or directory)"


@pytest.mark.parametrize(("width", "height"), [(MOST_PIXELS + 1, 1), (257, 256), (20_000, 20_000)])
def test_images_that_are_too_large_are_refused_with_what_is_allowed(tmp_path: Path, width: int, height: int) -> None:
    """The last one would be 400 million pixels: it is refused by its header."""
    write_images(tmp_path, 10)
    Image.new("1", (width, height)).save(tmp_path / "000.png")
    said = refused(tmp_path)
    assert said.startswith(f"{tmp_path / '000.png'}: ")
    assert said.endswith("pixels; allowed: at most 65,536 pixels, such as 256 x 256")


def test_the_largest_image_that_is_allowed_is_read(tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / f"{number}.png", image(number, 256, 256))
    assert spec(str(tmp_path), UNUSED).image_shape == (256, 256)


def test_pixels_of_32_bits_are_refused(tmp_path: Path) -> None:
    for number in range(10):
        Image.fromarray(image(number).astype(np.float32) / 255).save(tmp_path / f"{number}.tiff")
    assert "pixels of 32 bits; allowed: 8 or 16 bits a channel" in refused(tmp_path)


def test_a_name_that_is_not_utf8_is_a_label_that_can_be_printed(tmp_path: Path) -> None:
    try:
        os.makedirs(os.fsencode(tmp_path) + b"/caf\xe9")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    write_images(tmp_path / "ant", 10)
    for file in (tmp_path / "ant").iterdir():
        shutil.copy(file, os.fsencode(tmp_path) + b"/caf\xe9/" + os.fsencode(file.name))
    assert spec(str(tmp_path), UNUSED).class_names == ("ant", r"caf\xe9")


# ---- a long read


def test_a_long_read_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path, 30)
    spec(str(tmp_path), UNUSED)
    assert capsys.readouterr().out == ""
    folder_spec.cache_clear()
    monkeypatch.setattr(image_folder, "SILENT_SECONDS", 0.01)
    read = image_folder._read_image
    monkeypatch.setattr(image_folder, "_read_image", lambda path: time.sleep(0.002) or read(path))
    spec(str(tmp_path), UNUSED)
    assert capsys.readouterr().out == f"Reading 30 images in {tmp_path}\n"
