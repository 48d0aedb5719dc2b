"""What all tests share: one thread, real data where there is some, and a reason for each test that is skipped."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests.material.browser import CHROMIUM
from tests.material.idx_files import FILES, FOLDERS, write_numbered
from tests.material.sweeps import MIXED_SPACE, FinishedSweep, succeed
from vae.datasets.names import default_data_dir
from vae.datasets.registry import load
from vae.datasets.types import Images

settings.register_profile("project", deadline=None)  # the first example pays for imports
settings.load_profile("project")

DATASETS = {  # marker: (title, one of these sets of files is there)
    "mnist": ("MNIST", [[f"{FOLDERS['mnist']}/raw/{name}" for name in FILES]]),
    "fashion": ("Fashion-MNIST", [[f"{FOLDERS['fashion']}/raw/{name}" for name in FILES]]),
    "freyface": ("Frey Face", [["FreyFace/frey_rawface.mat"], ["frey_rawface.mat"]]),
}


def _missing() -> dict[str, pytest.MarkDecorator]:
    """The markers of datasets that are not on this machine, each with the reason for its tests to be skipped."""
    folder = default_data_dir()
    return {
        marker: pytest.mark.skip(reason=f"no {title} in {os.environ.get('VAE_DATA_DIR', 'data')}: set VAE_DATA_DIR")
        for marker, (title, sets) in DATASETS.items()
        if not any(all((folder / name).is_file() for name in names) for names in sets)
    }


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = _missing()
    no_gpu = pytest.mark.skip(reason="torch sees no CUDA device")
    no_browser = pytest.mark.skip(reason="no chromium here: apt-get install chromium")
    for item in items:
        for marker in missing.keys() & {mark.name for mark in item.iter_markers()}:
            item.add_marker(missing[marker])
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(no_gpu)
        if "browser" in item.keywords and CHROMIUM is None:
            item.add_marker(no_browser)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums then come out the same on every machine, and tests side by side do not fight for the cores."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def plain_products() -> Iterator[None]:
    """What a test sends through oneDNN ends with that test."""
    yield
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    if matmul is not None:
        matmul.fp32_precision = "none"


@pytest.fixture
def hears_ctrl_c() -> Iterator[None]:
    """Also where the tests run in a shell's background, which begins them with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def data_dir() -> Path:
    """VAE_DATA_DIR; a test that needs MNIST in it is marked mnist, and so on."""
    return default_data_dir()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes a search space of its own."""
    return tmp_path / "study.yaml"


@pytest.fixture(scope="session")
def digits() -> dict[str, Images]:
    """The real 8x8 digits, by split."""
    return {split: load("digits", Path("unused"), split) for split in ("train", "validation", "test")}


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of MNIST's and Fashion-MNIST's form whose images are numbered; to read only."""
    folder = tmp_path_factory.mktemp("data")
    write_numbered(folder)
    return folder


@pytest.fixture(scope="session")
def finished_sweep(tmp_path_factory: pytest.TempPathFactory) -> FinishedSweep:
    """A small sweep from its command to its report; to read only."""
    cwd = tmp_path_factory.mktemp("finished_sweep")
    (cwd / "mixed.yaml").write_text(MIXED_SPACE)
    ended = succeed("--space", "mixed.yaml", "--name", "mixed", "--seed", "3", cwd=cwd)
    return FinishedSweep(cwd / "runs" / "mixed", ended)
