import json
import shutil
import subprocess
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tuning.cluster.allot import Cluster, Node
from tuning.errors import StorageError
from tuning.layout import MANIFEST_FILE
from tuning.plan.plan import Plan
from tuning.records import TrialRecord
from tuning.space.load import SPACES, Overrides, load_space
from tuning.space.model import MOST_TRIALS
from tuning.store.ledger import Ledger
from tuning.store.place import SweepStorage
from tuning.sweep import manifest as manifest_module
from tuning.sweep.manifest import note_start, other_code, read_plan, read_runs, read_sweep, write_manifest
from vae.datasets.folder import folder_spec

NODES = [Node("n1", "10.0.0.1", 4.0, 0.0), Node("n2", "10.0.0.2", 8.0, 1.0)]
CLUSTER = Cluster(NODES, cpus_per_trial=1, gpus_per_trial=0.25, slots=4, n_threads=1)


def new_plan(space: str = "beta_study") -> Plan:
    return Plan("x", load_space(space), 7, "digits", "digits: no network", Path("/data"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep's folder with its manifest."""
    (tmp_path / "x").mkdir()
    write_manifest(SweepStorage(tmp_path / "x"), new_plan(), CLUSTER)
    return tmp_path / "x"


def content_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / MANIFEST_FILE).read_text())
    return content


@pytest.mark.parametrize("name", [path.stem for path in SPACES.glob("*.yaml")])
def test_a_plan_is_read_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").mkdir()
    write_manifest(SweepStorage(tmp_path / "x"), new_plan(name), CLUSTER)
    assert read_plan(SweepStorage(tmp_path / "x")) == new_plan(name)


def test_a_sweep_of_a_version_that_removed_no_model_keeps_them_all(folder: Path) -> None:
    assert read_plan(SweepStorage(folder)).space.keep_models == 50
    content = content_of(folder)
    del content["space"]["keep_models"]
    (folder / MANIFEST_FILE).write_text(json.dumps(content))
    assert read_plan(SweepStorage(folder)).space.keep_models >= read_plan(SweepStorage(folder)).space.n_runs
    assert read_plan(SweepStorage(folder)).space.keep_models == MOST_TRIALS


def test_a_moved_sweep_has_the_name_of_its_folder(folder: Path) -> None:
    moved = shutil.move(folder, folder.with_name("renamed"))
    assert read_plan(SweepStorage(Path(moved))).name == "renamed"


def test_the_manifest_says_what_is_needed_to_run_it_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module.sys, "argv", ["sweep.py", "--space", "beta_study", "--set", "beta=1"])
    write_manifest(SweepStorage(folder), new_plan(), CLUSTER)
    content = content_of(folder)
    run = content["runs"][-1]
    assert run["command"] == "sweep.py --space beta_study --set beta=1"
    assert content["seed"] == 7
    assert content["dataset"]["name"] == "digits"
    assert content["dataset"]["note"] == "digits: no network"
    assert content["dataset"]["images"] == {"train": 1437, "validation": 180, "test": 180}
    assert content["space"]["search"]["beta"] == {"type": "float", "low": 0.25, "high": 4.0, "log": True}
    assert {"python", "ray", "torch", "optuna", "numpy"} <= set(run["versions"])
    assert run["hardware"]["slots"] == 4
    assert [node["cpus"] for node in run["hardware"]["nodes"]] == [4.0, 8.0]


def test_the_git_revision_is_the_codes_and_says_whether_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    monkeypatch.setattr(manifest_module, "REPOSITORY", tmp_path)
    folder = tmp_path / "x"
    folder.mkdir()
    (tmp_path / ".gitignore").write_text("x\n")
    (tmp_path / "code").write_text("1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    revision = git("rev-parse", "HEAD")
    write_manifest(SweepStorage(folder), new_plan(), CLUSTER)
    assert content_of(folder)["runs"][-1]["git"] == revision
    (tmp_path / "code").write_text("2")
    write_manifest(SweepStorage(folder), new_plan(), CLUSTER)
    assert content_of(folder)["runs"][-1]["git"] == f"{revision}+changes"
    assert content_of(folder)["runs"][0]["git"] == revision


def test_outside_a_checkout_or_without_git_the_revision_is_empty(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module, "REPOSITORY", folder)
    write_manifest(SweepStorage(folder), new_plan(), CLUSTER)
    assert content_of(folder)["runs"][-1]["git"] == ""
    monkeypatch.setenv("PATH", "")
    write_manifest(SweepStorage(folder), new_plan(), CLUSTER)
    assert content_of(folder)["runs"][-1]["git"] == ""


def test_writing_again_replaces_the_manifest_and_leaves_nothing_beside_it(folder: Path) -> None:
    write_manifest(SweepStorage(folder), new_plan("quick"), CLUSTER)
    assert read_plan(SweepStorage(folder)) == new_plan("quick")
    assert [path.name for path in folder.iterdir()] == [MANIFEST_FILE]


def test_a_resumed_sweep_adds_its_run_and_keeps_those_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = content_of(folder)["runs"]
    monkeypatch.setattr(manifest_module.sys, "argv", ["sweep.py", "--resume", "x"])
    write_manifest(SweepStorage(folder), new_plan(), CLUSTER)
    assert content_of(folder)["runs"][:-1] == first
    assert content_of(folder)["runs"][-1]["command"] == "sweep.py --resume x"
    write_manifest(SweepStorage(folder), replace(new_plan(), seed=8))  # nothing is trained
    assert len(content_of(folder)["runs"]) == 2
    assert read_plan(SweepStorage(folder)).seed == 8


def test_the_run_that_is_under_way_has_the_timeline_of_its_start(folder: Path) -> None:
    write_manifest(SweepStorage(folder), new_plan(), CLUSTER)
    note_start(SweepStorage(folder), {"ray": 3.2, "first_epoch": 9.5})
    first, second = content_of(folder)["runs"]
    assert "start_seconds" not in first
    assert second["start_seconds"] == {"ray": 3.2, "first_epoch": 9.5}
    assert read_plan(SweepStorage(folder)) == new_plan()


def test_the_run_of_a_manifest_that_knew_of_one_only_is_kept(folder: Path) -> None:
    content = content_of(folder)
    (run,) = content.pop("runs")
    old = {**content, "format": 1, "written": "2026-11-01T00:00:00+00:00", **run, "command": "then"}
    del old["when"]
    (folder / MANIFEST_FILE).write_text(json.dumps(old))
    write_manifest(SweepStorage(folder), new_plan(), CLUSTER)
    before, now = content_of(folder)["runs"]
    assert before == {**run, "when": "2026-11-01T00:00:00+00:00", "command": "then"}
    assert now["hardware"] == run["hardware"]


def test_other_versions_or_another_revision_than_in_the_last_run_are_named(folder: Path) -> None:
    assert other_code(SweepStorage(folder)) == ""
    content = content_of(folder)
    run = content["runs"][0]
    run["versions"] |= {"torch": "1.0", "numpy": "1.1"}
    run["git"] = "0123"
    (folder / MANIFEST_FILE).write_text(json.dumps(content))
    torch, numpy = version("torch"), version("numpy")
    revision = manifest_module._git_revision()
    assert (
        other_code(SweepStorage(folder))
        == f"revision 0123, now {revision}, torch 1.0, now {torch}, numpy 1.1, now {numpy}"
    )


@pytest.mark.parametrize("runs", [3, "x", {}, [1], [[]]])
def test_runs_that_are_no_list_of_runs_are_refused(folder: Path, runs: Any) -> None:
    (folder / MANIFEST_FILE).write_text(json.dumps({**content_of(folder), "runs": runs}))
    with pytest.raises(StorageError, match=r"manifest.json: not a manifest of this version \(runs is not a list"):
        read_runs(SweepStorage(folder))


def test_a_sweep_is_read_with_its_search_and_its_trials(folder: Path) -> None:
    plan = new_plan()
    record = TrialRecord("0000", {"beta": 1.0}, plan.space.config({"beta": 1.0}, 7))
    ledger = Ledger(SweepStorage(folder).place)
    ledger.proposed(record)
    ledger.close()
    sweep = read_sweep(SweepStorage(folder))
    assert (sweep.name, sweep.folder, sweep.dataset, sweep.image_shape) == ("x", folder, "digits", (8, 8))
    assert sweep.trials == [record]
    assert list(sweep.search) == ["latent_size", "hidden_units", "learning_rate", "beta"]
    assert sweep.search["latent_size"] == {"type": "int", "low": 2, "high": 64, "step": 1, "log": True}
    assert sweep.manifest == content_of(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"not json"])
def test_a_manifest_that_is_no_json_cannot_be_read(folder: Path, content: bytes) -> None:
    (folder / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(StorageError, match=rf"^{folder / MANIFEST_FILE}: cannot be read \(.*\)$"):
        read_plan(SweepStorage(folder))


def test_a_missing_manifest_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"manifest.json: cannot be read \(.*No such file"):
        read_sweep(SweepStorage(tmp_path))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("space", None),
        ("space", {}),
        ("space", {"description": "x"}),
        ("dataset", None),
        ("dataset", {"name": "digits"}),
        ("dataset", {"name": "gone", "note": "", "data_dir": "d"}),
        ("dataset", {"name": ["digits"], "note": "", "data_dir": "d"}),
        ("dataset", {"name": "digits", "note": "", "data_dir": 3}),
        ("seed", "seven"),
        ("seed", None),
    ],
)
def test_a_manifest_of_another_shape_is_refused(folder: Path, key: str, value: Any) -> None:
    (folder / MANIFEST_FILE).write_text(json.dumps({**content_of(folder), key: value}))
    for read in (read_plan, read_sweep):
        with pytest.raises(StorageError, match=r"manifest.json: not a manifest of this version \(.*\)$") as refused:
            read(SweepStorage(folder))
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"x"', "{}"])
def test_json_that_is_no_manifest_is_refused(folder: Path, content: str) -> None:
    (folder / MANIFEST_FILE).write_text(content)
    with pytest.raises(StorageError, match="not a manifest of this version"):
        read_plan(SweepStorage(folder))


# ---- a folder of images


def write_images(folder: Path, names: range, mark: int = 0, side: int = 4) -> Path:
    folder.mkdir(exist_ok=True)
    for number in names:
        Image.fromarray(np.full((side, side), number + mark, np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def of_images(tmp_path: Path) -> Path:
    """The folder of a sweep on tmp_path/mine, which has twenty images; as another process finds it."""
    mine = write_images(tmp_path / "mine", range(20))
    space = load_space("quick", Overrides(dataset=str(mine)))
    (tmp_path / "x").mkdir()
    write_manifest(SweepStorage(tmp_path / "x"), Plan("x", space, 7, str(mine), "note", Path("/data")), CLUSTER)
    folder_spec.cache_clear()
    return tmp_path / "x"


def refusal(folder: Path) -> str:
    folder_spec.cache_clear()
    for read in (read_plan, read_sweep):
        with pytest.raises(StorageError, match=f"^{folder / MANIFEST_FILE}: ") as refused:
            read(SweepStorage(folder))
        assert "\n" not in str(refused.value)
    return str(refused.value).partition(": ")[2]


def test_a_folder_of_images_is_found_again_from_another_working_directory(
    of_images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    plan = read_plan(SweepStorage(of_images))
    assert plan.dataset == plan.space.dataset == str(of_images.parent / "mine")
    assert content_of(of_images)["dataset"]["images"] == {"train": 16, "validation": 2, "test": 2}
    assert content_of(of_images)["dataset"]["image_shape"] == [4, 4]


def test_a_folder_with_another_number_of_images_is_refused(of_images: Path) -> None:
    mine = write_images(of_images.parent / "mine", range(20, 21))
    said = "its trials had 20 images of 4 x 4 pixels"
    assert refusal(of_images) == f"{said} in {mine}, which now holds 21 images of 4 x 4 pixels"


def test_a_folder_with_images_of_another_shape_is_refused(of_images: Path) -> None:
    mine = write_images(of_images.parent / "mine", range(20), side=5)
    said = "its trials had 20 images of 4 x 4 pixels"
    assert refusal(of_images) == f"{said} in {mine}, which now holds 20 images of 5 x 5 pixels"


def test_a_folder_with_other_images_is_refused_though_there_are_as_many(of_images: Path) -> None:
    mine = write_images(of_images.parent / "mine", range(3), mark=100)
    assert refusal(of_images) == f"the images in {mine} are as many as its trials had, but other ones"


def test_a_folder_that_is_gone_or_damaged_is_refused(of_images: Path) -> None:
    mine = of_images.parent / "mine"
    (mine / "3.png").write_bytes(b"")
    assert refusal(of_images).startswith(f"the images of the sweep cannot be read: {mine / '3.png'}: not an image")
    shutil.rmtree(mine)
    assert refusal(of_images) == f"the images of the sweep cannot be read: dataset {mine}: no such folder"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_told_in_words(folder: Path, data: st.DataObject) -> None:
    path = folder / MANIFEST_FILE
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        new = data.draw(st.one_of(st.binary(max_size=2), st.sampled_from([b"null", b"[]", b"0", b'"', b"{}"])))
        damaged[position : position + data.draw(st.integers(0, 12))] = new
    try:
        path.write_bytes(damaged)
        assert read_plan(SweepStorage(folder)).n_pixels > 0
    except StorageError as error:
        assert MANIFEST_FILE in str(error)  # noqa: PT017
    finally:
        path.write_bytes(whole)
