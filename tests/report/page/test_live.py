"""The page of a sweep that runs, written beside it."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from report.page.document import embedded
from report.page.live import LivePage
from tests.material.paths import REPOSITORY
from tests.material.reports import metrics, record, sweep
from vae.storage.preview import Preview

SECONDS = 0.05
PREVIEW = Preview(*(np.full((8, 28, 28), grey, np.uint8) for grey in (10, 20, 30)))


def page_of(folder: Path) -> dict[str, object]:
    return embedded((folder / "report" / "index.html").read_text())


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_page_follows_the_sweep_and_says_at_last_that_it_was_stopped(tmp_path: Path) -> None:
    told: list[str] = []
    page = LivePage(sweep(tmp_path, []), told.append, SECONDS)
    one = record("0000", [-100.0], "running")
    page.started(one)
    page.epoch(one, one.history[0], PREVIEW)
    until(lambda: (tmp_path / "report" / "index.html").exists() and page_of(tmp_path)["pictures"] != [None])
    assert page_of(tmp_path)["sweeps"][0]["progress"] == "running"
    one.history.append(metrics(2, 70.0))
    page.epoch(one, one.history[-1], None)
    until(lambda: len(page_of(tmp_path)["curves"][0][1]) == 2)
    page.close()
    assert page_of(tmp_path)["sweeps"][0]["progress"] == "stopped"
    assert set(told) == {"report/index.html"}


def test_a_sweep_whose_trials_have_all_ended_has_ended(tmp_path: Path) -> None:
    page = LivePage(sweep(tmp_path, [record("0000", [-100.0])]), lambda _: None, SECONDS)
    page.close()
    assert page_of(tmp_path)["sweeps"][0]["progress"] == "ended"


def test_a_sweep_that_proposes_nothing_leaves_nothing(tmp_path: Path) -> None:
    LivePage(sweep(tmp_path, []), lambda _: None, SECONDS).close()
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_costs_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report").write_text("a file in the way")
    page = LivePage(sweep(tmp_path, [record("0000", [-100.0])]), lambda _: None, SECONDS)
    page.started(record("0001", [-90.0], "running"))
    until(lambda: "No page while the sweep runs" in capfd.readouterr().err)
    page.started(record("0002", [-90.0], "running"))
    page.close()
    assert capfd.readouterr().err == ""


def test_the_driver_waits_for_neither_torch_nor_matplotlib() -> None:
    check = "import sys, report.live; sys.exit(bool({'torch', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], cwd=REPOSITORY, check=False).returncode == 0
