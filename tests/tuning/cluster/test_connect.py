"""Which addresses a sweep joins, before it asks Ray."""

import pytest
import ray

from tuning.cluster.allot import Request
from tuning.cluster.connect import SETTINGS, connected
from tuning.errors import ClusterError


def test_the_address_of_a_ray_client_is_refused_with_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.setenv(name, SETTINGS[name])  # `connected` sets them, for its process to keep
    expected = (
        r"^--address ray://127\.0\.0\.1:10001: a sweep's driver runs on a node of the cluster; there use --address "
        r"auto, from elsewhere: ray job submit --working-dir \. -- python sweep\.py \.\.\.$"
    )
    with pytest.raises(ClusterError, match=expected), connected(Request(address="ray://127.0.0.1:10001")):
        pass


def test_a_machine_too_busy_to_start_ray_in_time_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen on two cores at a load of 15: Ray waits 30 s for its own node, then raises a bare Exception."""
    for name in SETTINGS:
        monkeypatch.setenv(name, SETTINGS[name])

    def late(**_: object) -> None:
        raise Exception(
            "The current node timed out during startup. This could happen because some of the raylet failed"
        )

    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(ClusterError, match=r"^Ray did not start on this machine in time"), connected(Request()):
        pass
