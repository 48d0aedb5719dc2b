"""What the tests of clusters share."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tuning.cluster.access import make_private_token


@pytest.fixture(scope="module")
def mount_namespaces() -> None:
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("a node with a file system of its own needs root and mount namespaces")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a token: a head that starts with one asks for it."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    make_private_token()
    return folder
