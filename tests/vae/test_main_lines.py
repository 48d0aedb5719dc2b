"""python -m vae: what it prints, on a terminal, into a file and into a pipe that closes."""

import os
import pty
import re
import select
import subprocess
from pathlib import Path

import pytest

from tests.material.paths import REPOSITORY
from tests.material.vae_command import QUICK, command, into_a_closing_pipe, metrics_in, timeless, train
from vae.__main__ import main
from vae.cli.exit import CLOSED_PIPE
from vae.storage.checkpoint import CHECKPOINT_FILE, load_model, unpack_checkpoint


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


@pytest.mark.slow
def test_in_a_terminal_there_is_a_progress_bar_with_the_time_left(tmp_path: Path) -> None:
    code, output = in_terminal(command(*QUICK, "--epochs", "40", "--out", str(tmp_path / "m")))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output)
    assert code == 0
    assert "\x1b[" in output
    assert re.search(r"━+ +40/40 epochs \d+:\d\d:\d\d \d+:\d\d:\d\d left +validation ELBO -\d+\.\d\d", text)
    assert "epoch 1/40:" not in text
    assert "Figures: python -m report" in text


def test_a_trial_that_diverges_says_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m"
    arguments = ["--dataset", "digits", "--hidden-layers", "3", "--learning-rate", "1", "--batch-size", "8"]
    assert main([*arguments, "--epochs", "5", "--out", str(out)]) == 1
    last = len(metrics_in(out))
    assert last < 5
    assert capsys.readouterr().err == f"Diverged in epoch {last}: a lower --learning-rate than 1 may help.\n"


@pytest.mark.parametrize(
    "n_lines", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(4, marks=pytest.mark.slow)]
)
def test_into_a_pipe_that_closes_it_ends_without_a_word_and_the_same_command_goes_on(
    tmp_path: Path, n_lines: int
) -> None:
    out, whole = tmp_path / "m", tmp_path / "whole"
    arguments = [*QUICK, "--epochs", "60", "--out", str(out)]
    assert into_a_closing_pipe(command(*arguments), n_lines) == (CLOSED_PIPE, "")
    if n_lines == 4:  # two of them epochs
        assert 2 < len(metrics_in(out)) < 60
        state, _ = unpack_checkpoint((out / CHECKPOINT_FILE).read_bytes(), "")
        assert state.epoch == len(metrics_in(out))
    assert main(arguments) == 0
    assert train(whole, "--epochs", "60") == 0
    assert timeless(out) == timeless(whole)


def test_help_into_a_pipe_that_closes_ends_without_a_word() -> None:
    _, error = into_a_closing_pipe(command("--help"), 0)
    assert error == ""
