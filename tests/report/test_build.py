"""The report as a whole: of a sweep, through a running TensorBoard, and of one checkpoint from the command line."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from report.__main__ import main, read_history
from report.build import build_report
from report.drawing.tiles import tile
from report.models import image_choice
from report.models.checkpoints import HeldOut, read_checkpoint
from report.output.event_files import read_events
from report.output.tags import model_tag, sweep_tag
from report.page.document import embedded
from tests.material.reports import SEARCH, copied_to, record, sweep, trained
from tests.material.tensorboard import serving
from tuning.records import SweepRecord, ranked
from vae.__main__ import main as train
from vae.config import TrialConfig
from vae.datasets.folder import folder_spec
from vae.datasets.types import Images
from vae.errors import CheckpointError, DataError, UserError
from vae.model.metrics import EpochMetrics
from vae.storage.checkpoint import MODEL_FILE, Description

FIGURES = {"reconstructions", "samples", "manifold", "traversals", "interpolations", "latents", "kl_per_dimension"}
FIGURES |= {"learning_curves"}
SWEEP_FIGURES = {"rate_distortion", "optimisation_history", "parameter_importance", "slices"}
SWEEP_FIGURES |= {"bound_per_images_seen", "sheet"}
CONFIGS = [{"beta": 1.0}, {"beta": 0.5, "latent_size": 4}, {"beta": 8.0}]


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What the building of `built` says."""
    return []


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, digits: dict[str, Images], said: list[str]) -> SweepRecord:
    """A sweep with a report of its best two: read it, do not change it."""
    swept = trained(tmp_path_factory.mktemp("demo"), digits, CONFIGS)
    swept.trials.append(record("broken", [], "failed"))
    swept.trials[-1].error = "Traceback (most recent call last):\n  ...\nRuntimeError: no space left"
    assert build_report(swept, Path("unused"), 2, said.append) == swept.folder / "report"
    return swept


@pytest.fixture
def copied(built: SweepRecord, tmp_path: Path) -> SweepRecord:
    return copied_to(tmp_path / "demo", built)


def _pngs(folder: Path) -> set[str]:
    """The figures, without the projector's sprite."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*.png") if path.parent.name != "projector"}


def _figures_of(swept: SweepRecord, rank: int) -> set[str]:
    """Of one of the best: a manifold has only who has two latents."""
    is_plane = json.loads((swept.folder / f"best/{rank}/config.json").read_text())["latent_size"] == 2
    return FIGURES if is_plane else FIGURES - {"manifold"}


def test_there_is_a_png_of_every_figure(built: SweepRecord) -> None:
    expected = {f"{name}.png" for name in SWEEP_FIGURES}
    expected |= {f"best_{rank}/{name}.png" for rank in (1, 2) for name in _figures_of(built, rank)}
    assert _pngs(built.folder / "report") == expected


def test_tensorboard_serves_the_same_figures_and_the_summary(built: SweepRecord) -> None:
    with serving(built.folder) as client:
        client.until(n_runs=1)
        tags = {tag for tag in client.get("plugin/images/tags")["report"] if not tag.endswith("_over_training")}
        assert sorted(tags)[:3] == ["1_sweep/1_rate_distortion", "1_sweep/2_sheet", "1_sweep/3_optimisation_history"]
        assert tags == set(map(sweep_tag, SWEEP_FIGURES)) | {
            model_tag(rank, name) for rank in (1, 2) for name in _figures_of(built, rank)
        }
        (image,) = client.get("plugin/images/images?run=report&tag=2_best_1/3_samples&sample=0")
        png = client.content(f"plugin/images/individualImage?{image['query']}")
        assert png == (built.folder / "report/best_1/samples.png").read_bytes()
        (text,) = client.get("plugin/text/text?run=report&tag=summary")
        assert "<table>" in text["text"]


def test_the_summary_has_the_datasets_note_and_the_test_numbers(built: SweepRecord) -> None:
    text = (built.folder / "report" / "summary.md").read_text()
    assert built.dataset_note in text
    assert "3 complete, 1 failed" in text
    for rank in (1, 2):
        numbers = json.loads((built.folder / f"best/{rank}/metrics.json").read_text())
        parts = text.split("## The same on the validation split")
        for part, of_split, split in zip(parts, ("test ", ""), ("test", "validation_evaluation"), strict=True):
            rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()]
            column = {cells[0]: cells[rank] for cells in rows if len(cells) == 3}
            assert column[""] == f"best {rank}"
            assert column["trial"] == numbers["trial_id"]
            assert column[f"{of_split}ELBO"] == f"{numbers[split]['elbo']:.2f}"
            assert column[f"{of_split}images"] == "180"


def test_the_page_has_the_pictures_of_every_model_and_the_best_in_full(built: SweepRecord) -> None:
    data = embedded((built.folder / "report" / "index.html").read_text())
    pictures = dict(zip(data["columns"]["trial_id"], data["pictures"], strict=True))
    assert pictures.pop("broken") is None
    for trial in built.trials[:3]:
        found = pictures[trial.trial_id]
        assert len(found["kl"]) == trial.config.latent_size
        assert found["kl"] == sorted(found["kl"], reverse=True)
        assert {"inputs", "outputs", "samples"} < found.keys()
    head = data["sweeps"][0]
    assert [model["trial_id"] for model in head["models"]] == [one.trial_id for one in ranked(built.trials)[:2]]
    for rank, model in enumerate(head["models"], start=1):
        numbers = json.loads((built.folder / f"best/{rank}/metrics.json").read_text())
        assert ["test ELBO", f"{numbers['test']['elbo']:.2f}"] in model["numbers"]
        assert {name.replace(" ", "_") for name, _ in model["figures"]} >= _figures_of(built, rank)
    assert head["warnings"] == ["1 trial failed: RuntimeError: no space left"]


def test_the_pages_reconstructions_are_those_of_the_model(built: SweepRecord) -> None:
    """Decoded here once more, from the model's file."""
    data = embedded((built.folder / "report" / "index.html").read_text())
    first = ranked(built.trials)[0]
    place = data["columns"]["trial_id"].index(first.trial_id)
    content = base64.b64decode(data["images"][data["pictures"][place]["outputs"]].partition(",")[2])
    strip = np.asarray(Image.open(io.BytesIO(content)).convert("L"), dtype=float)
    checkpoint = read_checkpoint(first, built)
    subject = HeldOut(built, Path("unused")).subject(checkpoint)
    places, _ = image_choice.grid(subject.images.labels, 10, n_rows=1)
    expected = tile(subject.decode(subject.codes[places]), 10).astype(float)
    assert strip.shape == expected.shape
    assert np.abs(strip - expected).mean() < 8, "a lossy picture, of the right images"


def test_the_summary_says_in_a_line_why_a_trial_failed(built: SweepRecord) -> None:
    text = (built.folder / "report" / "summary.md").read_text()
    assert "- broken: RuntimeError: no space left" in text
    assert "Traceback" not in text


@pytest.fixture(scope="module")
def rebuilt(built: SweepRecord, tmp_path_factory: pytest.TempPathFactory) -> SweepRecord:
    """The sweep after an epoch more of its best trial, which is worse, with a report of that trial alone."""
    folder = tmp_path_factory.mktemp("rebuilt") / "demo"
    swept = copied_to(folder, built)
    first = ranked(swept.trials)[0]
    worse = replace(first.history[-1], epoch=len(first.history) + 1, val_elbo=-500.0)
    swept.trials[swept.trials.index(first)] = replace(first, history=[*first.history, worse])
    build_report(swept, Path("unused"), 1, lambda _: None)
    return swept


@pytest.mark.slow
def test_a_rebuild_replaces_everything(rebuilt: SweepRecord) -> None:
    report = rebuilt.folder / "report"
    assert len(list(report.glob("*tfevents*"))) == 1
    written = [value.tag for event in read_events(report) for value in event.summary.value]
    tags = [tag for tag in written if not tag.endswith("_over_training")]
    assert len(tags) == len(set(tags)) == 1 + len(SWEEP_FIGURES) + len(_figures_of(rebuilt, 1))
    assert not (report / "best_2").exists()
    assert not (rebuilt.folder / "best" / "2").exists()


def test_progress_is_said_for_each_of_the_best(built: SweepRecord, said: list[str]) -> None:
    assert sum("Drawing best" in line for line in said) == 2
    assert all("\n" not in line for line in said)


@pytest.mark.parametrize("trials", [[], [record("a", [], "failed")], [record("a", [-30.0])]])
def test_without_a_model_the_report_has_the_sweeps_figures_and_says_so(tmp_path: Path, trials: list) -> None:
    said: list[str] = []
    build_report(sweep(tmp_path, trials), tmp_path / "no data", 3, said.append)
    assert _pngs(tmp_path / "report") == {f"{name}.png" for name in SWEEP_FIGURES}
    assert any("no trial has left one" in line for line in said)
    assert "no trial has left one" in (tmp_path / "report" / "summary.md").read_text()


@pytest.mark.slow
def test_fewer_trials_than_k_make_a_report_of_those(copied: SweepRecord) -> None:
    one = replace(copied, trials=copied.trials[:1])
    build_report(one, Path("unused"), 3, lambda _: None)
    assert {path.name for path in (one.folder / "best").iterdir()} == {"1"}


def test_none_of_the_best_may_be_asked_for(copied: SweepRecord) -> None:
    build_report(copied, Path("unused"), 0, lambda _: None)
    assert list((copied.folder / "best").iterdir()) == []
    assert _pngs(copied.folder / "report") == {f"{name}.png" for name in SWEEP_FIGURES}


def test_missing_data_leave_the_old_report(copied: SweepRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> Images:
        raise DataError("validation: missing")

    before = _pngs(copied.folder / "report")
    monkeypatch.setattr("report.models.checkpoints.load", missing)
    with pytest.raises(DataError, match="missing"):
        build_report(copied, Path("unused"), 1, lambda _: None)
    assert _pngs(copied.folder / "report") == before


class _PressesCtrlC:
    """As it goes, where Python drops the KeyboardInterrupt."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("hears_ctrl_c")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("at", ["Drawing the sweep's figures", "Drawing the page"])
def test_ctrl_c_that_is_swallowed_still_stops_the_report_and_leaves_nothing_half_made(tmp_path: Path, at: str) -> None:
    def say(line: str) -> None:
        if line.startswith(at):
            _PressesCtrlC()

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        build_report(sweep(tmp_path / "demo", [record("a", [-30.0])]), tmp_path / "no data", 3, say)
    assert signal.getsignal(signal.SIGINT) == before
    assert [path.name for path in (tmp_path / "demo").iterdir() if path.name != "best"] == []


@pytest.mark.slow
def test_a_report_has_the_same_files_whatever_the_number_of_cores(copied: SweepRecord, tmp_path: Path) -> None:
    other = copied_to(tmp_path / "other", copied)
    for swept, n_cores in ((copied, 1), (other, 3)):
        build_report(swept, Path("unused"), 2, lambda _: None, n_cores)
    for folder in ("best", "report"):
        names = {path.relative_to(copied.folder) for path in (copied.folder / folder).rglob("*") if path.is_file()}
        names = {name for name in names if "tfevents" not in name.name and name.name != "index.html"}  # have a date
        assert len(names) >= 10
        for name in names:
            assert (copied.folder / name).read_bytes() == (other.folder / name).read_bytes(), name


def test_a_sweeps_folder_that_cannot_be_written_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        build_report(sweep(tmp_path / "file", []), tmp_path, 1, lambda _: None)


# python -m report FOLDER


def _main(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.slow
@pytest.mark.parametrize("where", ["best/1", "trials/0001"])
def test_the_command_draws_a_folder_of_the_sweep(
    copied: SweepRecord, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied.folder / where
    assert _main(folder) == 0
    is_first = where == "trials/0001"  # of two latents
    assert _pngs(folder / "figures") == {f"{name}.png" for name in (FIGURES if is_first else _figures_of(copied, 1))}
    assert str(folder / "figures" / "samples.png") in capsys.readouterr().out


def test_the_command_draws_where_it_is_told_and_leaves_its_figures_as_tensorboards_images_in_one_event_file(
    built: SweepRecord, tmp_path: Path
) -> None:
    out, every = tmp_path / "a" / "b", _figures_of(built, 1)
    for only in ([], ["--only", "samples,latents"]):
        assert _main(built.folder / "best/1", "--out", out, *only) == 0
        assert _pngs(out) == {f"{name}.png" for name in every}
        (events,) = out.glob("*tfevents*")
        values = {value.tag: value for event in read_events(out) for value in event.summary.value}
        assert {tag for tag in values if "over_training" not in tag} == ({"samples", "latents"} if only else every)
        assert values["samples"].image.encoded_image_string == (out / "samples.png").read_bytes(), events
    assert not (built.folder / "best/1/figures").exists()


def test_the_command_runs_as_a_module(built: SweepRecord, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "report", str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "nothing" in done.stderr


@pytest.mark.slow
def test_the_report_and_the_command_draw_the_same_figures_with_every_epoch(rebuilt: SweepRecord) -> None:
    _main(rebuilt.folder / "best/1")
    for name in _figures_of(rebuilt, 1):
        own = (rebuilt.folder / "best/1/figures" / f"{name}.png").read_bytes()
        assert own == (rebuilt.folder / "report/best_1" / f"{name}.png").read_bytes()


def _no_model(folder: Path) -> None:
    (folder / MODEL_FILE).unlink()


def _truncated(folder: Path) -> None:
    content = (folder / MODEL_FILE).read_bytes()
    (folder / MODEL_FILE).write_bytes(content[: len(content) // 2])


def _garbled_metrics(folder: Path) -> None:
    (folder / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')


def _file_for_out(folder: Path) -> None:
    (folder / "figures").touch()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (_no_model, "no such file"),
        (_truncated, "truncated"),
        (_garbled_metrics, "metrics.jsonl"),
        (_file_for_out, "cannot write"),
    ],
)
def test_what_the_user_can_put_right_is_one_line_and_code_2(
    copied: SweepRecord, fault: object, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied.folder / "best" / "1"
    fault(folder)  # type: ignore[operator]
    assert _main(folder) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert says in printed.err


def _description(history: list[EpochMetrics]) -> Description:
    return Description(TrialConfig(), "digits", (8, 8), 1, history)


def test_the_history_beside_a_model_is_the_whole_one(tmp_path: Path) -> None:
    history = record("a", [-3.0, -2.0, -4.0]).history
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(m.as_dict()) + "\n" for m in history))
    assert read_history(tmp_path, _description(history[:2])) == history


def test_without_it_the_models_own_history_is_shown(tmp_path: Path) -> None:
    history = record("a", [-3.0, -2.0]).history
    assert read_history(tmp_path, _description(history)) == history


def test_a_last_line_that_was_being_written_is_left_out(tmp_path: Path) -> None:
    history = record("a", [-3.0, -2.0]).history
    lines = [json.dumps(m.as_dict()) for m in history]
    (tmp_path / "metrics.jsonl").write_text(lines[0] + "\n" + lines[1][:30])
    assert read_history(tmp_path, _description(history)) == history[:1]


def test_a_model_of_an_unknown_dataset_is_refused_with_the_known_ones(
    copied: SweepRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vae.storage.checkpoint.DATASETS", {"faces": None})
    assert _main(copied.folder / "best/1") == 2
    assert "'digits'; this version knows faces" in capsys.readouterr().err


def test_a_model_of_a_folder_whose_images_have_another_shape_since_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write_images(side: int) -> None:
        folder_spec.cache_clear()
        (tmp_path / "mine").mkdir(exist_ok=True)
        for number in range(10):
            Image.fromarray(np.full((side, 4), number, np.uint8)).save(tmp_path / "mine" / f"{number}.png")

    write_images(side=3)
    out = tmp_path / "model"
    arguments = ["--dataset", str(tmp_path / "mine"), "--hidden-units", "4", "--latent-size", "2", "--epochs", "1"]
    assert train([*arguments, "--out", str(out)]) == 0
    monkeypatch.chdir("/")
    assert _main(out, "--only", "reconstructions") == 0
    write_images(side=5)
    capsys.readouterr()
    assert _main(out) == 2
    said = f"error: {out}: the model expects 3 x 4 images; the dataset {tmp_path / 'mine'} has 5 x 4\n"
    assert capsys.readouterr().err == said


def test_a_line_that_is_no_metrics_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("nonsense\n")
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl"):
        read_history(tmp_path, _description([]))


def test_ranks_follow_the_leaderboard(built: SweepRecord) -> None:
    best = [json.loads((built.folder / f"best/{rank}/metrics.json").read_text())["trial_id"] for rank in (1, 2)]
    assert best == [one.trial_id for one in ranked(built.trials)[:2]]
    assert set(SEARCH) <= set(json.loads((built.folder / "best/1/config.json").read_text()))
