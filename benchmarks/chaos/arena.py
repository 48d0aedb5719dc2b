"""Arena: one sweep of a run: its driver, started and resumed as a user does, and whatever else its place needs."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from tests.material.ray_nodes import DISABLED, Head, Node
from tests.material.s3 import S3Server
from tests.material.sweeps import Ended, Process, session_of, start
from tuning.store.bucket import Bucket
from tuning.store.folder import Folder
from tuning.store.interface import Place

N_TRIALS, N_SLOTS, N_EPOCHS = 40, 4, 8
NAME = "it"
# With random proposals and no early stopping, every run of a seed must come to the same trials.
SPACE = f"""
description: Short trials for the chaos benchmark.
dataset: digits
trials: {N_TRIALS}
epochs: {N_EPOCHS}
search:
  latent_size: {{type: int, low: 2, high: 6}}
  learning_rate: {{type: float, low: 1.0e-4, high: 3.0e-3, log: true}}
  beta: {{type: float, low: 0.25, high: 4.0, log: true}}
fixed: {{hidden_units: 16, batch_size: 128}}
scheduler: {{type: none}}
sampler: {{type: random}}
"""
STILL_SECONDS = 180.0  # without a new event in the ledger: the sweep hangs
MOST_SECONDS = 900.0  # of a run
TMPFS = "size=128m"
NODE = ("--num-cpus=2", "--object-store-memory=100000000")


class UnexpectedError(Exception):
    """The sweep did what its contract does not say: the text has what it said."""


class LateError(Exception):
    """The sweep has ended before a fault could come."""


class SkippedError(Exception):
    """The fault cannot be made on this machine; the text says why."""


class Arena:
    """A sweep's place and its processes, which all end with the `with` block."""

    def __init__(
        self,
        kind: str,
        seed: int,
        folder: Path,
        server: S3Server | None = None,
        on_tmpfs: bool = False,
        start_seconds: float = 10.0,
    ) -> None:
        """folder: empty, of this arena's own. server: of a bucket. on_tmpfs: the sweep's folder is one that can be
        filled, where this machine lets us mount it. start_seconds: from the command to the first trial, here."""
        self._kind, self._seed, self._folder, self.server = kind, seed, folder, server
        self.on_tmpfs, self.start_seconds = on_tmpfs, start_seconds
        self.cwd = folder / "here"
        self.process: Process | None = None
        self.resume_seconds: list[float] = []
        self.nodes: list[Node] = []
        self._stack = contextlib.ExitStack()
        self._environment = {"TMPDIR": str(folder.parent)}  # of Ray too
        self._options: tuple[str, ...] = ("--top-k", "0", "--max-concurrent", str(N_SLOTS))
        self._ledger: dict[str, bytes] = {}  # objects of a bucket's ledger: they never change
        self._resumed: tuple[float, int] | None = None  # when, and the epochs of before

    def __enter__(self) -> "Arena":
        self.deadline = time.monotonic() + MOST_SECONDS
        with contextlib.ExitStack() as stack:
            self._prepare(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _prepare(self, stack: contextlib.ExitStack) -> None:
        self.cwd.mkdir(parents=True)
        (self._folder / "space.yaml").write_text(SPACE)
        self._stack = stack
        self._options += ("--pack", str(N_SLOTS) if self._kind == "packed" else "off")
        storage = str(self._folder / "storage")
        self.place: Place = Folder(Path(storage) / NAME)
        if self.on_tmpfs:
            self._mount(Path(storage), stack)
        if self.server is not None:
            self._environment |= self.server.environment
            os.environ.update(self.server.environment)
            storage = f"s3://{self.server.new_bucket()}/sweeps"
            self.place = Bucket(f"{storage}/{NAME}")
        elif self._kind == "cluster":
            self._environment |= DISABLED
            head = self.add_node(Head(self._folder, "--num-cpus=1", *NODE[1:], **DISABLED))
            assert isinstance(head, Head)
            self._options += ("--address", head.address)
            self.join_node()
        self._options += ("--storage", storage)

    def _mount(self, path: Path, stack: contextlib.ExitStack) -> None:
        path.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", TMPFS, "chaos", str(path)]
        self.on_tmpfs = subprocess.run(mount, capture_output=True).returncode == 0
        if self.on_tmpfs:
            stack.callback(subprocess.run, ["umount", "-l", str(path)], capture_output=True)

    @property
    def folder(self) -> Path | None:
        """The sweep's folder; None of one in a bucket."""
        return None if self.server else self._folder / "storage" / NAME

    # ---- nodes

    def add_node(self, node: Node) -> Node:
        self._stack.enter_context(node)
        self.nodes.append(node)
        return node

    def join_node(self) -> None:
        head = self.nodes[0]
        assert isinstance(head, Head)
        self.add_node(Node(self._folder, f"--address={head.address}", *NODE, **DISABLED))

    # ---- the driver

    def begin(self) -> Process:
        """Start the sweep, or resume it where there is something to resume."""
        if self.place.get("manifest.json") is None:
            space = str(self._folder / "space.yaml")
            arguments = ("--space", space, "--name", NAME, "--seed", str(self._seed), *self._options)
        else:
            arguments = ("--resume", NAME, *self._options)
            self._resumed = (time.monotonic(), self._n_epochs())
        self.process = self.command(*arguments)
        return self.process

    def resume(self, cwd: Path | None = None) -> Process:
        """`sweep.py --resume` beside whatever runs."""
        return self.command("--resume", NAME, *self._options, cwd=cwd)

    def command(self, *arguments: str, cwd: Path | None = None) -> Process:
        process = start(*arguments, cwd=cwd or self.cwd, environment=self._environment)
        return self._stack.enter_context(process)

    @property
    def live(self) -> Process:
        """The driver that runs; one is begun where there is none."""
        return self.process or self.begin()

    def until(self, progress: float) -> Process:
        """Let the sweep come to this share of its finished trials. Raises LateError where it ends meanwhile."""
        process = self.live
        self._watch(process, lambda: self.n_finished() >= progress * N_TRIALS, "ends")
        if process.is_running():
            return process
        self.ended(0)
        raise LateError

    def wait(self, process: Process, seconds: float) -> bool:
        """Whether the process still runs after so many seconds."""
        deadline = time.monotonic() + seconds
        self._watch(process, lambda: time.monotonic() > deadline, "ends")
        return process.is_running()

    def until_said(self, process: Process, text: str) -> None:
        self._watch(process, lambda: text in process.stdout() + process.stderr(), f"says '{text}'")

    def until_begun(self, process: Process, reason: str) -> None:
        """A command whose storage does not answer as it starts is refused for that reason: a wrong URI looks the same.
        What was struck in its first second may end so, and is begun again."""
        self._watch(process, lambda: process.stdout() != "", "begins")
        if not process.is_running() and not process.stdout():
            refused(process.wait(1), reason)
            self.process = self._resumed = None

    def ended(self, *codes: int) -> Ended:
        """Wait for the driver's end, which must be with one of these codes and without a traceback."""
        process = self.live
        self._watch(process, lambda: False, "ends")
        self.process = None
        self._resumed = None
        return expected(process.wait(), *codes)

    def kill(self, whole: bool = False) -> None:
        """kill -9 of the driver, or of all that it has started as well."""
        if self.process is not None:
            self.process.kill_session() if whole else self.process.send(signal.SIGKILL)
            self.process.wait()
        self.process, self._resumed = None, None

    def _watch(self, process: Process, happened: Callable[[], bool], what: str) -> None:
        """Wait until something has happened or the process has ended. Raises UnexpectedError where nothing moves."""
        moved, size = time.monotonic(), -1
        while not happened() and process.is_running():
            self._look_for_epochs()
            now = time.monotonic()
            if (found := self._size()) != size:
                moved, size = now, found
            if now - moved > STILL_SECONDS or now > self.deadline:
                raise UnexpectedError(f"hangs: waited until it {what}\n{process.stdout()}\n{process.stderr()}")
            time.sleep(0.05 if self.server is None else 0.3)

    def _look_for_epochs(self) -> None:
        if self._resumed is not None and self._n_epochs() > self._resumed[1]:
            self.resume_seconds.append(time.monotonic() - self._resumed[0])
            self._resumed = None

    # ---- what there is to see

    def _size(self) -> int:
        return sum(map(len, self.events()))

    def _n_epochs(self) -> int:
        """Grows with each epoch; in a bucket, whose epochs are not looked at while it works, with each trial."""
        if self.folder is None:
            return self.n_finished()
        paths = self.folder.glob("trials/*/metrics.jsonl")
        return sum(path.stat().st_size for path in paths)

    def n_finished(self) -> int:
        return len({trial for line in self.events() for trial in re.findall(rb'"finished", "trial": "(\d+)"', line)})

    def events(self) -> Iterator[bytes]:
        if self.folder is not None:
            yield self.place.get("ledger.jsonl") or b""
            return
        with contextlib.suppress(OSError):
            for name in self.place.list("ledger/"):
                if name not in self._ledger:
                    self._ledger[name] = self.place.get(name) or b""
        yield from self._ledger.values()

    def workers(self, *kinds: str) -> list[int]:
        """The pids of Ray's workers that are actors of these classes, on all nodes, as their titles say."""
        leaders = [self.live.pid, *(node.process.pid for node in self.nodes)]
        found = []
        for pid in (pid for leader in leaders for pid in session_of(leader)):
            with contextlib.suppress(OSError):
                title = Path(f"/proc/{pid}/cmdline").read_bytes()
                if title.startswith(tuple(f"ray::{kind}".encode() for kind in kinds)):
                    found.append(pid)
        return sorted(found)


def expected(ended: Ended, *codes: int) -> Ended:
    """Raises UnexpectedError for another exit code, a traceback, or a refusal of more than a line."""
    if ended.code not in codes or "Traceback" in ended.stderr:
        raise UnexpectedError(f"allowed: exit code {' or '.join(map(str, codes))}\n{ended.told}")
    return ended


def refused(ended: Ended, text: str) -> None:
    """Raises UnexpectedError unless the command was refused with exit code 2 and one line that has this text."""
    expected(ended, 2)
    if text not in ended.stderr or ended.stderr.count("\n") != 1:
        raise UnexpectedError(f"allowed: one line that says '{text}'\n{ended.told}")
