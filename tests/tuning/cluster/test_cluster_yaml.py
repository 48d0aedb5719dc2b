"""cluster.yaml, checked without a cloud: by Ray's own validator, and for the mistakes that it accepts in silence."""

import copy
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.material.paths import REPOSITORY

Config = dict[str, Any]

CLUSTER_YAML = REPOSITORY / "cluster.yaml"
ON_PREMISE_MARK = "# --- on-premise ---\n"
REPLACED_ON_PREMISE = ("head_node_type", "available_node_types", "max_workers", "head_setup_commands")

INSTANCE_TYPE = re.compile(r"[a-z]+[a-z0-9-]*\d[a-z0-9-]*\.(nano|micro|small|medium|(\d*x)?large|metal(-\d+xl)?)")
GPU_FAMILIES = re.compile(r"(g|p)\d")
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
        if prepared["provider"]["type"] == "aws":
            found += [f"{name}: {fault}" for fault in node_faults(node_type, name == prepared["head_node_type"])]
    return found


def node_faults(node_type: Config, is_head: bool) -> Iterator[str]:
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
    if is_head and node_type["resources"].get("CPU") != 0:
        yield "trials may run on the head"


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


@pytest.fixture
def aws() -> Config:
    config: Config = yaml.safe_load(CLUSTER_YAML.read_text())
    return config


@pytest.fixture
def on_premise(aws: Config) -> Config:
    """cluster.yaml after what its last section says to delete and to put in place."""
    section = CLUSTER_YAML.read_text().partition(ON_PREMISE_MARK)[2]
    kept = {key: value for key, value in aws.items() if key not in REPLACED_ON_PREMISE}
    return {**kept, **yaml.safe_load(re.sub(r"^# ?", "", section, flags=re.MULTILINE))}


def test_ray_accepts_the_file_and_it_has_no_silent_fault(aws: Config) -> None:
    validate_config(prepare_config(aws))
    assert faults(aws) == []


def test_ray_accepts_the_on_premise_variant_and_it_has_no_silent_fault(on_premise: Config) -> None:
    assert on_premise["provider"]["type"] == "local"
    validate_config(prepare_config(on_premise))
    assert faults(on_premise) == []


def test_ray_rejects_a_key_that_it_does_not_know(aws: Config) -> None:
    aws["idle_timeout_hours"] = 1
    with pytest.raises(jsonschema.ValidationError, match="idle_timeout_hours"):
        validate_config(prepare_config(aws))


def test_there_are_no_gpu_workers_until_a_sweep_asks_for_them(aws: Config) -> None:
    workers = [node_type for name, node_type in aws["available_node_types"].items() if name != aws["head_node_type"]]
    assert [worker["min_workers"] for worker in workers] == [0]
    assert all(0 < worker["max_workers"] <= aws["max_workers"] for worker in workers)


def test_the_opening_comment_names_every_place_to_fill_in(aws: Config) -> None:
    opening = CLUSTER_YAML.read_text().partition("\ncluster_name:")[0]
    places = set(re.findall(r"\b[a-z]+-FILL_IN", yaml.safe_dump(aws)))
    assert places == {"ami-FILL_IN", "fs-FILL_IN"}
    assert all(place in opening for place in places)


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
