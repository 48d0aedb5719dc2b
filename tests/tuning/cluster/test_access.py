"""The token of a cluster: private, and never replaced."""

import os
from pathlib import Path

import pytest

from tuning.cluster.access import keep_token_private, make_private_token


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".ray" / "auth_token"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_token_is_written_before_ray_would_write_one_that_all_can_read(token: Path) -> None:
    before = os.umask(0)
    try:
        make_private_token()
    finally:
        os.umask(before)
    assert mode(token) == 0o600
    assert len(token.read_text()) == 64
    assert [path.name for path in token.parent.iterdir()] == ["auth_token"]


def test_a_token_that_is_there_stays_and_is_closed_to_others(token: Path) -> None:
    token.parent.mkdir()
    token.write_text("theirs")
    token.chmod(0o644)
    make_private_token()
    keep_token_private()
    assert (token.read_text(), mode(token)) == ("theirs", 0o600)


@pytest.mark.parametrize(("name", "value"), [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "given")])
def test_no_token_is_written_where_none_is_used(
    name: str, value: str, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    make_private_token()
    assert not token.exists()
