"""python -m vae."""

import json
import os
import pty
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import MNIST

from tests.material.paths import REPOSITORY
from vae.__main__ import default_out, main
from vae.config import HYPERPARAMETERS, TrialConfig
from vae.model.metrics import EpochMetrics
from vae.storage.checkpoint import CHECKPOINT_FILE, MODEL_FILE, load_model
from vae.training.trial import Training

QUICK = ("--dataset", "digits", "--hidden-units", "16", "--latent-size", "2", "--batch-size", "256")
FILES = {"checkpoint.safetensors", "config.json", "metrics.jsonl", "model.safetensors", "snapshots.zip"}


def train(out: Path, *arguments: str) -> int:
    return main([*QUICK, "--epochs", "3", "--out", str(out), *arguments])


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "vae", *arguments]


def metrics_in(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def timeless(out: Path) -> list[dict[str, Any]]:
    return [{**metrics, "epoch_seconds": 0.0} for metrics in metrics_in(out)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def fault(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The lines on stderr of a command that is refused with exit code 2."""

    def refused(*arguments: str) -> str:
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error.rstrip("\n")

    return refused


# ---- what it writes


def test_it_writes_a_folder_of_five_files_that_agree(tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert train(out, "--beta", "0.5", "--seed", "7") == 0
    assert {path.name for path in out.iterdir()} == FILES
    config = TrialConfig(latent_size=2, hidden_units=16, batch_size=256, epochs=3, beta=0.5, seed=7)
    described = json.loads((out / "config.json").read_text())
    assert TrialConfig.model_validate(described["config"]) == config
    assert (described["dataset"], described["image_shape"]) == ("digits", [8, 8])
    _, description = load_model(out)
    assert (description.config, description.dataset, description.image_shape) == (config, "digits", (8, 8))
    history = [EpochMetrics(**metrics) for metrics in metrics_in(out)]
    assert [metrics.epoch for metrics in history] == [1, 2, 3]
    assert description.history == history[: description.epoch]
    assert max(history, key=lambda metrics: metrics.val_elbo).epoch == description.epoch


def test_every_hyperparameter_is_a_flag_with_its_meaning_default_and_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {
        "latent_size": 3,
        "hidden_units": 5,
        "hidden_layers": 2,
        "activation": "tanh",
        "learning_rate": 0.01,
        "beta": 4.0,
        "batch_size": 500,
        "epochs": 1,
        "precision": "float64",
        "seed": 2**32 - 1,
        "mode": "autoencoder",
        "dropout": 0.25,
        "likelihood": "gaussian",
        "variance": "shared",
        "binarize": "threshold",
        "noise": "salt_pepper",
        "noise_factor": 0.125,
        "kl_warmup_epochs": 7,
        "free_bits": 0.5,
        "keep": "last",
    }
    assert set(values) == set(HYPERPARAMETERS)
    flags = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert main(["--dataset", "digits", "--out", str(tmp_path / "m"), *flags]) == 0
    assert json.loads((tmp_path / "m" / "config.json").read_text())["config"] == values
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, field in TrialConfig.model_fields.items():
        assert f"--{name.replace('_', '-')} X {field.description}" in text
        assert f"(default {field.default})" in text


def test_without_flags_the_config_is_the_default_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--dataset", "digits", "--epochs", "1"]) == 0
    (out,) = (tmp_path / "models").iterdir()
    assert out.name == "digits-latent20-epochs1"
    assert load_model(out)[1].config == TrialConfig(epochs=1)


def test_the_default_folder_tells_every_two_configs_apart() -> None:
    changes: list[dict[str, Any]] = [{}, {"latent_size": 2}, {"beta": 2.0}, {"beta": 0.2}, {"seed": 2}, {"epochs": 2}]
    changes += [{"activation": "tanh"}, {"hidden_units": 2}, {"hidden_layers": 2}, {"learning_rate": 1e-5}]
    changes += [{"mode": "autoencoder"}, {"likelihood": "gaussian"}, {"likelihood": "gaussian", "variance": "shared"}]
    changes += [{"noise": "gaussian"}, {"noise": "gaussian", "noise_factor": 0.5}, {"binarize": "stochastic"}]
    changes += [{"dropout": 0.1}, {"kl_warmup_epochs": 2}, {"free_bits": 0.1}, {"keep": "last"}]
    folders = {default_out(dataset, TrialConfig(**change)) for change in changes for dataset in ("digits", "mnist")}
    assert len(folders) == 2 * len(changes)
    assert default_out("mnist", TrialConfig(latent_size=2, epochs=10)) == Path("models/mnist-latent2-epochs10")


def test_the_default_folder_of_a_folder_of_images_has_its_own_name() -> None:
    assert default_out("/some/where/my_faces", TrialConfig(latent_size=2)) == Path("models/my-faces-latent2")


def test_a_folder_of_images_is_trained_on_and_known_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "faces").mkdir()
    for number in range(10):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 5)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "faces" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    arguments = ["--dataset", "faces", "--latent-size", "2", "--epochs", "1", "--hidden-units", "8"]
    assert main(arguments) == 0
    assert f"Dataset {tmp_path / 'faces'}: 10 images of 6 x 5 pixels" in capsys.readouterr().out
    (out,) = (tmp_path / "models").iterdir()
    assert out.name.startswith("faces-latent2")
    described = json.loads((out / "config.json").read_text())
    assert (described["dataset"], described["image_shape"]) == (str(tmp_path / "faces"), [6, 5])
    assert load_model(out)[1].dataset == str(tmp_path / "faces")
    monkeypatch.chdir("/")
    assert main([*arguments[2:], "--dataset", str(tmp_path / "faces"), "--out", str(out)]) == 0
    assert "is trained already: 1 epochs" in capsys.readouterr().out


@pytest.mark.freyface
def test_frey_face_is_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dataset", "freyface", "--latent-size", "2", "--epochs", "2", "--out", str(tmp_path / "m")]) == 0
    assert load_model(tmp_path / "m")[1].image_shape == (28, 20)


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


def test_it_says_the_dataset_each_epoch_the_best_and_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "with space"
    assert train(out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Dataset digits: 1,797 real digits inside scikit-learn"
    elbos = [metrics["val_elbo"] for metrics in metrics_in(out)]
    for epoch in (1, 2, 3):
        assert lines[1 + epoch].startswith(f"epoch {epoch}/3: validation ELBO {elbos[epoch - 1]:.2f} (rate ")
        assert re.search(r"\d s left$", lines[1 + epoch])
    best_epoch = elbos.index(max(elbos)) + 1
    assert lines[-2].startswith(f"Best epoch {best_epoch} of 3: validation ELBO {max(elbos):.2f} (rate ")
    assert lines[-1] == f"Figures: python -m report '{out}'"


MODES = ("vae", "autoencoder", "decoder_only")
OUTPUTS = (
    ("--likelihood", "bernoulli"),
    ("--likelihood", "continuous_bernoulli"),
    ("--likelihood", "gaussian"),
    ("--likelihood", "gaussian", "--variance", "shared"),
)
NOISES = ("none", "gaussian", "salt_pepper")


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("output", OUTPUTS, ids=lambda words: words[-1])
@pytest.mark.parametrize("mode", MODES)
def test_the_lines_show_the_numbers_that_a_mode_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str, output: tuple[str, ...], noise: str
) -> None:
    out = tmp_path / "m"
    assert train(out, "--mode", mode, *output, "--noise", noise) == 0
    lines, metrics = capsys.readouterr().out.splitlines(), metrics_in(out)
    assert "None" not in "".join(lines)
    assert "nan" not in "".join(lines)
    chosen = "val_elbo" if mode == "vae" else "val_distortion"
    name = "ELBO" if mode == "vae" else "distortion"
    is_noisy = noise != "none" and mode != "decoder_only"
    for epoch in (1, 2, 3):
        assert lines[1 + epoch].startswith(f"epoch {epoch}/3: validation {name} {metrics[epoch - 1][chosen]:.2f}")
        noisy = metrics[epoch - 1].get(chosen.replace("val_", "val_noisy_"))
        assert (noisy is not None) == is_noisy
        assert ("noisy" in lines[1 + epoch]) == is_noisy
        assert not is_noisy or f", from noisy input {noisy:.2f}, " in lines[1 + epoch]
        assert ("rate" in lines[1 + epoch]) == (mode == "vae")
    values = [epoch[chosen] for epoch in metrics]
    best = max(values) if mode == "vae" else min(values)
    expected = f"Best epoch {values.index(best) + 1} of 3: validation {name} {best:.2f}"
    assert lines[-2].startswith(expected)
    assert load_model(out)[1].epoch == values.index(best) + 1


def test_with_keep_last_the_end_tells_of_the_last_epoch_and_the_folder_holds_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So high a learning rate that the last epoch is not the best one."""
    out = tmp_path / "m"
    flags = ("--epochs", "8", "--mode", "autoencoder", "--learning-rate", "0.3", "--batch-size", "32")
    assert train(out, "--keep", "last", *flags) == 0
    distortions = [metrics["val_distortion"] for metrics in metrics_in(out)]
    assert distortions[-1] > min(distortions)
    line = capsys.readouterr().out.splitlines()[-2]
    assert line == f"Kept epoch 8 of 8: validation distortion {distortions[-1]:.2f}, nats per image."
    assert load_model(out)[1].epoch == 8


@pytest.mark.parametrize(
    "flags", [("--dropout", "0.3", "--kl-warmup-epochs", "4", "--free-bits", "0.1"), ("--binarize", "stochastic")]
)
def test_a_run_of_the_new_kinds_twice_or_stopped_and_resumed_gives_the_same_numbers(
    tmp_path: Path, flags: tuple[str, ...], interrupt: Callable[[int, int], None]
) -> None:
    for name in ("a", "b"):
        assert train(tmp_path / name, *flags, "--noise", "gaussian") == 0
    interrupt(2, 1)
    assert train(tmp_path / "c", *flags, "--noise", "gaussian") == 130
    assert train(tmp_path / "c", *flags, "--noise", "gaussian") == 0
    assert timeless(tmp_path / "a") == timeless(tmp_path / "b") == timeless(tmp_path / "c")


def test_a_run_twice_gives_the_same_numbers(tmp_path: Path) -> None:
    assert train(tmp_path / "a") == train(tmp_path / "b") == 0
    assert timeless(tmp_path / "a") == timeless(tmp_path / "b")


@pytest.mark.mnist
@pytest.mark.slow
def test_it_trains_on_mnist_to_a_known_elbo_of_two_latents(tmp_path: Path) -> None:
    """A VAE of two latents is known to end near -150 on grey MNIST; after two epochs it is on its way."""
    assert main(["--dataset", "mnist", "--latent-size", "2", "--epochs", "2", "--out", str(tmp_path / "m")]) == 0
    assert -185 < metrics_in(tmp_path / "m")[-1]["val_elbo"] < -150


# ---- stopping and going on


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Sends this process a real SIGINT, `times` times, in the midst of an epoch."""

    def set_up(epoch: int, times: int) -> None:
        next_epoch = Training.next_epoch

        def interrupted(training: Training) -> EpochMetrics:
            if training.n_epochs + 1 == epoch:
                monkeypatch.setattr(Training, "next_epoch", next_epoch)
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)
            return next_epoch(training)

        monkeypatch.setattr(Training, "next_epoch", interrupted)

    return set_up


def test_ctrl_c_ends_the_epoch_and_the_same_command_ends_as_if_never_stopped(
    tmp_path: Path, interrupt: Callable[[int, int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(whole, "--epochs", "6") == 0
    interrupt(4, 1)
    assert train(parts, "--epochs", "6") == 130
    error = capsys.readouterr().err.splitlines()
    assert error == [
        "Stopping after this epoch; Ctrl-C again stops at once.",
        "Stopped after epoch 4. The same command goes on from there.",
    ]
    assert len(metrics_in(parts)) == 4
    assert train(parts, "--epochs", "6") == 0
    assert f"Going on in {parts} after epoch 4 of 6." in capsys.readouterr().out
    assert timeless(parts) == timeless(whole)
    ours, theirs = (load_model(out)[0].state_dict() for out in (parts, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_second_ctrl_c_stops_at_once_and_leaves_no_half_epoch(
    tmp_path: Path, interrupt: Callable[[int, int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(whole) == 0
    interrupt(3, 2)
    assert train(parts) == 130
    assert "The same command goes on from the last checkpoint" in capsys.readouterr().err.splitlines()[-1]
    assert not (parts / CHECKPOINT_FILE).exists()
    assert train(parts) == 0
    assert timeless(parts) == timeless(whole)


def test_the_signal_handler_is_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert train(tmp_path / "m") == 0
    assert signal.getsignal(signal.SIGINT) is before


def test_a_crash_after_the_checkpoint_leaves_no_epoch_twice_in_the_metrics(
    tmp_path: Path, interrupt: Callable[[int, int], None]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(whole) == 0
    interrupt(1, 1)
    assert train(parts) == 130
    with (parts / "metrics.jsonl").open("a") as log:  # an epoch that the checkpoint does not know, cut short
        log.write('{"epoch": 2, "train_lo')
    assert train(parts) == 0
    assert timeless(parts) == timeless(whole)


def test_a_model_that_is_trained_already_is_said_to_be_and_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m"
    assert train(out) == 0
    before = contents(out)
    capsys.readouterr()
    assert train(out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{out} is trained already: 3 epochs."
    assert lines[-1] == f"Figures: python -m report {out}"
    assert contents(out) == before


def wait_for_line(process: subprocess.Popen[str], start: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return line
    raise AssertionError(f"no line starts with {start!r}")


def test_ctrl_c_in_a_shell_exits_with_130_and_the_next_run_goes_on(tmp_path: Path) -> None:
    arguments = command(*QUICK, "--epochs", "100000", "--out", str(tmp_path / "m"))
    for start in ("epoch 5/", "Going on in"):
        with subprocess.Popen(arguments, cwd=REPOSITORY, stdout=-1, stderr=-1, text=True) as process:
            wait_for_line(process, start)
            process.send_signal(signal.SIGINT)
            output, error = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "Traceback" not in error + output
        assert re.search(r"Stopped after epoch \d+\. The same command goes on from there\.\n$", error)


def in_terminal(arguments: list[str]) -> tuple[int, str]:
    """Exit code and output of a command whose output is a terminal of 120 columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    process = subprocess.Popen(arguments, cwd=REPOSITORY, stdout=theirs, stderr=subprocess.STDOUT, env=environment)
    os.close(theirs)
    output = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            output += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    return process.wait(), output.decode()


def test_in_a_terminal_there_is_a_progress_bar_with_the_time_left(tmp_path: Path) -> None:
    code, output = in_terminal(command(*QUICK, "--epochs", "40", "--out", str(tmp_path / "m")))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output)
    assert code == 0
    assert "\x1b[" in output
    assert re.search(r"━+ +40/40 epochs \d+:\d\d:\d\d \d+:\d\d:\d\d left +validation ELBO -\d+\.\d\d", text)
    assert "epoch 1/40:" not in text
    assert "Figures: python -m report" in text


# ---- what it refuses


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


def test_a_folder_of_before_there_were_modes_and_likelihoods_goes_on(
    tmp_path: Path, interrupt: Callable[[int, int], None], fault: Callable[..., str]
) -> None:
    out = tmp_path / "m"
    interrupt(2, 1)
    assert train(out) == 130
    described = json.loads((out / "config.json").read_text())
    before = {name: value for name, value in described["config"].items() if name not in ("mode", "noise", "keep")}
    (out / "config.json").write_text(json.dumps({**described, "config": before}))
    found = fault(*QUICK, "--epochs", "3", "--mode", "autoencoder", "--out", str(out))
    assert f"--out {out}: holds another model (mode vae, not autoencoder)" in found
    assert train(out) == 0
    assert [metrics["epoch"] for metrics in metrics_in(out)] == [1, 2, 3]


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


def test_a_trial_that_diverges_says_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m"
    arguments = ["--dataset", "digits", "--hidden-layers", "3", "--learning-rate", "1", "--batch-size", "8"]
    assert main([*arguments, "--epochs", "5", "--out", str(out)]) == 1
    last = len(metrics_in(out))
    assert last < 5
    assert capsys.readouterr().err == f"Diverged in epoch {last}: a lower --learning-rate than 1 may help.\n"


def test_a_bug_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "next_epoch", lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError, match="division"):
        train(tmp_path / "m")


def test_options_are_checked_before_anything_is_imported_or_read(fault: Callable[..., str]) -> None:
    started = time.monotonic()
    fault("--latent-size", "0", "--dataset", "mnist", "--data-dir", "/nowhere")
    assert time.monotonic() - started < 1
