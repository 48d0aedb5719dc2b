"""manifest.json: what a sweep is and where it ran. It is enough to run the sweep again or to go on with it."""

import json
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tuning.cluster.allot import Cluster
from tuning.errors import StorageError
from tuning.layout import CONFIRM_FOLDER, MANIFEST_FILE, REPOSITORY
from tuning.plan.plan import Plan
from tuning.records import SweepRecord, TrialRecord
from tuning.space.model import MOST_TRIALS, SearchSpace
from tuning.store.ledger import read_trials, wall_seconds
from tuning.store.place import SweepStorage, has_begun
from vae.datasets.names import is_folder
from vae.datasets.registry import DATASETS
from vae.errors import DataError

PACKAGES = ("ray", "torch", "torchvision", "optuna", "tensorboard", "matplotlib", "scikit-learn", "numpy", "pydantic")
FORMAT = 2
CHANGED = threading.Lock()  # held to read the file, change it and write it
OF_A_RUN = ("command", "versions", "git", "hardware")  # in format 1 they stood beside the space, of the last run only


def write_manifest(storage: SweepStorage, plan: Plan, cluster: Cluster | None = None) -> None:
    """Write the file whole: the plan, which may have more trials now, and the runs that there were with this one.

    cluster: where this run trains; None where it trains nothing and is no run.
    """
    runs = [] if storage.place.get(MANIFEST_FILE) is None else read_runs(storage)
    content = {
        "format": FORMAT,
        "name": plan.name,
        "space": plan.space.model_dump(exclude_none=True),
        "seed": plan.seed,
        "dataset": {
            "name": plan.dataset,
            "note": plan.dataset_note,
            "data_dir": str(plan.data_dir),
            **_images(plan),
        },
        "runs": runs if cluster is None else [*runs, _this_run(cluster)],
        **({"confirms": list(plan.confirms)} if plan.confirms else {}),
    }
    storage.place.put(MANIFEST_FILE, (json.dumps(content, indent=2) + "\n").encode())


def note_start(storage: SweepStorage, seconds: dict[str, float]) -> None:
    """Add to the run that is under way how many seconds after its command each part of its start was over."""
    with _of_last_run(storage) as run:
        run["start_seconds"] = seconds


def note_run(storage: SweepStorage, note: str) -> None:
    """Add what the user was told about this run to it."""
    with _of_last_run(storage) as run:
        run["notes"] = [*run.get("notes", []), note]


@contextmanager
def _of_last_run(storage: SweepStorage) -> Iterator[dict[str, Any]]:
    """What the manifest has of the run that is under way; what is changed there is written."""
    with CHANGED:  # nodes that join are checked in threads
        content = _read(storage)
        yield content["runs"][-1]
        storage.place.put(MANIFEST_FILE, (json.dumps(content, indent=2) + "\n").encode())


def _this_run(cluster: Cluster) -> dict[str, Any]:
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        **_code(),
        "hardware": {"machine": platform.platform(), "cpu": cpu_name(), **asdict(cluster)},
    }


def _code() -> dict[str, Any]:
    """What else than the plan may change a number."""
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return {"versions": versions, "git": _git_revision()}


def read_runs(storage: SweepStorage) -> list[dict[str, Any]]:
    """Every run of the sweep, the first one first: when, command, versions, git, hardware. Raises StorageError."""
    content, where = _read(storage), storage.place.where(MANIFEST_FILE)
    runs = content.get("runs")
    if runs is None:
        return [{"when": content.get("written"), **{name: content[name] for name in OF_A_RUN if name in content}}]
    if not (isinstance(runs, list) and all(isinstance(run, dict) for run in runs)):
        raise StorageError(f"{where}: not a manifest of this version (runs is not a list of runs)")
    return runs


def other_code(storage: SweepStorage) -> str:
    """How the code here differs from that of the sweep's last run, 'torch 2.14.0, now 2.15.0'; '' where it does not."""
    return ", ".join(code_differences(storage))


def code_differences(storage: SweepStorage) -> list[str]:
    """The same, each difference on its own."""
    before, now = (read_runs(storage) or [{}])[-1], _code()
    had = {"revision": before.get("git"), **(before.get("versions") or {})}
    has = {"revision": now["git"], **now["versions"]}
    return [f"{name} {had[name]}, now {has[name]}" for name in has if had.get(name, has[name]) != has[name]]


def read_plan(storage: SweepStorage) -> Plan:
    """The plan of a sweep that was started. Raises StorageError, also if its folder of images has changed since."""
    content, where = _read(storage), storage.place.where(MANIFEST_FILE)
    try:
        dataset = content["dataset"]
        if not (_is_dataset(dataset["name"]) and isinstance(content["seed"], int)):
            raise ValueError(f"dataset {dataset['name']}, seed {content['seed']}")
        plan = Plan(
            name=storage.name,
            # A sweep of a version that removed no model has no such key, and keeps them all.
            space=SearchSpace.model_validate({"keep_models": MOST_TRIALS, **content["space"]}),
            seed=content["seed"],
            dataset=dataset["name"],
            dataset_note=dataset["note"],
            data_dir=Path(dataset["data_dir"]),
            confirms=_confirms(content, is_needed=storage.whole is not None),
        )
    except (KeyError, TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        reason = " ".join(str(error).split())[:160]
        raise StorageError(f"{where}: not a manifest of this version ({reason})") from None
    if plan.dataset not in DATASETS:
        _refuse_other_images(where, plan, dataset)
    return plan


def _confirms(content: dict[str, Any], is_needed: bool) -> tuple[str, ...]:
    """Of a confirmation: the name in the search of each of its configurations. Raises ValueError."""
    names = content.get("confirms", [])
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ValueError(f"confirms {names}")
    if (names or is_needed) and len(names) != content["space"]["trials"]:
        raise ValueError(f"confirms {len(names)} configurations of {content['space']['trials']}")
    return tuple(names)


def _is_dataset(name: Any) -> bool:
    return isinstance(name, str) and (name in DATASETS or is_folder(name))


def _images(plan: Plan) -> dict[str, Any]:
    """What distinguishes the images of a sweep from others."""
    return {
        "image_shape": list(plan.spec.image_shape),
        "images": dict(plan.spec.n_images),
        "digest": plan.spec.digest,
    }


def _refuse_other_images(where: str, plan: Plan, before: dict[str, Any]) -> None:
    """Refuse to go on with other images or splits: new trials could not be compared with those that there are."""
    try:
        now = _images(plan)
    except DataError as error:
        raise StorageError(f"{where}: the images of the sweep cannot be read: {error}") from None
    had, has = (_described(images) for images in (before, now))
    if had != has:
        raise StorageError(f"{where}: its trials had {had} in {plan.dataset}, which now holds {has}")
    if before.get("digest") != now["digest"]:
        raise StorageError(f"{where}: the images in {plan.dataset} are as many as its trials had, but other ones")


def _described(images: dict[str, Any]) -> str:
    """'120 images of 16 x 12 pixels'."""
    try:
        height, width = images["image_shape"]
        return f"{sum(images['images'].values()):,} images of {height} x {width} pixels"
    except (KeyError, TypeError, ValueError, AttributeError):
        return "no number of images"


def read_sweep(storage: SweepStorage) -> SweepRecord:
    """All that the report needs to know of a sweep. Raises StorageError."""
    return record_of(read_plan(storage), storage, read_trials(storage.place))


def record_of(plan: Plan, storage: SweepStorage, trials: list[TrialRecord]) -> SweepRecord:
    """The same of a sweep whose plan and trials are known. Raises StorageError."""
    manifest = _read(storage)
    begun = [str(run.get("when")) for run in read_runs(storage)]
    return SweepRecord(
        name=plan.name,
        folder=storage.folder,
        dataset=plan.dataset,
        dataset_note=plan.dataset_note,
        image_shape=plan.image_shape,
        search=searched(plan),
        manifest=manifest,
        trials=trials,
        wall_seconds=wall_seconds(storage.place, begun),
        files=storage.trial_files,
        confirmation=_confirmation(storage),
    )


def _confirmation(storage: SweepStorage) -> SweepRecord | None:
    """The sweep that confirms this one, if it has begun."""
    part = storage.part(CONFIRM_FOLDER)
    return None if storage.whole or not has_begun(part) else read_sweep(part)


def searched(plan: Plan) -> dict[str, dict[str, Any]]:
    """The searched dimensions as SweepRecord.search has them."""
    return {name: value.model_dump(exclude_none=True) for name, value in plan.space.dimensions.items()}


def _read(storage: SweepStorage) -> dict[str, Any]:
    where = storage.place.where(MANIFEST_FILE)
    content = storage.place.get(MANIFEST_FILE)
    if content is None:
        raise StorageError(f"{where}: cannot be read (No such file or directory)")
    try:
        found: dict[str, Any] = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{where}: cannot be read ({' '.join(str(error).split())[:120]})") from None
    if not isinstance(found, dict):
        raise StorageError(f"{where}: not a manifest of this version (it holds no keys)")
    return found


def _git_revision() -> str:
    """The commit of the code, with '+changes' where files differ from it; '' outside a checkout."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return described.stdout.strip()


def cpu_name() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
