"""python -m vae: stopped, resumed, run twice."""

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.material.paths import REPOSITORY
from tests.material.vae_command import QUICK, command, contents, metrics_in, timeless, train
from vae.storage.checkpoint import CHECKPOINT_FILE, load_model


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


@pytest.mark.slow
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
