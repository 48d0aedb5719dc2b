"""`python -m report FOLDER`: its flags, and what it answers to each that it cannot follow."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from report.__main__ import main, name_in, read_subject
from report.drawing.checkpoint.figures import FIGURES
from report.drawing.checkpoint.options import FigureOptions, flag
from report.options import NAMES, parse
from tests.material.reports import trained
from vae.datasets.types import Images
from vae.errors import UserError
from vae.storage.checkpoint import MODEL_FILE, pack_model, unpack_model

CONFIGS: dict[str, dict[str, Any]] = {
    "vae": {"latent_size": 3},
    "line": {"latent_size": 1},
    "autoencoder": {"mode": "autoencoder", "latent_size": 2},
    "decoder_only": {"mode": "decoder_only", "latent_size": 2},
    "denoising": {"noise": "gaussian", "latent_size": 2},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, digits: dict[str, Images]) -> dict[str, Path]:
    """A trained model of each of CONFIGS: to read only."""
    swept = trained(tmp_path_factory.mktemp("models"), digits, list(CONFIGS.values()), epochs=1)
    return {name: swept.folder / record.folder for name, record in zip(CONFIGS, swept.trials, strict=True)}


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command and gives the lines of its complaint."""

    def run(*arguments: object) -> list[str]:
        assert main([str(argument) for argument in arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        return printed.err.splitlines()

    return run


def _drawn(out: Path, folder: Path, *arguments: str) -> set[str]:
    assert main([str(folder), "--out", str(out), *arguments]) == 0
    return {path.name for path in out.rglob("*") if path.is_file() and "tfevents" not in path.name}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "animations"])
def test_one_figure_may_be_drawn_alone(folders: dict[str, Path], tmp_path: Path, name: str) -> None:
    folder = folders["denoising"]
    drawn = _drawn(tmp_path, folder, "--only", name, "--perplexity", "9") if name == "tsne" else None
    drawn = drawn or _drawn(tmp_path, folder, "--only", name)
    if name == "projector":
        assert "projector_config.pbtxt" in drawn
    else:
        assert drawn == {f"{name}.png"}


@pytest.mark.slow
def test_without_flags_everything_that_the_model_has_is_drawn(folders: dict[str, Path], tmp_path: Path) -> None:
    drawn = {name for name in _drawn(tmp_path, folders["denoising"]) if name.endswith(".png")}
    assert drawn == {f"{name}.png" for name in FIGURES if name != "tsne"} | {"sprite.png"}


@pytest.mark.parametrize(("kind", "start"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_a_figure_may_be_a_pdf_or_an_svg_and_is_the_same_file_each_time(
    folders: dict[str, Path], tmp_path: Path, kind: str, start: bytes
) -> None:
    for out in (tmp_path / "one", tmp_path / "other"):
        assert _drawn(out, folders["vae"], "--only", "learning_curves", "--format", kind) == {f"learning_curves.{kind}"}
    one, other = ((tmp_path / out / f"learning_curves.{kind}").read_bytes() for out in ("one", "other"))
    assert one.startswith(start)
    assert one == other
    if kind == "svg":
        assert b"Learning curves</text>" in one  # a text stays a text


def test_several_figures_are_named_with_commas(folders: dict[str, Path], tmp_path: Path) -> None:
    drawn = _drawn(tmp_path, folders["vae"], "--only", "samples, kl_per_dimension", "--samples", "3")
    assert drawn == {"samples.png", "kl_per_dimension.png"}


def test_a_figure_that_the_mode_has_not_is_one_that_says_so_when_asked_for(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    assert _drawn(tmp_path, folders["decoder_only"], "--only", "latents,kl_per_dimension") == {
        "latents.png",
        "kl_per_dimension.png",
    }


def test_every_option_is_a_flag_with_its_meaning_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for name, field in FigureOptions.model_fields.items():
        assert flag(name) in shown
        assert str(field.description) in shown
        assert field.annotation is bool or f"(default {field.default})" in shown
    assert "interpolations, latents, kl_per_dimension, learning_curves, tsne" in shown


def test_flags_become_options(tmp_path: Path) -> None:
    text = "--manifold-grid 7 --manifold-range 2.5 --manifold-spacing uniform --columns 5 --tsne --perplexity 12"
    options = parse([str(tmp_path), *text.split()])
    figures = options.figures
    assert (figures.manifold_grid, figures.manifold_range, figures.manifold_spacing) == (7, 2.5, "uniform")
    assert (figures.wished("columns"), figures.wished("rows")) == (5, None)
    assert (figures.tsne, figures.perplexity, figures.rows) == (True, 12.0, 3)
    assert options.out == tmp_path / "figures"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--columns", "0"], "--columns 0: must be an integer of at least 1 and at most 60"),
        (["--rows", "x"], "--rows x: must be an integer of at least 1 and at most 40"),
        (["--samples", "2501"], "--samples 2501: must be an integer of at least 1 and at most 2500"),
        (["--manifold-grid", "1"], "--manifold-grid 1: must be an integer of at least 2 and at most 60"),
        (["--manifold-range", "nan"], "--manifold-range nan: must be a number above 0 and at most 8"),
        (["--manifold-spacing", "even"], "--manifold-spacing even: must be one of normal, uniform"),
        (["--traversals", "1.5"], "--traversals 1.5: must be an integer of at least 1 and at most 64"),
        (["--interpolations", "-1"], "--interpolations -1: must be an integer of at least 1 and at most 40"),
        (["--latent-samples", "1"], "--latent-samples 1: must be an integer of at least 2 and at most 100000"),
        (["--perplexity", "inf"], "--perplexity inf: must be a number of at least 1 and at most 10000"),
        (["--manifold-gird", "5"], "--manifold-gird: no such flag; did you mean --manifold-grid?"),
        (["--format", "jpg"], "--format jpg: must be one of png, pdf, svg"),
        (["--zzz"], "--zzz: no such flag; --help lists what there is"),
        (["--only", "manifolds"], f"no such figure; did you mean manifold?; allowed: {', '.join(NAMES)}"),
        (["--only", ""], "--only : no such figure; allowed: reconstructions"),
        (["--columns"], "argument --columns: expected one argument"),
    ],
)
def test_a_bad_flag_is_one_line_that_says_what_is_allowed(arguments: list[str], says: str, refused: Any) -> None:
    (line,) = refused("nowhere", *arguments)
    assert line.startswith("error: ")
    assert says in line


def test_without_a_folder_the_answer_is_one_line(refused: Any) -> None:
    (line,) = refused()
    assert "folder" in line


def test_every_fault_is_said_at_once(refused: Any) -> None:
    lines = refused("nowhere", "--columns", "0", "--only", "pca", "--nonsense", "--perplexity", "0")
    assert len(lines) == 4


@pytest.mark.parametrize("name", ["grid", "range", "spacing"])
def test_a_manifold_asked_for_of_one_latent_is_refused(name: str, folders: dict[str, Path], refused: Any) -> None:
    value = {"grid": "20", "range": "3.0", "spacing": "uniform"}[name]
    (line,) = refused(folders["line"], f"--manifold-{name}", value)
    assert line == f"error: --manifold-{name} {value}: a manifold needs two latents, and this model has latent size 1"


def test_an_autoencoder_has_no_prior_to_space_a_manifold_by(folders: dict[str, Path], refused: Any) -> None:
    (line,) = refused(folders["autoencoder"], "--manifold-spacing", "normal")
    assert "no prior; allowed: uniform" in line


@pytest.mark.parametrize("n_points", [20, 30])
def test_tsne_of_no_more_points_than_its_perplexity_is_refused(
    n_points: int, folders: dict[str, Path], refused: Any
) -> None:
    (line,) = refused(folders["vae"], "--tsne", "--latent-samples", n_points)
    assert f"--perplexity 30: t-SNE needs more points than its perplexity, and there are {n_points}" in line


def test_tsne_of_a_split_smaller_than_its_perplexity_is_refused(folders: dict[str, Path], refused: Any) -> None:
    (line,) = refused(folders["vae"], "--only", "tsne", "--perplexity", "180")
    assert "there are 180" in line


def test_tsne_of_one_latent_is_refused(folders: dict[str, Path], refused: Any) -> None:
    (line,) = refused(folders["line"], "--tsne")
    assert "latent size 1" in line


def test_tsne_of_a_model_without_latents_is_refused(folders: dict[str, Path], refused: Any) -> None:
    (line,) = refused(folders["decoder_only"], "--tsne")
    assert line == "error: --tsne: this model has no encoder, so no latents of images"


def test_a_perplexity_without_tsne_is_refused(folders: dict[str, Path], refused: Any) -> None:
    (line,) = refused(folders["vae"], "--perplexity", "10")
    assert "add --tsne" in line


def test_an_image_that_the_split_does_not_have_is_refused(folders: dict[str, Path], refused: Any) -> None:
    (line,) = refused(folders["vae"], "--traversal-image", "180")
    assert line == "error: --traversal-image 180: the validation split has images 0 to 179"


def _with_header(content: bytes, **changes: str) -> bytes:
    """The same file with other texts in its metadata."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] |= changes
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def _of_another_shape(content: bytes) -> bytes:
    _, description = unpack_model(content, "here")
    return pack_model(safetensors.torch.load(content) | {"mean.weight": torch.zeros(5, 16)}, description)


def _diverged(content: bytes) -> bytes:
    """As it is written of weights that are not finite."""
    _, description = unpack_model(content, "here")
    return pack_model({name: weight * np.nan for name, weight in safetensors.torch.load(content).items()}, description)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda content: content[: len(content) // 2], "truncated or damaged"),
        (lambda content: content[:5], "truncated"),
        (lambda _: b"", "truncated"),
        (lambda content: _with_header(content, format="vae-sweep/999"), "'vae-sweep/999'"),
        (_of_another_shape, "mean.weight is (5, 16), its config says (3, 16)"),
        (_diverged, "weights that have diverged"),
    ],
)
def test_a_checkpoint_that_cannot_be_drawn_is_one_line(
    damage: Any, says: str, folders: dict[str, Path], tmp_path: Path, refused: Any
) -> None:
    (tmp_path / MODEL_FILE).write_bytes(damage((folders["vae"] / MODEL_FILE).read_bytes()))
    (line,) = refused(tmp_path)
    assert says in line
    assert str(tmp_path) in line


def test_a_subject_read_from_a_folder_has_the_history_and_the_names(folders: dict[str, Path]) -> None:
    subject = read_subject(folders["vae"], Path("unused"))
    assert subject.name == f"{folders['vae'].parent.parent.name}, trial {folders['vae'].name}"
    assert [metrics.epoch for metrics in subject.history] == [1]
    assert subject.class_names == tuple("0123456789")
    with pytest.raises(UserError, match="no such file"):
        read_subject(folders["vae"].parent, Path("unused"))


def test_a_model_is_named_by_its_sweep_and_trial_wherever_its_folder_is(tmp_path: Path) -> None:
    best, attempt, own = tmp_path / "best" / "1", tmp_path / "demo" / "trials" / "0003" / "attempt-2", tmp_path / "own"
    for folder in (best, attempt, own):
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text('{"elbo": -1.0}')
    (best / "metrics.json").write_text('{"sweep": "study", "trial_id": "0007", "rank": 1}')
    assert [name_in(folder) for folder in (best, attempt, own)] == ["study, trial 0007", "demo, trial 0003", ""]
