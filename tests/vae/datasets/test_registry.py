"""vae/data.py."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.material.paths import REPOSITORY
from vae.datasets.names import NAMES, canonical, default_data_dir, fault_of, is_folder, short_name
from vae.datasets.registry import DATASETS, load, resolve, spec
from vae.errors import DataError

ALLOWED = "allowed: auto, digits, mnist, fashion, freyface, or a folder of images"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a folder of images in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").mkdir()
    for number in range(10):
        Image.fromarray(np.full((2, 3), number, np.uint8)).save(tmp_path / "faces" / f"{number}.png")
    return tmp_path


# ---- names and folders


@pytest.mark.parametrize("name", NAMES)
def test_a_built_in_name_is_no_folder_even_where_there_is_one(here: Path, name: str) -> None:
    (here / name).mkdir()
    assert not is_folder(name)
    assert (fault_of(name), canonical(name), short_name(name)) == ("", name, name)
    assert is_folder(f"./{name}")


@pytest.mark.parametrize("name", ["faces", "./faces", "faces/", "../x", ".", "~", "~/x", "/", "a/b", ".hidden"])
def test_a_path_and_an_existing_folder_are_folders(here: Path, name: str) -> None:
    assert is_folder(name)


@pytest.mark.parametrize("name", ["", "minst", "face", "faces.png", "f" * 5000, "a\0b"])
def test_another_word_is_no_folder(here: Path, name: str) -> None:
    assert not is_folder(name)
    assert fault_of(name).startswith("no such dataset; ")
    assert canonical(name) == name


def test_a_folder_is_known_by_its_absolute_path_from_any_working_directory(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    expected = str(here / "faces")
    assert {canonical(name) for name in ("faces", "./faces/", "~/faces", expected)} == {expected}
    monkeypatch.chdir("/")
    assert (canonical(expected), is_folder(expected), short_name(expected)) == (expected, True, "faces")
    assert load(expected, here, "test").pixels.shape == (2, 6)


@given(st.text())
def test_any_text_is_a_name_a_folder_or_a_fault_in_a_line(name: str) -> None:
    fault = fault_of(name)
    assert "\n" not in fault
    assert is_folder(name) or name in NAMES or fault.startswith("no such dataset")
    if fault:
        with pytest.raises(DataError, match=r"^--dataset "):
            resolve(name, Path("unused"))


def test_an_unknown_dataset_is_refused_with_the_nearest_and_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        resolve("minst", tmp_path)
    assert str(caught.value) == f"--dataset minst: no such dataset; did you mean 'mnist'? {ALLOWED}"
    with pytest.raises(DataError) as caught:
        resolve("imagenet-21k", tmp_path)
    assert str(caught.value) == f"--dataset imagenet-21k: no such dataset; {ALLOWED}"


@pytest.mark.parametrize("name", ["./none", "none/", "~nobody-has-this-name/x", "/none"])
def test_a_folder_that_is_not_there_is_refused(here: Path, name: str) -> None:
    assert fault_of(name) == "no such folder"
    with pytest.raises(DataError, match=f"^--dataset {name}: no such folder$"):
        resolve(name, here)
    with pytest.raises(DataError, match=f"^dataset {name}: no such folder$"):
        load(name, here, "train")


# ---- every dataset


def test_a_folder_is_a_dataset_like_any_other(here: Path) -> None:
    dataset, note = resolve("faces", here)
    assert (dataset, note) == (str(here / "faces"), f"{here / 'faces'}: 10 images of 2 x 3 pixels")
    assert spec(dataset, here) is spec("faces", here)
    assert spec(dataset, here).n_images == {"train": 6, "validation": 2, "test": 2}
    assert load(dataset, here, "train").pixels.shape == (6, 6)


def test_digits_are_digits_even_where_mnist_is(numbered: Path) -> None:
    assert resolve("digits", numbered) == ("digits", "digits: 1,797 real digits inside scikit-learn")


def test_auto_is_mnist_where_it_is_on_disk(numbered: Path) -> None:
    assert resolve("auto", numbered) == resolve("mnist", numbered) == ("mnist", f"mnist: in {numbered}")


def test_the_built_in_datasets_are_of_the_sizes_of_their_sources() -> None:
    sizes = {name: (dataset.image_shape, sum(dataset.n_images.values())) for name, dataset in DATASETS.items()}
    assert sizes == {
        "digits": ((8, 8), 1797),
        "mnist": ((28, 28), 70_000),
        "fashion": ((28, 28), 70_000),
        "freyface": ((28, 20), 1965),
    }
    classes = {name: len(dataset.class_names) for name, dataset in DATASETS.items()}
    assert classes == {"digits": 10, "mnist": 10, "fashion": 10, "freyface": 0}


def test_the_data_folder_is_the_environments_or_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_DATA_DIR", "/somewhere")
    assert default_data_dir() == Path("/somewhere")
    monkeypatch.delenv("VAE_DATA_DIR")
    assert default_data_dir() == Path("data")


def test_the_registry_imports_nothing_that_takes_long() -> None:
    """The driver starts with it; a reader imports what it needs when it reads."""
    slow = "{'torch', 'torchvision', 'sklearn', 'scipy', 'PIL'}"
    command = f"import sys, vae.datasets.registry; print(sorted({slow} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
