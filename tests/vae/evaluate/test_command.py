"""python -m vae.evaluate: the numbers of a trained model against NumPy's, from the weights in the file."""

import json
import math
import os
import pty
import re
import select
import shutil
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
from safetensors.numpy import load_file
from scipy.special import expit, logsumexp
from scipy.stats import norm

from tests.material.paths import REPOSITORY
from tests.material.vae_command import into_a_closing_pipe
from vae.__main__ import main as train
from vae.cli.exit import CLOSED_PIPE
from vae.config import TrialConfig
from vae.datasets.registry import load
from vae.datasets.types import Images
from vae.evaluate.__main__ import main
from vae.model.network import initial_weights
from vae.randomness.streams import evaluation_noise
from vae.storage.checkpoint import MODEL_FILE, Description, pack_model

FEW = ("--importance-samples", "20", "--images", "10")
DIGITS = ("--dataset", "digits", "--hidden-units", "32", "--latent-size", "4")


def trained(out: Path, *arguments: str) -> Path:
    assert train([*DIGITS, "--epochs", "15", "--batch-size", "64", "--out", str(out), *arguments]) == 0
    return out


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to read and to evaluate, not to damage."""
    return trained(tmp_path_factory.mktemp("models") / "digits")


@pytest.fixture
def copied(model: Path, tmp_path: Path) -> Path:
    shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("evaluation*.json"))
    return tmp_path / "model"


@pytest.fixture
def fault(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What is on stderr of a command that is refused with exit code 2."""

    def refused(*arguments: object) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "Traceback" not in printed.err
        return printed.err.rstrip("\n")

    return refused


def numbers(folder: Path, *arguments: str, file: str = "evaluation.json") -> dict[str, Any]:
    assert main([str(folder), *arguments]) == 0
    found: dict[str, Any] = json.loads((folder / file).read_text())
    return found


class Numpy:
    """The model with one hidden layer of relu and a Bernoulli likelihood, in float64."""

    def __init__(self, folder: Path) -> None:
        self.w = {name: array.astype(np.float64) for name, array in load_file(folder / MODEL_FILE).items()}

    def layer(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation."""
        hidden = np.maximum(self.layer("encoder.0", x), 0)
        return self.layer("mean", hidden), np.exp(0.5 * self.layer("log_variance", hidden))

    def log_likelihood(self, z: np.ndarray, x: np.ndarray) -> np.ndarray:
        p = expit(self.layer("logits", np.maximum(self.layer("decoder.0", z), 0)))
        with np.errstate(divide="ignore"):
            terms = np.where(x > 0, x * np.log(p), 0) + np.where(x < 1, (1 - x) * np.log1p(-p), 0)
        return terms.sum(-1)

    def log_weights(self, x: np.ndarray, n_samples: int) -> np.ndarray:
        """[K, N], with draws of NumPy's own."""
        mean, std = self.posterior(x)
        z = np.random.default_rng(8).normal(mean, std, (n_samples, *mean.shape))
        return self.log_likelihood(z, x) + (norm.logpdf(z) - norm.logpdf(z, mean, std)).sum(-1)


def check_against_numpy(found: dict[str, Any], reference: Numpy, images: Images, train: Images, n_bound: int) -> None:
    x = images.pixels / 255
    mean, std = reference.posterior(x)
    z = mean + std * evaluation_noise(*mean.shape).numpy()
    kl = 0.5 * (mean**2 + std**2 - 1 - 2 * np.log(std))
    distortion = -reference.log_likelihood(z, x).mean()
    assert found["n_images"] == len(x)
    assert found["distortion"] == pytest.approx(distortion, rel=1e-5)
    assert found["rate"] == pytest.approx(kl.sum(1).mean(), rel=1e-5)
    assert found["elbo"] == pytest.approx(-distortion - kl.sum(1).mean(), rel=1e-5)
    assert found["kl_per_dimension"] == pytest.approx(list(kl.mean(0)), rel=1e-4, abs=1e-6)
    assert found["active_units"] == int((mean.var(0, ddof=1) > 0.01).sum())

    log_q = np.concatenate([norm.logpdf(row, mean, std).sum(-1)[None] for row in z])  # [of the sample, of the Gaussian]
    information = np.mean(np.diag(log_q) - logsumexp(log_q, 1)) + math.log(len(z))
    assert found["mutual_information"] == pytest.approx(information, abs=1e-4)
    assert found["mutual_information_ceiling"] == pytest.approx(math.log(len(z)))
    assert found["marginal_kl"] == pytest.approx(kl.sum(1).mean() - information, abs=1e-3)

    codes, _ = reference.posterior(train.pixels[:10_000] / 255)
    nearest = [np.argsort(((codes - one) ** 2).sum(1), kind="stable")[:5] for one in mean]
    votes = np.array([np.bincount(train.labels[row]).argmax() for row in nearest])
    assert found["neighbours"]["accuracy"] == pytest.approx((votes == images.labels).mean(), abs=1.5 / len(z))
    assert found["neighbours"]["n_reference"] == len(codes)

    log_weights = reference.log_weights(x[:n_bound], 500)
    each = logsumexp(log_weights, 0) - math.log(500)
    bound = found["importance_weighted"]
    assert (bound["n_samples"], bound["n_images"], bound["proposal"]) == (500, n_bound, "posterior")
    assert bound["bound"] == pytest.approx(each.mean(), abs=0.1)
    assert bound["elbo"] == pytest.approx(log_weights.mean(), abs=0.1)
    assert bound["standard_error"] == pytest.approx(each.std(ddof=1) / n_bound**0.5, rel=0.02)
    assert bound["bound"] > bound["elbo"] + 0.1


@pytest.mark.parametrize(("split", "file"), [("validation", "evaluation.json"), ("test", "evaluation-test.json")])
def test_every_number_is_numpys(model: Path, digits: dict[str, Images], split: str, file: str) -> None:
    found = numbers(model, "--split", split, file=file)
    assert (found["dataset"], found["split"]) == ("digits", split)
    check_against_numpy(found, Numpy(model), digits[split], digits["train"], 180)


@pytest.mark.slow
@pytest.mark.mnist
def test_every_number_is_numpys_on_mnist(tmp_path: Path, data_dir: Path) -> None:
    given = ["--dataset", "mnist", "--epochs", "2", "--hidden-units", "64", "--latent-size", "5"]
    assert train([*given, "--out", str(tmp_path / "model")]) == 0
    found = numbers(tmp_path / "model", "--images", "200")
    images, known = load("mnist", data_dir, "validation"), load("mnist", data_dir, "train")
    check_against_numpy(found, Numpy(tmp_path / "model"), images, known, 200)


def test_the_elbo_is_the_one_that_training_found_for_the_epoch(model: Path) -> None:
    found = numbers(model, *FEW)
    history = [json.loads(line) for line in (model / "metrics.jsonl").open()]
    (epoch,) = (metrics for metrics in history if metrics["epoch"] == found["epoch"])
    assert found["elbo"] == pytest.approx(epoch["val_elbo"], rel=1e-6)
    assert found["config"] == json.loads((model / "config.json").read_text())["config"]


def test_twice_is_the_same_file(copied: Path) -> None:
    numbers(copied, *FEW)
    first = (copied / "evaluation.json").read_bytes()
    numbers(copied, *FEW, "--threads", "2")
    assert (copied / "evaluation.json").read_bytes() == first


def test_validation_does_not_read_the_test_split(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(name: str, data_dir: Path, split: Any) -> Images:
        read.append(split)
        return load(name, data_dir, split)

    monkeypatch.setattr("vae.evaluate.__main__.load", noted)
    monkeypatch.setattr("vae.storage.checkpoint.load", noted)
    numbers(copied, *FEW)
    assert sorted(read) == ["train", "validation"]
    assert not (copied / "evaluation-test.json").exists()


def test_what_is_printed_says_of_how_many_images_and_samples_it_is(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = numbers(model, *FEW)
    text = capsys.readouterr().out
    assert "epoch " + str(found["epoch"]) in text
    assert "the 180 validation images of digits" in text
    assert f"ELBO {found['elbo']:.2f}" in re.sub(" +", " ", text)
    assert "K = 20, first 10 images, standard error" in text
    assert f"log N = {math.log(180):.2f}" in text
    assert "5 of 1,437 training images" in text
    assert "not a likelihood" in text
    assert text.endswith(f"{model / 'evaluation.json'}\n")


@pytest.mark.parametrize(
    ("mode", "absent"),
    [
        ("autoencoder", {"elbo", "rate", "importance_weighted", "active_units", "mutual_information"}),
        ("decoder_only", {"elbo", "rate", "neighbours", "active_units", "mutual_information"}),
    ],
)
def test_the_other_modes_leave_out_what_they_have_not(
    tmp_path: Path, mode: str, absent: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained(tmp_path / "model", "--mode", mode, "--epochs", "2")
    capsys.readouterr()
    found = numbers(folder, *FEW)
    assert not absent & found.keys()
    text = capsys.readouterr().out
    assert "distortion" in text
    assert "ELBO" not in text
    assert "None" not in text


def test_a_model_of_noisy_input_has_the_noisy_numbers_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained(tmp_path / "model", "--noise", "gaussian", "--noise-factor", "0.8", "--epochs", "5")
    found = numbers(folder, *FEW)
    epoch = json.loads((folder / "metrics.jsonl").read_text().splitlines()[found["epoch"] - 1])
    assert found["noisy_elbo"] == pytest.approx(epoch["val_noisy_elbo"], rel=1e-5)
    assert found["noisy_rate"] + found["noisy_distortion"] == pytest.approx(-found["noisy_elbo"])
    assert "ELBO, noisy input" in capsys.readouterr().out


def test_a_folder_of_images_without_labels_has_no_neighbours(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(20):
        grey = np.random.default_rng(number).integers(0, 256, (4, 5), dtype=np.uint8)
        Image.fromarray(grey).save(pictures / f"{number}.png")
    assert train(["--dataset", str(pictures), "--epochs", "1", "--out", str(tmp_path / "model")]) == 0
    found = numbers(tmp_path / "model", *FEW, "--neighbours", "9999")
    assert "neighbours" not in found
    assert found["importance_weighted"]["n_images"] == found["n_images"] == 2


def test_it_runs_as_a_module_and_writes_nothing_on_stderr(copied: Path) -> None:
    command = [sys.executable, "-m", "vae.evaluate", str(copied), *FEW]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "importance-weighted bound" in ended.stdout


@pytest.mark.slow
def test_on_a_terminal_a_bar_shows_how_far_the_bound_is(copied: Path) -> None:
    """Of a width that a terminal may have; the bar goes when it is done, the numbers stay."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vae.evaluate", str(copied), "--importance-samples", "3000", "--threads", "1"]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown, deadline = b"", time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    shown += os.read(ours, 65536)
                except OSError:  # the terminal's other end is closed
                    break
        assert process.wait(30) == 0
    os.close(ours)
    assert "Importance-weighted bound, images" in shown.decode()
    assert re.search(r"\d+/180", shown.decode())


# what the user can put right


def _of_another_format(folder: Path) -> None:
    content = (folder / MODEL_FILE).read_bytes()
    (folder / MODEL_FILE).write_bytes(content.replace(b"vae-sweep/1", b"vae-sweep/9"))


def _truncated(folder: Path) -> None:
    (folder / MODEL_FILE).write_bytes((folder / MODEL_FILE).read_bytes()[:-100])


def _rewritten(folder: Path, dataset: str = "digits", shape: tuple[int, int] = (8, 8), **other: Any) -> None:
    config = TrialConfig(latent_size=4, hidden_units=32)
    weights = initial_weights(shape[0] * shape[1], config) | other.get("weights", {})
    described = Description(other.get("config", config), dataset, shape, 1)
    (folder / MODEL_FILE).write_bytes(pack_model(weights, described))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / MODEL_FILE).unlink(), "no such file"),
        (_truncated, "truncated"),
        (_of_another_format, "format 'vae-sweep/9'"),
        (lambda folder: _rewritten(folder, config=TrialConfig(latent_size=5, hidden_units=32)), "its config says"),
        (
            lambda folder: _rewritten(folder, shape=(9, 9)),
            "expects 9 x 9 images; the dataset digits has 8 x 8",
        ),
        (lambda folder: _rewritten(folder, dataset="faces"), "'faces'; this version knows"),
        (lambda folder: _rewritten(folder, dataset="/no/such/folder"), "no such folder"),
        (lambda folder: _rewritten(folder, weights={"logits.bias": torch.full((64,), math.nan)}), "diverged"),
    ],
)
def test_a_checkpoint_that_cannot_be_evaluated_is_refused_in_a_line(
    copied: Path, damage: Callable[[Path], None], says: str, fault: Callable[..., str]
) -> None:
    damage(copied)
    line = fault(copied)
    assert says in line
    assert "\n" not in line
    assert not (copied / "evaluation.json").exists()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, fault: Callable[..., str]) -> None:
    assert "nowhere" in fault(tmp_path / "nowhere")


def test_a_dataset_that_is_not_there_is_refused(copied: Path, tmp_path: Path, fault: Callable[..., str]) -> None:
    _rewritten(copied, dataset="mnist", shape=(28, 28))
    line = fault(copied, "--data-dir", tmp_path)
    assert "MNIST" in line
    assert "\n" not in line


def test_fewer_training_images_than_neighbours_are_refused(model: Path, fault: Callable[..., str]) -> None:
    assert fault(model, "--neighbours", "1438").startswith("--neighbours 1438: digits has 1,437 training images")


def test_every_bad_option_has_a_line_that_says_what_is_allowed(model: Path, fault: Callable[..., str]) -> None:
    given = ["--split", "train", "--importance-samples", "0", "--images", "-1", "--neighbours", "five"]
    lines = fault(model, *given, "--threads", "1.5", "--device", "tpu").splitlines()
    assert lines == [
        "--split train: must be one of validation, test",
        "--importance-samples 0: must be an integer from 1 to 1000000",
        "--images -1: must be an integer from 1 to 10000000",
        "--neighbours five: must be an integer from 1 to 10000",
        "--threads 1.5: must be an integer from 1 to 1024",
        "--device tpu: must be one of auto, cpu, cuda",
    ]


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--image", "3"], ["a", "--neighbours"]])
def test_a_command_line_that_cannot_be_read_is_refused_in_a_line(
    arguments: list[str], fault: Callable[..., str]
) -> None:
    line = fault(*arguments)
    assert "--help" in line
    assert "\n" not in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_refused_after_the_numbers(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied.chmod(0o500)
    try:
        assert main([str(copied), *FEW]) == 2
    finally:
        copied.chmod(0o700)
    printed = capsys.readouterr()
    assert "importance-weighted bound" in printed.out
    assert "cannot write" in printed.err


def test_a_full_disk_is_said_in_a_line_after_the_numbers(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vae.files.LocalFiles.write", full)
    assert main([str(copied), *FEW]) == 2
    printed = capsys.readouterr()
    assert "importance-weighted bound" in printed.out
    assert printed.err == f"{copied / 'evaluation.json'}: cannot write (No space left on device)\n"


@pytest.mark.slow
def test_into_a_pipe_that_closes_it_ends_without_a_word_and_the_file_has_the_numbers(copied: Path) -> None:
    arguments = [sys.executable, "-m", "vae.evaluate", str(copied), *FEW]
    assert into_a_closing_pipe(arguments, 0) == (CLOSED_PIPE, "")
    by_pipe = json.loads((copied / "evaluation.json").read_text())
    assert by_pipe == numbers(copied, *FEW)


def test_ctrl_c_ends_it_with_130_and_leaves_the_old_file(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "evaluation.json").write_text("old")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vae.evaluate.__main__.evaluate", stopped)
    assert main([str(copied)]) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert (copied / "evaluation.json").read_text() == "old"


def test_a_bug_keeps_its_traceback(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae.evaluate.__main__.evaluate", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError, match="division"):
        main([str(copied)])
