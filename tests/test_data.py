"""vae/data.py."""

import contextlib
import gzip
import hashlib
import http.server
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from torchvision.datasets import MNIST

from vae import data
from vae.data import Images, default_data_dir, load, resolve
from vae.errors import DataError

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
DIGITS_TEST_HASH = "8b24f10e528bbd2b"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def idx(array: np.ndarray) -> bytes:
    """LeCun's format: two zeros, type 8 (unsigned byte), the number of axes, each length in big endian, the bytes."""
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()


def numbered(n_images: int, mark: int) -> np.ndarray:
    """Images that know their own number: three grey values of it, then a mark and a white pixel."""
    pixels = np.zeros((n_images, 784), np.uint8)
    number = np.arange(n_images)
    pixels[:, 0], pixels[:, 1], pixels[:, 2] = number // 65536, number // 256 % 256, number % 256
    pixels[:, 3], pixels[:, 4] = mark, 255
    return pixels


def number_of(images: Images) -> np.ndarray:
    high, middle, low = (images.pixels[:, column].astype(int) for column in range(3))
    return high * 65536 + middle * 256 + low


@pytest.fixture(scope="session")
def numbered_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four files of MNIST's size whose images are numbered; the label is the number's last digit."""
    folder = tmp_path_factory.mktemp("data")
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for images, labels, n, mark in ((TRAIN_IMAGES, TRAIN_LABELS, 60_000, 1), (TEST_IMAGES, TEST_LABELS, 10_000, 2)):
        (raw / images).write_bytes(idx(numbered(n, mark).reshape(n, 28, 28)))
        (raw / labels).write_bytes(idx((np.arange(n) % 10).astype(np.uint8)))
    return folder


@pytest.fixture
def mnist_copy(numbered_mnist: Path, tmp_path: Path) -> Path:
    """The same files under other names (hard links), to replace one of them."""
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (numbered_mnist / "MNIST" / "raw").iterdir():
        os.link(file, raw / file.name)
    return tmp_path / "data"


def replace(folder: Path, name: str, content: bytes) -> None:
    path = folder / "MNIST" / "raw" / name
    path.unlink()
    path.write_bytes(content)


# ---- splits


@pytest.mark.parametrize(
    ("split", "first", "last", "mark"),
    [("train", 0, 55_000, 1), ("validation", 55_000, 60_000, 1), ("test", 0, 10_000, 2)],
)
def test_mnist_is_split_by_position_in_the_files(
    numbered_mnist: Path, split: data.SplitName, first: int, last: int, mark: int
) -> None:
    images = load("mnist", numbered_mnist, split)
    assert number_of(images).tolist() == list(range(first, last))
    assert set(images.pixels[:, 3].tolist()) == {mark}
    assert (images.labels == np.arange(first, last) % 10).all()
    assert (images.pixels.dtype, images.labels.dtype) == (np.uint8, np.int64)
    assert images.pixels.shape == (last - first, 784)


@pytest.mark.mnist
def test_the_real_mnist_is_what_its_page_says(data_dir: Path) -> None:
    """Counts of labels from LeCun's files; the mean grey value 0.1307 and std 0.3081 are those everybody uses."""
    splits = {split: load("mnist", data_dir, split) for split in ("train", "validation", "test")}
    assert [images.pixels.shape for images in splits.values()] == [(55_000, 784), (5_000, 784), (10_000, 784)]
    labels = np.concatenate([splits["train"].labels, splits["validation"].labels])
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(splits["test"].labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = np.concatenate([splits["train"].pixels, splits["validation"].pixels]) / 255
    assert (pixels.mean(), pixels.std()) == (pytest.approx(0.1307, abs=5e-5), pytest.approx(0.3081, abs=5e-5))


def test_digits_are_split_1437_180_180_without_a_common_image(digits: dict[str, Images]) -> None:
    """Together they are scikit-learn's 1,797 images, each as often as there (no two of them are equal)."""
    assert {split: len(images.pixels) for split, images in digits.items()} == {
        "train": 1437,
        "validation": 180,
        "test": 180,
    }
    ours = sorted(row.tobytes() for images in digits.values() for row in images.pixels)
    theirs = sorted(np.rint(row / 16 * 255).astype(np.uint8).tobytes() for row in load_digits().data)
    assert len(set(theirs)) == 1797
    assert ours == theirs


def test_every_digit_keeps_its_label(digits: dict[str, Images]) -> None:
    source = load_digits()
    label_of = {
        np.rint(row / 16 * 255).astype(np.uint8).tobytes(): int(label)
        for row, label in zip(source.data, source.target, strict=True)
    }
    for images in digits.values():
        assert [label_of[row.tobytes()] for row in images.pixels] == images.labels.tolist()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_digits_are_stratified(digits: dict[str, Images], split: str) -> None:
    """Each class has its share of the 180 to within one image."""
    share = np.bincount(load_digits().target) * 180 / 1797
    assert (np.abs(np.bincount(digits[split].labels) - share) <= 1).all()


def test_digits_are_in_the_same_order_in_every_process_and_version(digits: dict[str, Images]) -> None:
    """A new order would be a new split: whoever changes it must see this fail. Taken down on 2026-11-21."""
    again = load("digits", Path("unused"), "validation")
    assert np.array_equal(again.pixels, digits["validation"].pixels)
    assert hashlib.sha256(digits["test"].pixels.tobytes()).hexdigest()[:16] == DIGITS_TEST_HASH


def test_grey_values_span_the_whole_range(digits: dict[str, Images]) -> None:
    assert (digits["train"].pixels.min(), digits["train"].pixels.max()) == (0, 255)


# ---- damaged files


def no_download(folder: Path) -> None:
    """As `load` without a download: what is there is damaged, and nothing but an error will do."""
    for split in ("train", "validation", "test"):
        load("mnist", folder, split)


def good_bytes(folder: Path, name: str) -> bytes:
    return (folder / "MNIST" / "raw" / name).read_bytes()


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS])
@pytest.mark.parametrize("length", [0, 3, 16, 10_007, -1])
def test_a_truncated_file_is_named_with_its_size(mnist_copy: Path, name: str, length: int) -> None:
    replace(mnist_copy, name, good_bytes(mnist_copy, name)[:length])
    for fails in (
        lambda: no_download(mnist_copy),
        lambda: resolve("mnist", mnist_copy),
        lambda: resolve("auto", mnist_copy),
    ):
        with pytest.raises(DataError, match=rf"{name}: [\d,]+ bytes, expected [\d,]+; it is truncated") as caught:
            fails()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TEST_LABELS])
def test_a_file_that_is_too_long_is_refused(mnist_copy: Path, name: str) -> None:
    replace(mnist_copy, name, good_bytes(mnist_copy, name) + b"\0")
    with pytest.raises(DataError, match=f"{name}: .* bytes, expected"):
        resolve("mnist", mnist_copy)


@pytest.mark.parametrize(("name", "magic"), [(TRAIN_IMAGES, 2049), (TEST_LABELS, 2051), (TEST_IMAGES, 0)])
def test_a_wrong_magic_number_is_refused(mnist_copy: Path, name: str, magic: int) -> None:
    replace(mnist_copy, name, magic.to_bytes(4, "big") + good_bytes(mnist_copy, name)[4:])
    with pytest.raises(DataError, match=f"{name}: starts with {magic}"):
        resolve("mnist", mnist_copy)


@pytest.mark.parametrize("lengths", [(60_000, 14, 56), (30_000, 28, 56), (60_000, 784, 1), (2**31 - 1, 28, 28)])
def test_images_of_another_shape_are_refused_though_the_size_is_right(
    mnist_copy: Path, lengths: tuple[int, int, int]
) -> None:
    header = (2051).to_bytes(4, "big") + b"".join(length.to_bytes(4, "big") for length in lengths)
    replace(mnist_copy, TRAIN_IMAGES, header + good_bytes(mnist_copy, TRAIN_IMAGES)[16:])
    with pytest.raises(DataError, match=rf"{TRAIN_IMAGES}: .*{lengths[1]}.*expected .*60000.*28.*28"):
        no_download(mnist_copy)


def test_labels_that_are_no_digits_are_refused(mnist_copy: Path) -> None:
    replace(mnist_copy, TRAIN_LABELS, good_bytes(mnist_copy, TRAIN_LABELS)[:-1] + b"\x0a")
    with pytest.raises(DataError, match=r"labels end at 10; expected 0\.\.9"):
        no_download(mnist_copy)


def test_images_that_are_all_dark_are_refused(mnist_copy: Path) -> None:
    replace(mnist_copy, TEST_IMAGES, idx(np.zeros((10_000, 28, 28), np.uint8)))
    with pytest.raises(DataError, match=r"test split: grey values end at 0; expected 0\.\.255"):
        no_download(mnist_copy)


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS])
def test_a_missing_file_is_named(mnist_copy: Path, name: str) -> None:
    (mnist_copy / "MNIST" / "raw" / name).unlink()
    with pytest.raises(DataError, match=f"{name}: missing"):
        no_download(mnist_copy)


def test_an_unknown_dataset_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--dataset minst: no such dataset; allowed: auto, digits, mnist"):
        resolve("minst", tmp_path)


# ---- where MNIST is, and where it is not


def test_auto_and_mnist_are_mnist_where_it_is_on_disk(numbered_mnist: Path) -> None:
    for name in ("auto", "mnist"):
        assert resolve(name, numbered_mnist) == ("mnist", f"mnist: in {numbered_mnist}")


def test_digits_are_digits_even_where_mnist_is(numbered_mnist: Path) -> None:
    assert resolve("digits", numbered_mnist)[0] == "digits"


def test_the_data_folder_is_the_environments_or_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_DATA_DIR", "/somewhere")
    assert default_data_dir() == Path("/somewhere")
    monkeypatch.delenv("VAE_DATA_DIR")
    assert default_data_dir() == Path("data")


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Points torchvision at other mirrors, past any proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return lambda *urls: monkeypatch.setattr(MNIST, "mirrors", list(urls))


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


def refuses_mnist(folder: Path, reason: str) -> None:
    """mnist fails in one line, auto is digits and says why; neither leaves anything behind."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(DataError, match=f"--dataset mnist: MNIST is not in {folder}.*{reason}") as caught:
        resolve("mnist", folder)
    assert "\n" not in str(caught.value)
    name, note = resolve("auto", folder)
    assert name == "digits"
    assert note.startswith(f"digits: MNIST is not in {folder} and cannot be downloaded (")
    assert sorted(folder.rglob("*")) == before


def test_without_network_mnist_fails_and_auto_is_digits_with_the_reason(
    tmp_path: Path, mirrors: Callable[..., None], closed_port: str
) -> None:
    mirrors(closed_port, closed_port)
    started = time.monotonic()
    refuses_mnist(tmp_path, "no network")
    assert time.monotonic() - started < 3


def test_a_name_that_nobody_knows_is_no_network(tmp_path: Path, mirrors: Callable[..., None]) -> None:
    mirrors("http://mnist.invalid/")
    refuses_mnist(tmp_path / "none", "no network")
    assert not (tmp_path / "none").exists()


def test_a_mirror_that_accepts_and_never_answers_is_given_up(
    tmp_path: Path, mirrors: Callable[..., None], silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "NETWORK_SECONDS", 1)
    mirrors(silent_server, silent_server)
    started = time.monotonic()
    refuses_mnist(tmp_path, "no network")
    assert 2 <= time.monotonic() - started < 4  # twice: mnist and auto


@pytest.mark.slow
@pytest.mark.parametrize("url", ["silent", "http://10.255.255.1/"])
def test_the_whole_attempt_takes_about_ten_seconds_at_most(
    tmp_path: Path, mirrors: Callable[..., None], silent_server: str, url: str
) -> None:
    mirrors(*[silent_server if url == "silent" else url] * 2)
    started = time.monotonic()
    assert resolve("auto", tmp_path)[0] == "digits"
    assert time.monotonic() - started < 11


def test_a_mirror_that_stalls_in_the_download_is_given_up(
    tmp_path: Path, mirrors: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "NETWORK_SECONDS", 0.5)
    with serving(lambda handler: send(handler, 200) if handler.command == "HEAD" else time.sleep(60)) as url:
        mirrors(url)
        started = time.monotonic()
        refuses_mnist(tmp_path / "new", "cannot be downloaded")
        assert time.monotonic() - started < 8
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("status", [200, 403, 404, 500])
def test_a_mirror_that_has_something_else_is_no_mnist(
    tmp_path: Path, mirrors: Callable[..., None], status: int
) -> None:
    with serving(lambda handler: send(handler, status, b"<html>Please sign in</html>")) as url:
        mirrors(url)
        refuses_mnist(tmp_path / "new", "cannot be downloaded")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_a_reason_too(tmp_path: Path, mirrors: Callable[..., None]) -> None:
    (tmp_path / "file").write_text("x")
    with serving(lambda handler: send(handler, 404)) as url:
        mirrors(url)
        refuses_mnist(tmp_path / "file", "cannot be downloaded")


def test_mnist_is_downloaded_where_it_can_be_and_is_whole(
    numbered_mnist: Path, tmp_path: Path, mirrors: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbered images, zipped, from a server of our own; torchvision is told their checksums."""
    raw = numbered_mnist / "MNIST" / "raw"
    zipped = {f"/{path.name}.gz": gzip.compress(path.read_bytes(), 1, mtime=0) for path in raw.iterdir()}
    sums = [(name[1:], hashlib.md5(content).hexdigest()) for name, content in zipped.items()]
    monkeypatch.setattr(MNIST, "resources", sums)
    folder = tmp_path / "deep" / "data"
    with serving(lambda handler: send(handler, 200, zipped.get(handler.path, b""))) as url:
        mirrors(url)
        assert resolve("auto", folder) == ("mnist", f"mnist: downloaded to {folder}")
    assert [path.name for path in folder.iterdir()] == ["MNIST"]
    assert number_of(load("mnist", folder, "validation")).tolist() == list(range(55_000, 60_000))
    assert socket.getdefaulttimeout() is None
