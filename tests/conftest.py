"""What all tests share: one thread, real data where there is some, and a reason for each test that is skipped."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from sweeps import MIXED_SPACE, FinishedSweep, succeed

from vae.data import Images, default_data_dir, load

settings.register_profile("project", deadline=None)  # the first example pays for imports
settings.load_profile("project")

MNIST_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _has_mnist(folder: Path) -> bool:
    return all((folder / "MNIST" / "raw" / name).is_file() for name in MNIST_FILES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    no_mnist = pytest.mark.skip(reason=f"no MNIST in {os.environ.get('VAE_DATA_DIR', 'data')}: set VAE_DATA_DIR")
    no_gpu = pytest.mark.skip(reason="torch sees no CUDA device")
    for item in items:
        if "mnist" in item.keywords and not _has_mnist(default_data_dir()):
            item.add_marker(no_mnist)
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(no_gpu)


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
def data_dir() -> Path:
    """VAE_DATA_DIR; a test that needs MNIST in it is marked mnist."""
    return default_data_dir()


@pytest.fixture(scope="session")
def digits() -> dict[str, Images]:
    """The real 8x8 digits, by split."""
    return {split: load("digits", Path("unused"), split) for split in ("train", "validation", "test")}


@pytest.fixture(scope="session")
def finished_sweep(tmp_path_factory: pytest.TempPathFactory) -> FinishedSweep:
    """A small sweep from its command to its report; to read only."""
    cwd = tmp_path_factory.mktemp("finished_sweep")
    (cwd / "mixed.yaml").write_text(MIXED_SPACE)
    ended = succeed("--space", "mixed.yaml", "--name", "mixed", "--seed", "3", cwd=cwd)
    return FinishedSweep(cwd / "runs" / "mixed", ended)
