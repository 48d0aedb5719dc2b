"""clusters/kuberay-rayjob.yaml and the Dockerfile: the form of KubeRay's API, and what that lets pass."""

import copy
import re
import shlex
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import yaml

from tests.material.paths import REPOSITORY
from tuning import options
from tuning.cluster.connect import SHIPPED

Job = dict[str, Any]

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
REQUIREMENTS = (REPOSITORY / "requirements.txt").read_text()
COUNT = {"type": "integer", "minimum": 0}
POD = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["containers"],
            "properties": {
                "containers": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "object", "required": ["name", "image", "resources", "volumeMounts"]},
                },
                "volumes": {"type": "array", "items": {"type": "object", "required": ["name"]}},
                "securityContext": {
                    "type": "object",
                    "properties": {"fsGroup": COUNT},
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        }
    },
}
START = {"type": "object", "additionalProperties": {"type": "string"}}
# The part of https://ray-project.github.io/kuberay/reference/api/ that the file uses; a misspelt field is an error.
SCHEMA = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "required": ["entrypoint", "rayClusterSpec"],
            "additionalProperties": False,
            "properties": {
                "entrypoint": {"type": "string"},
                "backoffLimit": COUNT,
                "shutdownAfterJobFinishes": {"type": "boolean"},
                "ttlSecondsAfterFinished": COUNT,
                "rayClusterSpec": {
                    "type": "object",
                    "required": ["headGroupSpec"],
                    "additionalProperties": False,
                    "properties": {
                        "rayVersion": {"type": "string"},
                        "authOptions": {"type": "object", "properties": {"mode": {"enum": ["disabled", "token"]}}},
                        "enableInTreeAutoscaling": {"type": "boolean"},
                        "autoscalerOptions": {
                            "type": "object",
                            "properties": {"idleTimeoutSeconds": COUNT},
                            "additionalProperties": False,
                        },
                        "headGroupSpec": {
                            "type": "object",
                            "required": ["template"],
                            "properties": {"rayStartParams": START, "template": POD},
                            "additionalProperties": False,
                        },
                        "workerGroupSpecs": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["groupName", "minReplicas", "maxReplicas", "template"],
                                "properties": {
                                    "groupName": {"type": "string"},
                                    "replicas": COUNT,
                                    "minReplicas": COUNT,
                                    "maxReplicas": COUNT,
                                    "rayStartParams": START,
                                    "template": POD,
                                },
                                "additionalProperties": False,
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture
def job() -> Job:
    content: Job = yaml.safe_load((REPOSITORY / "clusters" / "kuberay-rayjob.yaml").read_text())
    return copy.deepcopy(content)  # an anchor gives one object twice


def faults(job: Job) -> list[str]:
    """What KubeRay would accept and a sweep would suffer from."""
    found, cluster = [], job["spec"]["rayClusterSpec"]
    head, workers = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    if f"ray[tune]=={cluster.get('rayVersion')}" not in REQUIREMENTS:
        found.append("rayVersion is not the one of requirements.txt")
    if cluster.get("authOptions") != {"mode": "token"}:
        found.append("no token")
    if head["rayStartParams"].get("num-cpus") != "0":
        found.append("trials may run on the head")
    pods = [head["template"]["spec"], *(group["template"]["spec"] for group in workers)]
    if len({container["image"] for pod in pods for container in pod["containers"]}) != 1:
        found.append("images differ")
    for pod in pods:
        shared = [
            mount["name"] for mount in pod["containers"][0]["volumeMounts"] if mount["mountPath"] == "/mnt/shared"
        ]
        if not set(shared) & {volume["name"] for volume in pod.get("volumes", [])}:
            found.append("/mnt/shared is not mounted")
        if f"--uid {pod.get('securityContext', {}).get('fsGroup')} ray" not in DOCKERFILE:
            found.append("the image's user may not write to /mnt/shared")
    for group in workers:
        if not group["minReplicas"] <= group.get("replicas", group["minReplicas"]) <= group["maxReplicas"]:
            found.append(f"{group['groupName']}: minReplicas, replicas, maxReplicas do not rise")
        if "nvidia.com/gpu" not in group["template"]["spec"]["containers"][0]["resources"].get("limits", {}):
            found.append(f"{group['groupName']}: no GPU")
    if not cluster.get("enableInTreeAutoscaling") and any(
        group["minReplicas"] < group["maxReplicas"] for group in workers
    ):
        found.append("nothing brings more workers")
    return found


def test_the_file_is_of_kuberays_form_and_has_no_silent_fault(job: Job) -> None:
    jsonschema.validate(job, SCHEMA)
    assert faults(job) == []


def test_a_field_that_kuberay_does_not_know_is_found(job: Job) -> None:
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplica"] = 8
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        jsonschema.validate(job, SCHEMA)


def cluster_of(job: Job) -> Job:
    cluster: Job = job["spec"]["rayClusterSpec"]
    return cluster


def worker_of(job: Job) -> Job:
    worker: Job = cluster_of(job)["workerGroupSpecs"][0]
    return worker


@pytest.mark.parametrize(
    ("mutate", "fault"),
    [
        (lambda job: cluster_of(job).update(rayVersion="2.50.0"), "rayVersion is not"),
        (lambda job: cluster_of(job).pop("authOptions"), "no token"),
        (lambda job: cluster_of(job)["headGroupSpec"].update(rayStartParams={}), "trials may run on the head"),
        (lambda job: worker_of(job)["template"]["spec"]["containers"][0].update(image="other"), "images differ"),
        (lambda job: worker_of(job)["template"]["spec"].pop("volumes"), "/mnt/shared is not mounted"),
        (lambda job: worker_of(job)["template"]["spec"].pop("securityContext"), "the image's user may not write"),
        (lambda job: worker_of(job).update(maxReplicas=0), "gpu: minReplicas, replicas, maxReplicas do not rise"),
        (lambda job: worker_of(job)["template"]["spec"]["containers"][0].update(resources={}), "gpu: no GPU"),
        (lambda job: cluster_of(job).update(enableInTreeAutoscaling=False), "nothing brings more workers"),
    ],
)
def test_a_fault_that_kuberay_accepts_in_silence_is_found(job: Job, mutate: Callable[[Job], None], fault: str) -> None:
    mutate(job)
    jsonschema.validate(job, SCHEMA)
    assert any(fault in found for found in faults(job)), faults(job)


def test_the_entry_point_starts_a_sweep_and_resumes_it_where_it_is(job: Job) -> None:
    """Both of its branches are command lines that sweep.py takes."""
    shell, flag, script = shlex.split(job["spec"]["entrypoint"])
    assert (shell, flag) == ("sh", "-c")
    common = shlex.split(script.partition('"$@"')[2])
    resumed, started = (shlex.split(words) for words in re.findall(r"set -- ([^;]+);", script))
    assert options.parse([*resumed, *common]).resume == options.parse([*started, *common]).name
    name, storage = options.parse([*started, *common]).name, options.parse([*started, *common]).storage
    assert f"{storage}/{name}/manifest.json" in script


def test_the_image_has_the_packages_and_the_code_that_a_node_needs() -> None:
    copied = re.findall(r"^COPY (?:--chown=ray )?(\S+) \S+$", DOCKERFILE, re.MULTILINE)
    assert set(copied) == {"requirements.txt", *SHIPPED}
    assert all((REPOSITORY / name).exists() for name in copied)
    assert "pip install --no-cache-dir -r /home/ray/vae-sweep/requirements.txt 'ray[default]'" in DOCKERFILE
    assert re.search(r"^FROM python:3\.(11|12|13)-", DOCKERFILE, re.MULTILINE)
    assert "WORKDIR /home/ray/vae-sweep" in DOCKERFILE


def test_docker_is_sent_what_the_image_copies_and_nothing_else() -> None:
    """Not .venv, which has gigabytes."""
    first, *rest = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line[0] != "#"]
    assert first == "*"
    assert {line[1:] for line in rest if line.startswith("!")} == {"requirements.txt", *SHIPPED}
    assert [line for line in rest if not line.startswith("!")] == ["**/__pycache__"]
