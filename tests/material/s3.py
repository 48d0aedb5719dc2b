"""A real S3 server in a process of its own (moto), and a cable to it that a test can cut."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from types import TracebackType

import pytest

SECONDS = 60.0  # for the server to start on a busy machine


class Cable:
    """Forwards connections to a port of this machine. Once cut it drops those that there are and refuses new ones."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._open: set[socket.socket] = set()
        self.n_connections = 0
        with socket.create_server(("127.0.0.1", 0)) as chosen:
            self.port: int = chosen.getsockname()[1]
        self.mend()

    def mend(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        listening = self._listening
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        listening.close()
        for one in list(self._open):
            _close(one)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                here, _ = listening.accept()
                there = socket.create_connection(self._to)
            except OSError:
                return
            self.n_connections += 1
            self._open |= {here, there}
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(1 << 16):
                sink.sendall(part)
        for one in (source, sink):
            _close(one)
            self._open.discard(one)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


class S3Server:
    """moto's server on loopback, reached through a cable; its state ends with the `with` block."""

    def __enter__(self) -> "S3Server":
        with socket.create_server(("127.0.0.1", 0)) as chosen:
            self._port = chosen.getsockname()[1]
        self._process = subprocess.Popen(
            [*command(), "-H", "127.0.0.1", "-p", str(self._port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        )
        deadline = time.monotonic() + SECONDS
        while not self._answers():
            assert self._process.poll() is None, "the S3 server ended"
            assert time.monotonic() < deadline, "the S3 server does not start"
            time.sleep(0.1)
        self.cable = Cable(self._port)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """It takes requests and answers none."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self._port}/moto-api/", timeout=5)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to use the server."""
        return {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.cable.port}",
            "AWS_ALLOW_HTTP": "true",
        }

    def new_bucket(self) -> str:
        name = f"bucket-{uuid.uuid4().hex[:8]}"
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=20).close()
        return name


@dataclass(frozen=True)
class S3:
    """A server, and the URI of a folder of sweeps in a bucket of the test's own."""

    server: S3Server
    uri: str

    @property
    def cable(self) -> Cable:
        return self.server.cable


def command() -> list[str]:
    """What starts moto's server: of this environment or of the path; [] where there is none."""
    if find_spec("moto") and find_spec("flask"):
        return [sys.executable, "-m", "moto.server"]
    found = shutil.which("moto_server")
    return [found] if found else []


@pytest.fixture(scope="session", name="s3_server")
def fixture_s3_server() -> Iterator[S3Server]:
    if not command():
        pytest.skip("no moto_server: pip install 'moto[server]'")
    with S3Server() as server:
        yield server


@pytest.fixture(name="s3")
def fixture_s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3:
    """A bucket of the test's own, whose server this process and those that it starts will use."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return S3(s3_server, f"s3://{s3_server.new_bucket()}/sweeps")
