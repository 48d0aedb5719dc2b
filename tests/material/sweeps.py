"""Sweeps as a user starts them: `python sweep.py ...` as a process, with real Ray workers; and its files, read."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.material.paths import REPOSITORY

SWEEP = REPOSITORY / "sweep.py"
# A sweep with every kind of end: 0000 diverges in its first epoch, 0001 has two latents and learns, some are pruned.
MIXED_SPACE = """
description: Every way in which a trial can end.
dataset: digits
trials: 8
epochs: 8
search:
  latent_size: {type: int, low: 2, high: 16, log: true}
  learning_rate: {type: float, low: 1.0e-3, high: 1.0, log: true}
  beta: {type: float, low: 0.25, high: 4.0, log: true}
fixed: {hidden_units: 64, batch_size: 64}
scheduler: {type: asha, grace_epochs: 2, reduction_factor: 2}
sampler: {type: tpe, startup_trials: 4}
baselines:
  - {latent_size: 16, learning_rate: 1.0, beta: 1.0}
  - {latent_size: 2, learning_rate: 0.01, beta: 1.0}
"""
SECONDS = 240.0  # a sweep of these tests takes 10 to 20; a machine may be busy
NOT_INHERITED = ("PYTHONPATH", "RAY_ADDRESS", "VAE_DATA_DIR", "FORCE_COLOR")


@dataclass(frozen=True)
class Ended:
    """A process that has ended, and what it said."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def told(self) -> str:
        """All of it, for a failed assertion."""
        return f"exit code {self.code} after {self.seconds:.1f} s\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


@dataclass(frozen=True)
class FinishedSweep:
    """A sweep's folder and what its command said."""

    folder: Path
    ended: Ended


class Process:
    """A command in a session of its own: whatever it has started ends with the `with` block, and nothing else does."""

    def __init__(self, command: list[str], cwd: Path, environment: Mapping[str, str] | None = None) -> None:
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        self._stdout, self._stderr = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115 - closed in __exit__
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**inherited, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=self._stderr,
            start_new_session=True,
            preexec_fn=_hear_ctrl_c,
        )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill_session()
        self._process.wait()
        self._stdout.close()
        self._stderr.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def press_ctrl_c(self) -> None:
        """SIGINT to the process and to Ray's daemons, which are in its group, as a terminal sends it."""
        os.killpg(self.pid, signal.SIGINT)

    def kill_session(self) -> None:
        """kill -9 of the process and of all that it started, Ray's daemons and workers too."""
        while pids := session_of(self.pid):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.poll()
            time.sleep(0.05)

    def stdout(self) -> str:
        """So far."""
        return _content(self._stdout)

    def stderr(self) -> str:
        """So far."""
        return _content(self._stderr)

    def wait(self, seconds: float = SECONDS) -> Ended:
        """Wait for the end. Raises subprocess.TimeoutExpired where there is none."""
        code = self._process.wait(seconds)
        return Ended(code, self.stdout(), self.stderr(), time.monotonic() - self._began)

    def until_ended(self, what: str, seconds: float = SECONDS) -> None:
        """Wait until the process is no more; AssertionError where it stays."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{what} runs on:\n{self.stdout()}\n{self.stderr()}") from None

    def until(self, happened: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Wait until something has happened while the process runs; AssertionError where it does not."""
        deadline = time.monotonic() + seconds
        while not happened():
            code = self._process.poll()
            assert code is None, f"ended with {code} before {what}:\n{self.stdout()}\n{self.stderr()}"
            assert time.monotonic() < deadline, f"no {what} after {seconds} s:\n{self.stdout()}"
            time.sleep(0.01)


def start(*arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> Process:
    """`python sweep.py ARGUMENTS`, running."""
    return Process([sys.executable, str(SWEEP), *map(str, arguments)], cwd, environment)


def run(
    *arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None, seconds: float = SECONDS
) -> Ended:
    """`python sweep.py ARGUMENTS`, to its end."""
    with start(*arguments, cwd=cwd, environment=environment) as process:
        return process.wait(seconds)


def succeed(*arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> Ended:
    """The same, and it must end well."""
    ended = run(*arguments, cwd=cwd, environment=environment)
    assert ended.code == 0, ended.told
    assert ended.stderr == "", ended.told
    return ended


def session_of(pid: int) -> list[int]:
    """The processes of the session that `pid` leads; a zombie is none."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # pid (name) state parent group session ...; the name may hold spaces and parentheses
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == pid and state != "Z":
                    found.append(int(entry.name))
    return found


def leaderboard(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "leaderboard.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def ledger(sweep: Path) -> list[dict[str, Any]]:
    return json_lines(sweep / "ledger.jsonl")


def events(sweep: Path, event: str) -> list[str]:
    """The trials of the ledger's events of one kind, in their order."""
    return [line["trial"] for line in ledger(sweep) if line["event"] == event]


def metrics(sweep: Path, trial_id: str) -> list[dict[str, Any]]:
    return json_lines(sweep / "trials" / trial_id / "metrics.jsonl")


def manifest(sweep: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((sweep / "manifest.json").read_text())
    return content


def trial_file(sweep: Path, trial_id: str, name: str) -> Path:
    """A file that training has left, of the last attempt that has it."""
    folder = sweep / "trials" / trial_id
    attempts = sorted(folder.glob(f"attempt-*/{name}"), key=lambda path: int(path.parent.name.removeprefix("attempt-")))
    return [folder / name, *attempts][-1]


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines only: the file may be growing."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def _hear_ctrl_c() -> None:
    """A shell that runs the tests in the background has them, and what they start, ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _content(file: Any) -> str:
    """From the start, without moving where the process writes: the two share one position."""
    content = b""
    while part := os.pread(file.fileno(), 1 << 16, len(content)):
        content += part
    return content.decode(errors="replace")
