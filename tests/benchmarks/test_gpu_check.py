"""benchmarks/gpu_check.py: whatever a section does, the table is written in time, as far as it came."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import gpu_check
from benchmarks.gpu_check import section, so_far, waited


def a_program(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "program"
    path.write_text(f"#!{sys.executable}\nimport os, signal, subprocess, sys, time\n{text}\n")
    path.chmod(0o755)
    return path


def started(program: Path, tmp_path: Path) -> "subprocess.Popen[bytes]":
    """When the program has said something."""
    with (tmp_path / "told").open("wb") as told:
        process = subprocess.Popen([program], stdout=told)
    while not (tmp_path / "told").read_text():
        time.sleep(0.01)
    return process


def test_a_command_that_takes_too_long_is_told_to_end(tmp_path: Path) -> None:
    ends = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('ended', flush=True)))"
    program = a_program(tmp_path, f"{ends}\nprint('up', flush=True)\ntime.sleep(600)")
    assert waited(started(program, tmp_path), 0.0) is None
    assert (tmp_path / "told").read_text().split() == ["up", "ended"]


def test_a_command_that_does_not_end_then_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "STOPPING", 0.5)
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(600)"
    process = started(a_program(tmp_path, deaf), tmp_path)
    assert waited(process, 0.0) is None
    assert process.returncode == -signal.SIGKILL


def test_a_section_that_takes_too_long_ends_and_its_rows_stay_whoever_holds_its_output_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has started in a session of its own, as Ray does, is not killed with it."""
    survives = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    program = a_program(
        tmp_path,
        f"subprocess.Popen([sys.executable, '-c', {survives!r}], start_new_session=True)\n"
        "print('| speed | 3 |', flush=True)\ntime.sleep(600)",
    )
    monkeypatch.setattr(gpu_check, "REPOSITORY", tmp_path)
    monkeypatch.setattr(gpu_check.sys, "executable", str(program))
    monkeypatch.setattr(gpu_check, "STARTING", 0)
    began = time.monotonic()
    rows, error = section("speed", True, 10.0)
    assert time.monotonic() - began < 30
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert (rows, error) == (["| speed | 3 |"], "took longer than 10 s")


def test_a_section_for_which_no_time_is_left_is_not_begun() -> None:
    assert section("speed", True, 3.0) == ([], "no time was left for it")


def test_a_sweep_that_was_stopped_before_it_had_begun_says_so(tmp_path: Path) -> None:
    assert so_far(tmp_path / "it", 10.0) == ["no trial had begun"]
