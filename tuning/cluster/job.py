"""What differs for a sweep that runs as a job of a cluster: `ray job submit --working-dir . -- python sweep.py ...`."""

import json
import os
from collections.abc import Mapping
from typing import Any

VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray gives a job's process its runtime environment here


def is_job() -> bool:
    return VARIABLE in os.environ


def without_jobs_own(runtime_env: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of a runtime environment for ray.init: Ray refuses whatever the job has set already.

    A job that was sent with a working directory has the code in it, so its workers need no second copy.
    """
    if not is_job():
        return dict(runtime_env)
    given = json.loads(os.environ[VARIABLE]).get("runtime_env") or {}
    variables = {
        name: value for name, value in runtime_env["env_vars"].items() if name not in given.get("env_vars", {})
    }
    return {**{key: value for key, value in runtime_env.items() if key not in given}, "env_vars": variables}
