"""vae/datasets/mnist.py: its files, where they must be downloaded."""

import contextlib
import gzip
import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from torchvision.datasets import MNIST, FashionMNIST

from tests.material.idx_files import FOLDERS, number_of
from vae.datasets import mnist
from vae.datasets.registry import load, resolve
from vae.errors import DataError


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Points torchvision at other mirrors, past any proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return lambda *urls: [monkeypatch.setattr(each, "mirrors", list(urls)) for each in (MNIST, FashionMNIST)]


@pytest.fixture
def silent_server() -> Iterator[str]:
    """It accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/"


Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A web server whose every GET and HEAD is `answer`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def do_HEAD(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def send(handler: http.server.BaseHTTPRequestHandler, status: int, content: bytes = b"") -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(content)


def refuses(folder: Path, reason: str) -> None:
    """mnist and fashion fail in one line, auto is digits and says why; none of them leaves anything behind."""
    before = sorted(folder.rglob("*"))
    for name, title in (("mnist", "MNIST"), ("fashion", "Fashion-MNIST")):
        with pytest.raises(DataError, match=f"^--dataset {name}: {title} is not in {folder}.*{reason}") as caught:
            resolve(name, folder)
        assert f"a folder that holds {FOLDERS[name]}/raw, or use --dataset digits" in str(caught.value)
        assert "\n" not in str(caught.value)
    name, note = resolve("auto", folder)
    assert name == "digits"
    assert note.startswith(f"digits: MNIST is not in {folder} and cannot be downloaded (")
    assert sorted(folder.rglob("*")) == before


def test_without_network_mnist_and_fashion_fail_and_auto_is_digits_with_the_reason(
    tmp_path: Path, mirrors: Callable[..., None], closed_port: str
) -> None:
    mirrors(closed_port, closed_port)
    started = time.monotonic()
    refuses(tmp_path, "no network")
    assert time.monotonic() - started < 3


def test_a_name_that_nobody_knows_is_no_network(tmp_path: Path, mirrors: Callable[..., None]) -> None:
    mirrors("http://mnist.invalid/")
    refuses(tmp_path / "none", "no network")
    assert not (tmp_path / "none").exists()


def test_a_mirror_that_accepts_and_never_answers_is_given_up(
    tmp_path: Path, mirrors: Callable[..., None], silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "NETWORK_SECONDS", 1)
    mirrors(silent_server, silent_server)
    started = time.monotonic()
    refuses(tmp_path, "no network")
    assert 3 <= time.monotonic() - started < 6  # three times: mnist, fashion and auto


@pytest.mark.slow
@pytest.mark.parametrize("url", ["silent", "http://10.255.255.1/"])
def test_the_whole_attempt_takes_about_ten_seconds_at_most(
    tmp_path: Path, mirrors: Callable[..., None], silent_server: str, url: str
) -> None:
    mirrors(*[silent_server if url == "silent" else url] * 2)
    started = time.monotonic()
    assert resolve("auto", tmp_path)[0] == "digits"
    assert time.monotonic() - started < 11


@pytest.mark.slow
def test_a_machine_without_network_gives_up_fashion_within_ten_seconds(
    tmp_path: Path, mirrors: Callable[..., None], silent_server: str
) -> None:
    mirrors(silent_server)
    started = time.monotonic()
    with pytest.raises(DataError, match=r"Fashion-MNIST is not in .* \(no network: no mirror answers\)"):
        resolve("fashion", tmp_path)
    assert time.monotonic() - started < 11


def test_a_mirror_that_stalls_in_the_download_is_given_up(
    tmp_path: Path, mirrors: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "NETWORK_SECONDS", 0.5)
    with serving(lambda handler: send(handler, 200) if handler.command == "HEAD" else time.sleep(60)) as url:
        mirrors(url)
        started = time.monotonic()
        refuses(tmp_path / "new", "cannot be downloaded")
        assert time.monotonic() - started < 8
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("status", [200, 403, 404, 500])
def test_a_mirror_that_has_something_else_is_no_mnist(
    tmp_path: Path, mirrors: Callable[..., None], status: int
) -> None:
    with serving(lambda handler: send(handler, status, b"<html>Please sign in</html>")) as url:
        mirrors(url)
        refuses(tmp_path / "new", "cannot be downloaded")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_a_reason_too(tmp_path: Path, mirrors: Callable[..., None]) -> None:
    (tmp_path / "file").write_text("x")
    with serving(lambda handler: send(handler, 404)) as url:
        mirrors(url)
        refuses(tmp_path / "file", "cannot be downloaded")


@contextlib.contextmanager
def mirrored(numbered: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The numbered images, zipped, from a server of our own; torchvision is told their checksums."""
    raw = numbered / FOLDERS[name] / "raw"
    zipped = {f"/{path.name}.gz": gzip.compress(path.read_bytes(), 1, mtime=0) for path in raw.iterdir()}
    sums = [(file[1:], hashlib.md5(content).hexdigest()) for file, content in zipped.items()]
    monkeypatch.setattr({"mnist": MNIST, "fashion": FashionMNIST}[name], "resources", sums)
    with serving(lambda handler: send(handler, 200, zipped.get(handler.path, b""))) as url:
        yield url


@pytest.mark.parametrize(("asked", "name"), [("auto", "mnist"), ("mnist", "mnist"), ("fashion", "fashion")])
def test_a_dataset_is_downloaded_where_it_can_be_and_is_whole(
    numbered: Path,
    tmp_path: Path,
    mirrors: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    name: str,
) -> None:
    folder = tmp_path / "deep" / "data"
    with mirrored(numbered, name, monkeypatch) as url:
        mirrors(url)
        assert resolve(asked, folder) == (name, f"{name}: downloaded to {folder}")
    assert [path.name for path in folder.iterdir()] == [FOLDERS[name]]
    assert number_of(load(name, folder, "validation")).tolist() == list(range(55_000, 60_000))
    assert socket.getdefaulttimeout() is None


def test_a_download_replaces_the_files_and_nothing_else_in_their_folder(
    numbered: Path, tmp_path: Path, mirrors: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kept in ("raw/notes.txt", "processed/training.pt"):
        (tmp_path / "MNIST" / kept).parent.mkdir(parents=True)
        (tmp_path / "MNIST" / kept).write_text("mine")
    with mirrored(numbered, "mnist", monkeypatch) as url:
        mirrors(url)
        assert resolve("mnist", tmp_path) == ("mnist", f"mnist: downloaded to {tmp_path}")
    assert (tmp_path / "MNIST" / "processed" / "training.pt").read_text() == "mine"
    assert number_of(load("mnist", tmp_path, "test")).tolist() == list(range(10_000))


def test_a_download_leaves_another_dataset_as_it_was(
    tmp_path: Path, mirrors: Callable[..., None], closed_port: str
) -> None:
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / "kept").write_text("x")
    mirrors(closed_port)
    with pytest.raises(DataError, match="Fashion-MNIST is not in"):
        resolve("fashion", tmp_path)
    assert (tmp_path / "MNIST" / "raw" / "kept").read_text() == "x"
