"""Which addresses a sweep joins, before it asks Ray."""

import pytest

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
