"""A TensorBoard in a process of its own, and questions to it over HTTP, as its page asks them."""

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any


class Client:
    """Paths are those below the server's data/."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the server is on this machine

    def get(self, path: str, **query: Any) -> Any:
        return json.loads(self.content(path, **query))

    def post(self, path: str, body: Any) -> Any:
        return json.loads(self._ask(path, json.dumps(body).encode())[0])

    def content(self, path: str, **query: Any) -> bytes:
        return self._ask(self._with(path, query))[0]

    def content_type(self, path: str, **query: Any) -> str:
        return self._ask(self._with(path, query))[1]

    def until(self, n_runs: int) -> None:
        """Wait until it has loaded so many runs."""
        deadline = time.monotonic() + 60
        while len(self.get("runs")) < n_runs:
            assert time.monotonic() < deadline, f"TensorBoard shows {self.get('runs')}"
            time.sleep(0.2)

    @staticmethod
    def _with(path: str, query: dict[str, Any]) -> str:
        return f"{path}?{urllib.parse.urlencode(query)}" if query else path

    def _ask(self, path: str, body: bytes | None = None) -> tuple[bytes, str]:
        """The answer and its content type."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(f"{self._address}/data/{path}", body, headers)
        with self._opener.open(request, timeout=60) as answer:
            return answer.read(), str(answer.headers["Content-Type"])


def serving(folder: Path) -> AbstractContextManager[Client]:
    """TensorBoard over the runs in a folder."""
    return started(["--logdir", str(folder), "--reload_interval", "1"])


@contextmanager
def started(arguments: Sequence[str], cwd: Path | None = None) -> Iterator[Client]:
    """TensorBoard with these arguments, on a port that it chooses."""
    command = [sys.executable, "-m", "tensorboard.main", *arguments, "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd)
    assert process.stdout is not None
    try:
        line = next((line for line in process.stdout if " at http://" in line), None)
        assert line is not None, "TensorBoard ended without an address"
        yield Client(line.split(" at ")[1].split()[0])
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()
