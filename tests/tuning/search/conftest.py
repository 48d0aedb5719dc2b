"""What the tests of the study share."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna's journal syncs every line; what these tests look at is there without."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
