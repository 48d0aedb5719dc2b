"""manifest.json: what a sweep is and where it ran, enough to run it again or to go on with it."""

import json
import platform
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tuning.cluster import REPOSITORY
from tuning.errors import StorageError
from tuning.ledger import read_trials
from tuning.plan import Plan
from tuning.records import SweepRecord
from tuning.resources import Cluster
from tuning.space import SearchSpace
from tuning.storage import MANIFEST_FILE
from vae.data import DATASETS
from vae.files import LocalFiles

PACKAGES = ("ray", "torch", "torchvision", "optuna", "tensorboard", "matplotlib", "scikit-learn", "numpy", "pydantic")
FORMAT = 1


def write_manifest(folder: Path, plan: Plan, cluster: Cluster) -> None:
    """Write beside, rename into place; a resumed sweep writes it again, with the trials it now has."""
    spec = DATASETS[plan.dataset]
    content = {
        "format": FORMAT,
        "name": plan.name,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "space": plan.space.model_dump(exclude_none=True),
        "seed": plan.seed,
        "dataset": {
            "name": plan.dataset,
            "note": plan.dataset_note,
            "image_shape": spec.image_shape,
            "images": spec.n_images,
            "data_dir": str(plan.data_dir),
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "git": _git_revision(),
        "hardware": {"machine": platform.platform(), "cpu": cpu_name(), **asdict(cluster)},
    }
    LocalFiles(folder).write(MANIFEST_FILE, (json.dumps(content, indent=2) + "\n").encode())


def read_plan(folder: Path) -> Plan:
    """The plan of a sweep that was started. Raises StorageError."""
    content = _read(folder)
    try:
        dataset = content["dataset"]
        if dataset["name"] not in DATASETS or not isinstance(content["seed"], int):
            raise ValueError(f"dataset {dataset['name']}, seed {content['seed']}")
        return Plan(
            name=folder.name,
            space=SearchSpace.model_validate(content["space"]),
            seed=content["seed"],
            dataset=dataset["name"],
            dataset_note=dataset["note"],
            data_dir=Path(dataset["data_dir"]),
        )
    except (KeyError, TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        reason = " ".join(str(error).split())[:160]
        raise StorageError(f"{folder / MANIFEST_FILE}: not a manifest of this version ({reason})") from None


def read_sweep(folder: Path) -> SweepRecord:
    """All that the report needs of a sweep's folder. Raises StorageError."""
    plan = read_plan(folder)
    return SweepRecord(
        name=plan.name,
        folder=folder,
        dataset=plan.dataset,
        dataset_note=plan.dataset_note,
        image_shape=plan.image_shape,
        search={name: dimension.model_dump() for name, dimension in plan.space.dimensions.items()},
        manifest=_read(folder),
        trials=read_trials(folder),
    )


def _read(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST_FILE
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot be read ({' '.join(str(error).split())[:120]})") from None
    return content


def _git_revision() -> str:
    """The commit the code is of, with '+changes' where files differ from it; '' outside a checkout."""
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
    """The processor's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
