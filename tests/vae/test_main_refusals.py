"""python -m vae: what it refuses, in one line each."""

import resource
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchvision.datasets import MNIST

from tests.material.paths import REPOSITORY
from tests.material.vae_command import QUICK, command, contents, train
from vae.storage.checkpoint import CHECKPOINT_FILE, MODEL_FILE
from vae.training.trial import Training


def test_every_fault_is_named_at_once_with_flag_value_and_range(fault: Callable[..., str]) -> None:
    given = ["--latent-size", "0", "--beta", "much", "--activation", "rel", "--learning-rate", "0", "--seed", "-1"]
    given += ["--mode", "ae", "--dropout", "1", "--likelihood", "normal", "--variance", "one", "--binarize", "yes"]
    given += ["--noise", "salt", "--noise-factor", "2", "--kl-warmup-epochs", "-1", "--free-bits", "x", "--keep", "all"]
    given += ["--epochs", "2.5", "--dataset", "minst", "--threads", "none", "--device", "tpu", "--hidden-unit", "3"]
    assert fault(*given).splitlines() == [
        "--hidden-unit: no such flag; did you mean --hidden-units?",
        "--mode ae: must be one of vae, autoencoder, decoder_only",
        "--latent-size 0: must be an integer of at least 1 and at most 1024",
        "--activation rel: must be one of relu, tanh, elu, softplus",
        "--dropout 1: must be a number of at least 0 and at most 0.95",
        "--likelihood normal: must be one of bernoulli, continuous_bernoulli, gaussian",
        "--variance one: must be one of per_pixel, shared",
        "--binarize yes: must be one of none, stochastic, threshold",
        "--noise salt: must be one of none, gaussian, salt_pepper",
        "--noise-factor 2: must be a number of at least 0 and at most 1",
        "--learning-rate 0: must be a number above 0 and at most 1",
        "--beta much: must be a number of at least 0 and at most 1000",
        "--kl-warmup-epochs -1: must be an integer of at least 0 and at most 100000",
        "--free-bits x: must be a number of at least 0 and at most 100",
        "--epochs 2.5: must be an integer of at least 1 and at most 100000",
        "--keep all: must be one of best, last",
        "--seed -1: must be an integer of at least 0 and below 4294967296",
        "--dataset minst: no such dataset; did you mean 'mnist'? allowed: auto, digits, mnist, fashion, "
        "freyface, or a folder of images",
        "--threads none: must be an integer from 1 to 1024",
        "--device tpu: must be one of auto, cpu, cuda",
    ]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "", "0x1"])
def test_a_learning_rate_that_is_no_finite_number_is_refused(fault: Callable[..., str], value: str) -> None:
    assert fault(f"--learning-rate={value}") == f"--learning-rate {value}: must be a number above 0 and at most 1"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--epochs"], "argument --epochs: expected one argument; --help lists what there is"),
        (["extra"], "extra: no such flag; --help lists what there is"),
        (["--wings", "2"], "--wings: no such flag; --help lists what there is"),
        (["--epoch=3"], "--epoch=3: no such flag; did you mean --epochs?"),
    ],
)
def test_a_malformed_command_line_is_one_line(fault: Callable[..., str], arguments: list[str], line: str) -> None:
    assert fault(*arguments) == line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_refused(fault: Callable[..., str]) -> None:
    assert fault("--device", "cuda") == "--device cuda: torch sees no CUDA device here; use --device cpu"


def test_a_folder_of_another_config_is_refused_and_not_touched(tmp_path: Path, fault: Callable[..., str]) -> None:
    out = tmp_path / "m"
    assert train(out) == 0
    before = contents(out)
    found = fault(*QUICK, "--epochs", "4", "--beta", "2", "--out", str(out))
    assert found == (
        f"--out {out}: holds another model (beta 1.0, not 2.0, epochs 3, not 4); "
        "choose another --out, or delete the folder"
    )
    assert contents(out) == before


def test_a_folder_of_other_files_is_refused_and_not_touched(tmp_path: Path, fault: Callable[..., str]) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "holds other files and no config.json" in fault(*QUICK, "--out", str(tmp_path))
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"config": 3}', b"\xff\xfe", b'{"dataset": "digits"}', b"null"]
)
def test_a_damaged_config_file_is_refused(tmp_path: Path, fault: Callable[..., str], content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    assert fault(*QUICK, "--out", str(tmp_path)) == (
        f"{tmp_path}/config.json: damaged; choose another --out, or delete the folder"
    )
    assert contents(tmp_path) == {"config.json": content}


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda _: b"", lambda _: b"\x80\x04pickle."])
def test_a_damaged_checkpoint_is_refused_and_not_touched(
    tmp_path: Path, fault: Callable[..., str], damage: Callable[[bytes], bytes]
) -> None:
    out = tmp_path / "m"
    assert train(out) == 0
    path = out / CHECKPOINT_FILE
    path.write_bytes(damage(path.read_bytes()))
    before = contents(out)
    found = fault(*QUICK, "--epochs", "3", "--out", str(out))
    assert found.startswith(f"--out {out}: {CHECKPOINT_FILE}: truncated or ")
    assert "\n" not in found
    assert contents(out) == before


def test_an_out_that_cannot_be_a_folder_is_refused(tmp_path: Path, fault: Callable[..., str]) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert fault(*QUICK, "--out", str(out)) == f"--out {out}: cannot read or write there: Not a directory"
    assert contents(tmp_path) == {"file": b"x"}


@pytest.mark.slow
def test_a_disk_that_fills_up_is_one_line(tmp_path: Path) -> None:
    """No file may grow past 4 kB: room for the config, not for a model."""
    arguments = command(*QUICK, "--epochs", "2", "--out", str(tmp_path / "m"))
    limits = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))}
    found = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=False, **limits)  # type: ignore[call-overload]
    assert found.returncode == 2
    assert found.stderr == f"--out {tmp_path / 'm'}: cannot read or write there: File too large\n"
    assert MODEL_FILE not in contents(tmp_path / "m")


def test_mnist_that_is_nowhere_is_refused_in_one_line_and_leaves_nothing(
    tmp_path: Path, fault: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"http://127.0.0.1:{server.getsockname()[1]}/"
    monkeypatch.setattr(MNIST, "mirrors", [closed])
    found = fault("--dataset", "mnist", "--data-dir", str(tmp_path / "d"), "--out", str(tmp_path / "m"))
    assert found.startswith(f"--dataset mnist: MNIST is not in {tmp_path / 'd'} and cannot be downloaded (no network")
    assert "\n" not in found
    assert list(tmp_path.iterdir()) == []


def test_a_bug_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "next_epoch", lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError, match="division"):
        train(tmp_path / "m")


def test_options_are_checked_before_anything_is_imported_or_read(fault: Callable[..., str]) -> None:
    started = time.process_time()
    fault("--latent-size", "0", "--dataset", "mnist", "--data-dir", "/nowhere")
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("dataset", "line"),
    [
        ("none/", "--dataset none/: no such folder"),
        (".", "{here}: no images; expected PNG, JPEG, BMP, GIF, TIFF or WebP files in the folder itself"),
        ("freyface", "--dataset freyface: Frey Face is not in {here}; put frey_rawface.mat (key ff, uint8 560 x"),
    ],
)
def test_a_dataset_that_is_not_there_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[..., str], dataset: str, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found = fault("--dataset", dataset, "--data-dir", str(tmp_path))
    assert found.startswith(line.format(here=tmp_path))
    assert "\n" not in found
    assert list(tmp_path.iterdir()) == []
