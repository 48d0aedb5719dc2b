"""cluster.yaml and its siblings, without a cloud: Ray's own validator, and the mistakes that it accepts in silence."""

import copy
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.material.paths import REPOSITORY
from tuning.cluster.machines import workers_of

Config = dict[str, Any]

CLUSTER_YAML = REPOSITORY / "cluster.yaml"
GCP_YAML, ON_PREMISE_YAML = (REPOSITORY / "clusters" / name for name in ("gcp.yaml", "on-prem.yaml"))

INSTANCE_TYPE = re.compile(r"[a-z]+[a-z0-9-]*\d[a-z0-9-]*\.(nano|micro|small|medium|(\d*x)?large|metal(-\d+xl)?)")
GPU_FAMILIES = re.compile(r"(g|p)\d")
GCP_MACHINE = re.compile(r"(?P<family>[a-z]\d[a-z]?)-[a-z]+-(?P<cpus>\d+)")
LOOPBACK = {"127.0.0.1", "localhost"}
TOKEN = "~/.ray/auth_token"


def faults(config: Config) -> list[str]:
    """What is wrong with a cluster config that Ray's validator lets pass; paths are relative to the repository.

    It looks at what Ray would run, so a deleted section is judged by the default that Ray puts in its place.
    """
    prepared = prepare_config(copy.deepcopy(config))
    found = [*mount_faults(prepared), *setup_faults(prepared), *start_faults(prepared)]
    for name, node_type in prepared["available_node_types"].items():
        if node_type["min_workers"] > node_type["max_workers"]:
            found.append(f"{name}: min_workers is above max_workers")
        of_provider = {"aws": aws_faults, "gcp": gcp_faults}.get(prepared["provider"]["type"])
        if of_provider is not None:
            is_head = name == prepared["head_node_type"]
            found += [f"{name}: {fault}" for fault in of_provider(node_type, is_head)]
            if is_head and node_type["resources"].get("CPU") != 0:
                found.append(f"{name}: trials may run on the head")
    return found


def aws_faults(node_type: Config, is_head: bool) -> Iterator[str]:
    node = node_type["node_config"]
    instance_type = node.get("InstanceType", "")
    if not INSTANCE_TYPE.fullmatch(instance_type):
        yield f"InstanceType {instance_type!r} is not of the form family.size"
    elif not is_head and not GPU_FAMILIES.match(instance_type):
        yield f"InstanceType {instance_type} has no GPU"
    if not node.get("ImageId", "").startswith("ami-"):
        yield "no ImageId: Ray's default image is too old for the pinned torch"
    if "InstanceMarketOptions" in node:
        yield "spot instance"


def gcp_faults(node_type: Config, is_head: bool) -> Iterator[str]:
    node, resources = node_type["node_config"], node_type["resources"]
    machine_type = GCP_MACHINE.fullmatch(node.get("machineType", ""))
    if machine_type is None:
        yield f"machineType {node.get('machineType', '')!r} is not of the form family-kind-cpus"
    elif not is_head:
        if resources.get("CPU") != int(machine_type["cpus"]):
            yield f"resources say {resources.get('CPU')} CPUs, {machine_type[0]} has {machine_type['cpus']}"
        if not resources.get("GPU") or machine_type["family"] not in ("g2", "a2", "a3"):
            yield f"{machine_type[0]} and its resources have no GPU"
        if {"onHostMaintenance": "TERMINATE"} not in node.get("scheduling", []):
            yield "onHostMaintenance is not TERMINATE, which a GPU needs"
    if any(schedule.get("preemptible") for schedule in node.get("scheduling", [])):
        yield "preemptible instance"
    sources = [disk.get("initializeParams", {}).get("sourceImage", "") for disk in node.get("disks", [])]
    if not any("/images/" in source for source in sources):
        yield "no sourceImage"


def mount_faults(prepared: Config) -> Iterator[str]:
    mounts: dict[str, str] = prepared["file_mounts"]
    if TOKEN not in mounts:
        yield f"file_mounts: no {TOKEN}"
    for local in mounts.values():
        if local.startswith("~"):  # the user's own, not the repository's
            continue
        if not (REPOSITORY / local).exists():
            yield f"file_mounts: {local} does not exist"
        if (REPOSITORY / local).resolve() == REPOSITORY:
            yield "file_mounts: the repository: Ray would read every byte of it, .venv and runs included"


def setup_faults(prepared: Config) -> Iterator[str]:
    requirements = [remote for remote, local in prepared["file_mounts"].items() if local == "requirements.txt"]
    for name, commands in setup_commands(prepared).items():
        if not any(
            "pip install" in command and f"-r {path}" in command for command in commands for path in requirements
        ):
            yield f"{name}: requirements.txt is not installed"
        if not any("/mnt/shared" in command and "mount" in command for command in commands):
            yield f"{name}: /mnt/shared is not mounted"
        for command in commands:
            if re.search(r"ray-wheels|\.whl|\bdev0\b", command):
                yield f"{name}: a nightly wheel"
            if re.search(r"pip install.*[=<>]=", command):
                yield f"{name}: a version beside those of requirements.txt"
            if is_no_shell_command(command):
                yield f"{name}: the shell cannot parse: {command}"


def setup_commands(prepared: Config) -> dict[str, list[str]]:
    """What each node type runs before Ray starts; a worker type's own list replaces the common one."""
    commands = {"head": prepared["head_setup_commands"], "workers": prepared["worker_setup_commands"]}
    for name, node_type in prepared["available_node_types"].items():
        if "worker_setup_commands" in node_type:
            commands[name] = node_type["worker_setup_commands"]
    return commands


def start_faults(prepared: Config) -> Iterator[str]:
    starts = {
        role: [command for command in prepared[f"{role}_start_ray_commands"] if "ray start" in command]
        for role in ("head", "worker")
    }
    for role, commands in starts.items():
        if len(commands) != 1:
            yield f"{role}: {len(commands)} commands start Ray"
        for command in commands:
            if not re.search(r"\bRAY_AUTH_MODE=token ray start\b", command):
                yield f"{role}: no RAY_AUTH_MODE=token before ray start"
            if is_no_shell_command(command):
                yield f"{role}: the shell cannot parse: {command}"
    for command in starts["head"]:
        if "--autoscaling-config=~/ray_bootstrap_config.yaml" not in command:
            yield "head: no --autoscaling-config, so no worker would ever start"
        host = re.search(r"--dashboard-host[= ](\S+)", command)
        if host is None or host[1] not in LOOPBACK:
            yield f"head: the dashboard is not on loopback but on {host[1] if host else 'an unnamed address'}"
        if prepared["provider"]["type"] == "local" and "--num-cpus=0" not in command:
            yield "head: trials may run on the head"
    for command in starts["worker"]:
        if "--address=$RAY_HEAD_IP:6379" not in command:
            yield "worker: does not join the head"


def is_no_shell_command(command: str) -> bool:
    return subprocess.run(["bash", "-n", "-c", command], capture_output=True, check=False).returncode != 0


def read(path: Path) -> Config:
    config: Config = yaml.safe_load(path.read_text())
    return config


@pytest.fixture
def aws() -> Config:
    return read(CLUSTER_YAML)


@pytest.fixture
def gcp() -> Config:
    return read(GCP_YAML)


@pytest.fixture
def on_premise() -> Config:
    return read(ON_PREMISE_YAML)


FILES = [CLUSTER_YAML, GCP_YAML, ON_PREMISE_YAML]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_ray_accepts_the_file_and_it_has_no_silent_fault(path: Path) -> None:
    validate_config(prepare_config(read(path)))
    assert faults(read(path)) == []


def test_ray_rejects_a_key_that_it_does_not_know(aws: Config) -> None:
    aws["idle_timeout_hours"] = 1
    with pytest.raises(jsonschema.ValidationError, match="idle_timeout_hours"):
        validate_config(prepare_config(aws))


@pytest.mark.parametrize("path", [CLUSTER_YAML, GCP_YAML], ids=lambda path: path.name)
def test_there_are_no_gpu_workers_until_a_sweep_asks_for_them(path: Path) -> None:
    config = read(path)
    kinds = config["available_node_types"].items()
    workers = [node_type for name, node_type in kinds if name != config["head_node_type"]]
    assert [worker["min_workers"] for worker in workers] == [0]
    assert all(0 < worker["max_workers"] <= config["max_workers"] for worker in workers)


@pytest.mark.parametrize(
    ("path", "places"),
    [
        (CLUSTER_YAML, {"ami-FILL_IN", "fs-FILL_IN"}),
        (GCP_YAML, {"project-FILL_IN", "image-FILL_IN", "share-FILL_IN"}),
    ],
    ids=["cluster.yaml", "gcp.yaml"],
)
def test_the_opening_comment_names_every_place_to_fill_in(path: Path, places: set[str]) -> None:
    opening = path.read_text().partition("\ncluster_name:")[0]
    assert set(re.findall(r"\b[a-z]+-FILL_IN", yaml.safe_dump(read(path)))) == places
    assert all(place in opening for place in places)


def test_a_sweep_knows_the_workers_that_each_cloud_may_start(gcp: Config, aws: Config) -> None:
    """`ray up` writes the resources of AWS's instance types into the file that the head reads; Google's are said."""
    assert [(node.cpus, node.gpus) for node in workers_of(prepare_config(gcp))] == [(8, 1)] * 4
    aws["available_node_types"]["gpu_worker"]["resources"] = {"CPU": 8, "GPU": 1}
    assert [(node.cpus, node.gpus) for node in workers_of(prepare_config(aws))] == [(8, 1)] * 4


def at(*path: str | int, value: Any) -> Callable[[Config], None]:
    """Set one value, deep in the config."""

    def mutate(config: Config) -> None:
        place: Any = config
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return mutate


def without(*path: str | int) -> Callable[[Config], None]:
    def mutate(config: Config) -> None:
        place: Any = config
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return mutate


def replaced(key: str, old: str, new: str) -> Callable[[Config], None]:
    """Replace a text in a list of commands."""

    def mutate(config: Config) -> None:
        commands = [command.replace(old, new) for command in config[key]]
        assert commands != config[key], f"{old!r} is not in {key}"
        config[key] = commands

    return mutate


def bounds(**numbers: int) -> Callable[[Config], None]:
    return lambda config: config["available_node_types"]["gpu_worker"].update(numbers)


WORKER = ("available_node_types", "gpu_worker")
HEAD = ("available_node_types", "head")
SPOT = {"MarketType": "spot"}
NIGHTLY = "pip install -U ray-3.0.0.dev0-cp312-cp312-manylinux2014_x86_64.whl"
BROKEN = "test -d ~/sweep-env && {"

SILENT_FAULTS = [
    (bounds(min_workers=3, max_workers=2), "gpu_worker: min_workers is above max_workers"),
    (at(*WORKER, "node_config", "InstanceType", value="g5-2xlarge"), "'g5-2xlarge' is not of the form family.size"),
    (at(*WORKER, "node_config", "InstanceType", value="g5.2xlrge"), "'g5.2xlrge' is not of the form family.size"),
    (at(*WORKER, "node_config", "InstanceType", value="m5.2xlarge"), "gpu_worker: InstanceType m5.2xlarge has no GPU"),
    (without(*WORKER, "node_config", "InstanceType"), "gpu_worker: InstanceType '' is not"),
    (without(*HEAD, "node_config", "ImageId"), "head: no ImageId"),
    (at(*WORKER, "node_config", "InstanceMarketOptions", value=SPOT), "gpu_worker: spot instance"),
    (at(*HEAD, "resources", value={}), "head: trials may run on the head"),
    (without("available_node_types"), "ray.worker.default: spot instance"),
    (at("file_mounts", "~/vae-sweep/vae", value="vea"), "file_mounts: vea does not exist"),
    (at("file_mounts", "~/vae-sweep", value="."), "file_mounts: the repository"),
    (without("file_mounts", "~/.ray/auth_token"), "file_mounts: no ~/.ray/auth_token"),
    (without("file_mounts", "~/vae-sweep/requirements.txt"), "workers: requirements.txt is not installed"),
    (replaced("setup_commands", "-r ~/vae-sweep/requirements.txt", "torch"), "head: requirements.txt is not installed"),
    (replaced("setup_commands", "-r ~/vae-sweep/requirements.txt", "torch==2.15.0"), "a version beside those"),
    (at(*WORKER, "worker_setup_commands", value=["true"]), "gpu_worker: requirements.txt is not installed"),
    (replaced("setup_commands", "/mnt/shared", "/mnt/scratch"), "workers: /mnt/shared is not mounted"),
    (without("setup_commands"), "workers: a nightly wheel"),
    (at("head_setup_commands", value=[NIGHTLY]), "head: a nightly wheel"),
    (at("worker_setup_commands", value=[BROKEN]), "workers: the shell cannot parse: test -d"),
    (replaced("head_start_ray_commands", "RAY_AUTH_MODE=token ", ""), "head: no RAY_AUTH_MODE=token before ray start"),
    (replaced("worker_start_ray_commands", "RAY_AUTH_MODE=token ", ""), "worker: no RAY_AUTH_MODE=token before"),
    (without("worker_start_ray_commands"), "worker: no RAY_AUTH_MODE=token before ray start"),
    (at("worker_start_ray_commands", value=["ray stop"]), "worker: 0 commands start Ray"),
    (replaced("head_start_ray_commands", "--head", "--head; ("), "head: the shell cannot parse"),
    (replaced("head_start_ray_commands", "--autoscaling-config", "--config"), "head: no --autoscaling-config"),
    (replaced("head_start_ray_commands", "127.0.0.1", "0.0.0.0"), "dashboard is not on loopback but on 0.0.0.0"),
    (
        replaced("head_start_ray_commands", "--dashboard-host=127.0.0.1", ""),
        "not on loopback but on an unnamed address",
    ),
    (without("head_start_ray_commands"), "dashboard is not on loopback but on 0.0.0.0"),
    (replaced("worker_start_ray_commands", "$RAY_HEAD_IP", "10.0.0.1"), "worker: does not join the head"),
]


@pytest.mark.parametrize(("mutate", "fault"), SILENT_FAULTS, ids=[fault for _, fault in SILENT_FAULTS])
def test_a_fault_that_ray_accepts_in_silence_is_found(
    aws: Config, mutate: Callable[[Config], None], fault: str
) -> None:
    mutate(aws)
    if "available_node_types" not in aws:
        del aws["head_node_type"]
    validate_config(prepare_config(copy.deepcopy(aws)))
    assert any(fault in found for found in faults(aws)), "\n".join(faults(aws))


def test_an_on_premise_head_that_takes_trials_is_found(on_premise: Config) -> None:
    replaced("head_start_ray_commands", "--num-cpus=0", "")(on_premise)
    assert faults(on_premise) == ["head: trials may run on the head"]


GCP_NODE = (*WORKER, "node_config")
SCHEDULING = (*GCP_NODE, "scheduling")


@pytest.mark.parametrize(
    ("mutate", "fault"),
    [
        (at(*GCP_NODE, "machineType", value="g2.standard.8"), "'g2.standard.8' is not of the form"),
        (at(*GCP_NODE, "machineType", value="g2-standard-16"), "resources say 8 CPUs, g2-standard-16 has 16"),
        (at(*GCP_NODE, "machineType", value="n2-standard-8"), "n2-standard-8 and its resources have no GPU"),
        (at(*WORKER, "resources", value={"CPU": 8}), "g2-standard-8 and its resources have no GPU"),
        (at(*SCHEDULING, value=[]), "onHostMaintenance is not TERMINATE"),
        (at(*SCHEDULING, value=[{"preemptible": True}]), "preemptible instance"),
        (without(*GCP_NODE, "disks"), "no sourceImage"),
        (at(*HEAD, "resources", value={"CPU": 4}), "head: trials may run on the head"),
        (bounds(min_workers=3, max_workers=2), "gpu_worker: min_workers is above max_workers"),
        (replaced("setup_commands", "/mnt/shared", "/mnt/scratch"), "workers: /mnt/shared is not mounted"),
    ],
)
def test_a_fault_on_google_cloud_that_ray_accepts_in_silence_is_found(
    gcp: Config, mutate: Callable[[Config], None], fault: str
) -> None:
    mutate(gcp)
    validate_config(prepare_config(copy.deepcopy(gcp)))
    assert any(fault in found for found in faults(gcp)), "\n".join(faults(gcp))
