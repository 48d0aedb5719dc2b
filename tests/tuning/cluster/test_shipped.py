"""What is sent to the workers of a cluster: the code and the search spaces, whatever else lies around."""

import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

from tests.material.paths import REPOSITORY
from tuning.cluster import job
from tuning.cluster.checks import check_storage
from tuning.cluster.connect import NOT_SHIPPED, SHIPPED
from tuning.errors import StorageError
from tuning.store.place import SweepStorage


@pytest.fixture
def littered(tmp_path: Path) -> Path:
    """A checkout in which somebody works."""
    files = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=REPOSITORY, text=True)
    litter = ["venv/lib/big.so", "sweeps/it/model.safetensors", "notes.txt", ".env", "vae/__pycache__/config.pyc"]
    for name in [*files.split(), *litter]:
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    shutil.copy(REPOSITORY / ".rayignore", tmp_path / "checkout")
    return tmp_path / "checkout"


def sent(folder: Path, excludes: list[str]) -> list[str]:
    """What Ray puts into the package of a working directory."""
    package = folder.parent / "package.zip"
    package.unlink(missing_ok=True)
    create_package(str(folder), package, include_gitignore=True, excludes=excludes)
    with zipfile.ZipFile(package) as content:
        return sorted(content.namelist())


def test_workers_are_sent_the_code_and_the_spaces_and_nothing_else(littered: Path) -> None:
    (littered / ".rayignore").unlink()
    names = sent(littered, NOT_SHIPPED)
    assert {name.partition("/")[0] for name in names} == set(SHIPPED)
    assert {"sweep.py", "vae/config.py", "tuning/cluster/connect.py", "search_spaces/quick.yaml"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_a_job_is_sent_with_the_same_files(littered: Path) -> None:
    """`ray job submit --working-dir .` knows .rayignore only."""
    from_file = sent(littered, [])
    (littered / ".rayignore").unlink()
    assert from_file == sent(littered, NOT_SHIPPED)


OURS = {"working_dir": "here", "excludes": ["/*"], "env_vars": {"A": "1", "B": "2"}}


def test_outside_a_job_the_runtime_environment_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(job.VARIABLE, raising=False)
    assert job.without_jobs_own(OURS) == OURS


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"working_dir": "gcs://x.zip", "env_vars": {"A": "9"}}, {"excludes": ["/*"], "env_vars": {"B": "2"}}),
        ({"env_vars": {"C": "3"}}, OURS),
        (None, OURS),
    ],
)
def test_a_job_keeps_what_it_was_sent_with(
    given: object, left: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(job.VARIABLE, json.dumps({"runtime_env": given, "metadata": {}}))
    assert job.without_jobs_own(OURS) == left


def test_a_job_does_not_write_into_its_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray deletes it with the job."""
    monkeypatch.setenv(job.VARIABLE, "{}")
    with pytest.raises(StorageError, match=r"^--storage .*/runs: a job's working directory ends with the job; give a"):
        check_storage([], SweepStorage(REPOSITORY / "runs" / "it"))
