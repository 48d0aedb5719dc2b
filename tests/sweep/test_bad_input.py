"""What a user can get wrong: one line that says what, and what would be right; exit code 2; nothing left behind."""

import gzip
import http.server
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torchvision

import sweep
from tests.material.sweeps import (
    SWEEP,
    Ended,
    FinishedSweep,
    Process,
    events,
    files_below,
    leaderboard,
    ledger,
    run,
    start,
    succeed,
)

SPACE = """description: A space to put faults into.
dataset: digits
trials: 4
epochs: 4
search:
  latent_size: {type: int, low: 2, high: 16, log: true}
  beta: {type: float, low: 0.25, high: 4.0, log: true}
scheduler: {type: none}
"""
MNIST_FILES = {  # name: magic number, shape
    "train-images-idx3-ubyte": (2051, (60_000, 28, 28)),
    "train-labels-idx1-ubyte": (2049, (60_000,)),
    "t10k-images-idx3-ubyte": (2051, (10_000, 28, 28)),
    "t10k-labels-idx1-ubyte": (2049, (10_000,)),
}
SECONDS = 60.0  # for a fault that Ray has to start for; a hang would be longer

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs main with arguments that must be refused before anything starts; returns the line that says why."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "no-data"))

    def main(*arguments: str) -> str:
        before = files_below(tmp_path)
        code = sweep.main(list(arguments))
        captured = capsys.readouterr()
        assert code == 2, captured
        assert_says_it_in_a_line(captured.err)
        assert files_below(tmp_path) == before, "nothing was created"
        return captured.err

    return main


def assert_says_it_in_a_line(stderr: str) -> None:
    """One line, or 'N faults' and N lines."""
    assert "Traceback" not in stderr
    lines = stderr.rstrip("\n").split("\n")
    several = re.search(r": (\d+) faults$", lines[0])
    assert len(lines) == (1 + int(several[1]) if several else 1), stderr
    assert all(lines)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give one of --space NAME, --resume NAME, --report NAME, --list-spaces"),
        (["--space", "quick", "--resume", "x"], "give one of --space NAME"),
        (["--space", "quik"], "--space quik: no such space; did you mean 'quick'? allowed: architecture, beta_grid"),
        (["--space", "nowhere/space.yaml"], "--space nowhere/space.yaml: no such file"),
        (["--space", "."], "--space .: no such file"),
        (["--space", "quick", "--trials", "0"], "--trials: '0'; allowed: a whole number from 1"),
        (["--space", "quick", "--trials", "-3"], "--trials: '-3'; allowed: a whole number from 1"),
        (["--space", "quick", "--trials", "many"], "--trials: 'many'; allowed: a whole number from 1"),
        (["--space", "quick", "--epochs", "0"], "--epochs: '0'; allowed: a whole number from 1"),
        (["--space", "quick", "--seed", "1.5"], "--seed: '1.5'; allowed: a whole number from 0"),
        (["--space", "quick", "--dataset", "mnits"], "'mnits'; did you mean 'mnist'? allowed: auto, digits, mnist"),
        (["--space", "quick", "--set", "beta"], "--set beta: expected key=value, such as batch_size=256"),
        (["--space", "quick", "--set", "batch_sise=3"], "did you mean 'batch_size'?"),
        (["--space", "quick", "--set", "batch_size=0"], "--set batch_size=0 (fixed.batch_size): 0"),
        (["--space", "quick", "--set", "batch_size=big"], "--set batch_size=big (fixed.batch_size): 'big'"),
        (["--space", "quick", "--set", "epochs=3"], "use --epochs"),
        (["--space", "quick", "--set", "scheduler.type=asher"], "'asher'; did you mean 'asha'? allowed: asha,"),
        (["--space", "quick", "--set", "search.beta.low=9"], "low 9.0 is above high 4.0"),
        (["--space", "quick", "--name", "../x"], "--name ../x: allowed are up to 100 letters, digits"),
        (["--space", "quick", "--name", "/x/y"], "--name /x/y: allowed are up to 100 letters, digits"),
        (["--space", "quick", "--name", "a b"], "--name a b: allowed are up to 100 letters, digits"),
        (["--space", "quick", "--name", ""], "--name: ''; allowed: a text that is not empty"),
        (["--space", "quick", "--storage", ""], "--storage: ''; allowed: a text that is not empty"),
        (["--space", "quick", "--address", ""], "--address: ''; allowed: a text that is not empty"),
        (["--space", "quick", "--storage", "nowhere://x"], "--storage nowhere://x: cannot be reached"),
        (["--space", "quick", "--top-k", "-1"], "--top-k: '-1'; allowed: a whole number from 0"),
        (["--space", "quick", "--time-budget", "soon"], "--time-budget: 'soon'; allowed: a number with s, m, h or d"),
        (["--space", "quick", "--time-budget", "0"], "--time-budget: '0'; allowed: a number with s, m, h or d"),
        (["--space", "quick", "--cpus-per-trial", "0"], "--cpus-per-trial: '0'; allowed: a whole number from 1"),
        (["--space", "quick", "--gpus-per-trial", "1.5"], "'1.5'; allowed: from 0 to 1, as a trial trains on one GPU"),
        (["--space", "quick", "--gpus-per-trial", "2"], "'2'; allowed: from 0 to 1, as a trial trains on one GPU"),
        (["--space", "quick", "--max-concurrent", "0"], "--max-concurrent: '0'; allowed: a whole number from 1"),
        (["--space", "quick", "--trails", "3"], "--trails"),
        (["--resume", "nonsense"], "runs/nonsense: not a sweep, it has no manifest.json; there is no sweep there"),
        (["--resume", "../x"], "../x: allowed are up to 100 letters, digits"),
        (["--resume", "x", "--epochs", "9"], "--epochs with --resume: a resumed sweep keeps what it was started with"),
        (["--resume", "x", "--set", "beta=1"], "--set with --resume: a resumed sweep keeps what it was started with"),
        (["--report", "nonsense"], "runs/nonsense: not a sweep, it has no manifest.json; there is no sweep there"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_what_it_may_be(
    arguments: list[str], says: str, refused: Refused
) -> None:
    assert says in refused(*arguments)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("search:", "search: [", "not YAML"),
        ("trials: 4", "trials: 4\ntrials: 5", "line 4: not YAML: key 'trials' appears twice"),
        ("trials: 4", "trials: 0", "line 3, trials: 0: input should be greater than or equal to 1"),
        ("trials: 4", "trials: four", "line 3, trials: 'four'"),
        ("  latent_size", "  latent_sise", "line 6, search.latent_sise: no such key; did you mean 'latent_size'?"),
        ("low: 2, high: 16", "low: 20, high: 16", "search.latent_size.low: low 20 is above high 16"),
        ("low: 0.25", "low: 0", "0.0 with log: true; a logarithmic scale needs low above 0"),
        ("type: float", "type: flaot", "'flaot'; did you mean 'float'? allowed: int, float, categorical"),
        ("epochs: 4", "epochs: 4\nmetric: val_loss", "val_loss cannot rank trials: it is D + beta * R, which depends"),
        ("epochs: 4", "epochs: 4\nmetric: accuracy", "'accuracy'"),
        ("digits", "cifar", "line 2, dataset: 'cifar'; allowed: auto, digits, mnist"),
        ("{type: none}", "{type: asha, grace_epochs: 9}", "scheduler.grace_epochs: 9 is above epochs, 4"),
        ("{type: none}", "{type: none}\nsampler: {type: grid}", "no step with sampler grid"),
        ("{type: none}", "{type: none}\nfixed: {beta: 1.0}", "fixed.beta: beta is searched as well"),
        ("{type: none}", "{type: none}\nbaselines: [{beta: 9.0}]", "9.0 is outside the search, 0.25 to 4.0"),
        (SPACE, "", "not keys and values; see search_spaces/quick.yaml"),
        (SPACE, "- a\n- list\n", "not keys and values; see search_spaces/quick.yaml"),
        (SPACE, "\0\1\2", "space.yaml: "),
    ],
)
def test_a_fault_in_a_space_is_refused_with_its_file_its_place_and_what_is_allowed(
    old: str, new: str, says: str, refused: Refused, tmp_path: Path
) -> None:
    assert old in SPACE
    (tmp_path / "space.yaml").write_text(SPACE.replace(old, new))
    line = refused("--space", "space.yaml")
    assert says in line
    assert line.startswith("space.yaml: ")


def test_all_faults_of_a_space_are_said_at_once(refused: Refused, tmp_path: Path) -> None:
    text = SPACE.replace("beta:", "betta:").replace("low: 2,", "low: 20,").replace("type: none", "type: non")
    (tmp_path / "space.yaml").write_text(text)
    said = refused("--space", "space.yaml", "--set", "batch_size=0")
    assert "space.yaml: 4 faults\n" in said
    for part in (
        "did you mean 'beta'?",
        "search.latent_size.low: low 20 is above",
        "did you mean 'none'?",
        "--set batch_size=0",
    ):
        assert part in said


def test_the_name_of_a_sweep_that_is_there_is_refused_with_the_command_that_resumes_it(
    refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    said = refused("--space", "quick", "--name", "mine")
    assert f"--name mine: a sweep of that name is in {tmp_path / 'runs'}; resume it with --resume mine" in said


@pytest.mark.slow
def test_a_folder_that_is_no_sweep_is_not_resumed_and_the_sweeps_beside_it_are_named(
    refused: Refused, tmp_path: Path, finished_sweep: FinishedSweep
) -> None:
    (tmp_path / "runs" / "empty").mkdir(parents=True)
    (tmp_path / "runs" / "good").mkdir()
    shutil.copy(finished_sweep.folder / "manifest.json", tmp_path / "runs" / "good")
    assert "not a sweep, it has no manifest.json; sweeps there: good" in refused("--resume", "empty")
    assert "not a sweep, it has no manifest.json; sweeps there: good" in refused("--report", "empty")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("manifest.json", "{}", "not a manifest of this version"),
        ("manifest.json", '{"format": 1, ', "cannot be read"),
        ("ledger.jsonl", "damage\n", "line 1 is not JSON"),
        ("ledger.jsonl", '{"event": "finished", "trial": "0099"}\n', "line 1 is not one of its events"),
        ("trials/0001/metrics.jsonl", '{"epoch": 1}\n', "line 1 is not an epoch's metrics"),
    ],
)
@pytest.mark.parametrize("option", ["--resume", "--report"])
def test_a_sweep_with_a_damaged_file_is_refused_with_the_files_name(
    option: str, name: str, content: str, says: str, refused: Refused, tmp_path: Path, finished_sweep: FinishedSweep
) -> None:
    folder = Path(shutil.copytree(finished_sweep.folder, tmp_path / "runs" / "mixed"))
    (folder / name).write_text(content)
    said = refused(option, "mixed")
    assert said.startswith(f"{folder / name}: ")
    assert says in said


@pytest.mark.slow
def test_fewer_trials_than_a_sweep_has_are_refused(
    refused: Refused, tmp_path: Path, finished_sweep: FinishedSweep
) -> None:
    shutil.copytree(finished_sweep.folder, tmp_path / "runs" / "mixed")
    assert "--trials 3: sweep mixed has 8 already; allowed: 8 or more" in refused("--resume", "mixed", "--trials", "3")


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A data folder with MNIST's four files: right in name, size and header, sparse on disk."""
    folder = tmp_path / "data"
    (folder / "MNIST" / "raw").mkdir(parents=True)
    for name, (magic, shape) in MNIST_FILES.items():
        write_idx(folder / "MNIST" / "raw" / name, magic, shape)
    return folder


def write_idx(path: Path, magic: int, shape: tuple[int, ...]) -> None:
    size = 1
    for length in shape:
        size *= length
    with path.open("wb") as file:
        file.write(struct.pack(f">{1 + len(shape)}I", magic, *shape))
        file.truncate(4 + 4 * len(shape) + size)


def test_an_mnist_file_that_is_truncated_is_refused_with_its_size_and_what_to_do(refused: Refused, mnist: Path) -> None:
    path = mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    with path.open("rb+") as file:
        file.truncate(1_000_000)
    said = refused("--space", "quick", "--dataset", "mnist", "--data-dir", str(mnist))
    assert f"{path}: 1,000,000 bytes, expected 47,040,016; it is truncated or not MNIST: delete it" in said


def test_an_mnist_file_of_another_shape_is_refused_with_the_shape(refused: Refused, mnist: Path) -> None:
    path = mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    write_idx(path, 2051, (60_000, 14, 56))
    said = refused("--space", "quick", "--dataset", "mnist", "--data-dir", str(mnist))
    assert f"{path}: says its shape is (60000, 14, 56), expected (60000, 28, 28)" in said


def test_an_mnist_file_of_something_else_is_refused(refused: Refused, mnist: Path) -> None:
    path = mnist / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    path.write_bytes(gzip.compress(os.urandom(10_008))[:10_008])
    said = refused("--space", "quick", "--dataset", "mnist", "--data-dir", str(mnist))
    assert f"{path}: starts with " in said


@pytest.fixture
def no_mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose network swallows every question: MNIST's mirrors are a server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [address])
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("no_mirror")
def test_mnist_that_is_neither_on_disk_nor_on_the_network_is_refused_in_ten_seconds(refused: Refused) -> None:
    said = refused("--space", "quick", "--dataset", "mnist", "--data-dir", "nowhere")
    assert "--dataset mnist: MNIST is not in nowhere and cannot be downloaded (no network: no mirror answers)" in said
    assert "or use --dataset digits" in said


@pytest.mark.slow
@pytest.mark.usefixtures("no_mirror")
def test_auto_falls_back_to_digits_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sweep.main(["--space", "quick", "--dataset", "auto", "--data-dir", "nowhere", "--dry-run"]) == 0
    stdout = capsys.readouterr().out
    assert "dataset digits: MNIST is not in nowhere and cannot be downloaded (no network: no mirror answers)" in stdout


def refuse(*arguments: str | Path, cwd: Path, code: int = 2) -> Ended:
    """A sweep as a process of its own that must be refused, soon."""
    before = files_below(cwd)
    ended = run(*arguments, cwd=cwd, seconds=SECONDS)
    assert ended.code == code, ended.told
    assert_says_it_in_a_line(ended.stderr)
    assert "Traceback" not in ended.stdout
    assert files_below(cwd) == before, "nothing was created"
    return ended


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--cpus-per-trial", "1000"], r"--cpus-per-trial 1000: no node has as many; allowed: 1 to \d+"),
        (["--gpus-per-trial", "64"], r"--gpus-per-trial: '64'; allowed: from 0 to 1, as a trial trains on one GPU"),
        (["--storage", "file/below"], r"--storage .*/file/below: cannot hold a sweep \(.*Not a directory"),
        (["--storage", "file"], r"--storage .*/file: cannot hold a sweep \(.*exists"),
        (["--address", "127.0.0.1:1"], r"--address 127\.0\.0\.1:1: no Ray cluster answers there"),
        (["--address", "no.such.host.invalid:6379"], r"--address no\.such\.host\.invalid:6379: no Ray cluster answers"),
        (["--address", "nonsense"], r"--address nonsense: no Ray cluster answers there"),
    ],
)
def test_what_the_machines_cannot_do_is_refused(arguments: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ended = refuse("--space", "quick", *arguments, cwd=tmp_path)
    assert re.search(says, ended.stderr), ended.told


@pytest.mark.slow
def test_images_without_anything_on_them_are_refused(tmp_path: Path, mnist: Path) -> None:
    """Files of the right form, of which every pixel is 0: that is seen once they are loaded, while Ray starts."""
    ended = refuse("--space", "quick", "--dataset", "mnist", "--data-dir", mnist, cwd=tmp_path)
    assert "mnist, train split: grey values end at 0; expected 0..255" in ended.stderr


@pytest.mark.slow
def test_an_address_where_something_else_answers_is_refused_with_the_usual_port(tmp_path: Path) -> None:
    """Such as the dashboard's, which speaks HTTP."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ended = refuse("--space", "quick", "--address", f"127.0.0.1:{server.server_port}", cwd=tmp_path)
        server.shutdown()
    assert "what answers is something else; the port of a head is 6379" in ended.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of a given size."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("a file system of a few MiB can be mounted by root only")
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
        if done.returncode:
            pytest.skip(f"mount: {done.stderr.decode().strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.slow
def test_a_disk_that_is_full_is_refused_with_what_is_free_and_what_is_needed(
    tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    small_disk("1m")
    ended = refuse("--space", "quick", "--storage", "disk", cwd=tmp_path)
    assert "/disk: cannot hold a sweep (1 MiB are free, the sweep needs about 64 MiB)" in ended.stderr


@pytest.mark.slow
def test_a_disk_that_fills_up_stops_the_sweep_in_a_line_and_with_space_it_goes_on_to_the_end(
    tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("70m")
    folder = disk / "it"
    options = ("--trials", "4", "--epochs", "80", "--set", "scheduler.type=none", "--max-concurrent", "2")
    with start("--space", "quick", "--name", "it", "--storage", "disk", *options, cwd=tmp_path) as process:
        process.until(lambda: len(events(folder, "started")) >= 2, "start")
        fill(disk / "filler")
        ended = process.wait()
    assert ended.code == 2, ended.told
    assert_says_it_in_a_line(ended.stderr)
    assert "No space left on device" in ended.stderr
    assert "go on with: python sweep.py --resume it --storage disk\n" in ended.stderr
    n_proposed = len(events(folder, "proposed"))
    assert n_proposed < 4 or len(events(folder, "finished")) < 4, "it was stopped before its end"
    (disk / "filler").unlink()
    succeed("--resume", "it", "--storage", "disk", "--top-k", "0", cwd=tmp_path)
    assert [row["state"] for row in leaderboard(folder)] == ["complete"] * 4
    assert sorted(events(folder, "finished")) == ["0000", "0001", "0002", "0003"]
    assert all(line["event"] for line in ledger(folder))


def fill(path: Path) -> None:
    """Until there is not a byte left."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


@pytest.mark.slow
def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; a file in the way is tested instead")
    (tmp_path / "locked").mkdir(mode=0o500)
    ended = refuse("--space", "quick", "--storage", "locked", cwd=tmp_path)
    assert "/locked: cannot hold a sweep" in ended.stderr


@pytest.mark.slow
def test_a_machine_without_network_falls_back_at_once_and_never_hangs(tmp_path: Path) -> None:
    command = ["unshare", "--map-root-user", "--net", sys.executable, str(SWEEP), "--space", "quick"]
    if subprocess.run([*command[:3], "true"], capture_output=True).returncode:
        pytest.skip("no namespace without network can be made here")
    with Process([*command, "--dataset", "mnist", "--data-dir", "nowhere"], cwd=tmp_path) as process:
        ended = process.wait(SECONDS)
    assert ended.code == 2, ended.told
    assert_says_it_in_a_line(ended.stderr)
    assert "cannot be downloaded (no network" in ended.stderr
    assert files_below(tmp_path) == []
