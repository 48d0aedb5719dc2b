"""A finished sweep in a running TensorBoard, read over HTTP as its page reads it."""

import io
import json
import math
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from PIL import Image

from report.output.best_so_far import VALUE
from report.output.tags import model_tag, sweep_tag
from tests.material.sweeps import FinishedSweep, leaderboard, metrics
from tests.material.tensorboard import Client, started

pytestmark = pytest.mark.slow

SCALARS = {
    "train/loss": "train_loss",
    "train/elbo": "train_elbo",
    "train/rate": "train_rate",
    "train/distortion": "train_distortion",
    "val/loss": "val_loss",
    "val/elbo": "val_elbo",
    "val/rate": "val_rate",
    "val/distortion": "val_distortion",
    "time/epoch_seconds": "epoch_seconds",
}
BEST_SCALARS = {"best/val_elbo", "best/val_rate", "best/val_distortion"}
PREVIEWS = {"preview/reconstructions", "preview/samples"}
SUCCESS, FAILURE = "STATUS_SUCCESS", "STATUS_FAILURE"
ALL_STATUSES = [SUCCESS, FAILURE, "STATUS_RUNNING", "STATUS_UNKNOWN"]


@pytest.fixture(scope="module")
def board(finished_sweep: FinishedSweep) -> Iterator[Client]:
    """Started with the arguments that the sweep ends with."""
    (arguments,) = re.findall(r"tensorboard (--logdir .*)\n", finished_sweep.ended.stdout)
    with started(arguments.split(), cwd=finished_sweep.folder.parent.parent) as client:
        # The trials, the sweep's root, the best so far, the report.
        client.until(n_runs=len(leaderboard(finished_sweep.folder)) + 3)
        yield client


def test_the_runs_are_the_trials_the_sweep_and_its_report(board: Client, finished_sweep: FinishedSweep) -> None:
    trials = [f"trials/{row['trial_id']}" for row in leaderboard(finished_sweep.folder)]
    assert sorted(board.get("runs")) == sorted([".", "best_so_far", "report", *trials])


def test_every_trial_has_exactly_the_scalars_of_the_documentation(board: Client, finished_sweep: FinishedSweep) -> None:
    tags = board.get("plugin/scalars/tags")
    for row in leaderboard(finished_sweep.folder):
        best = BEST_SCALARS if row["val_elbo"] else set()  # a trial without a finite epoch has no best
        assert set(tags.pop(f"trials/{row['trial_id']}")) == set(SCALARS) | best
    assert tags.pop("best_so_far") == {VALUE: ANY}
    assert not any(tags.values()), "other runs have no scalars"


def test_the_run_of_the_best_so_far_rises_to_the_leaderboards_first(
    board: Client, finished_sweep: FinishedSweep
) -> None:
    points = board.get("plugin/scalars/scalars", run="best_so_far", tag=VALUE)
    values = [value for _, _, value in points]
    assert [step for _, step, _ in points] == list(range(1, len(values) + 1))
    assert values == sorted(values)
    best = max(float(row["val_elbo"]) for row in leaderboard(finished_sweep.folder) if row["val_elbo"])
    assert values[-1] == pytest.approx(best, rel=1e-6)


def test_the_scalars_are_the_metrics_of_every_epoch(board: Client, finished_sweep: FinishedSweep) -> None:
    for row in leaderboard(finished_sweep.folder):
        history = metrics(finished_sweep.folder, row["trial_id"])
        for tag, name in SCALARS.items():
            points = board.get("plugin/scalars/scalars", run=f"trials/{row['trial_id']}", tag=tag)
            assert [step for _, step, _ in points] == [line["epoch"] for line in history]
            values = [math.nan if value in ("NaN", None) else float(value) for _, _, value in points]
            assert values == pytest.approx([line[name] for line in history], rel=1e-6, nan_ok=True), (row, tag)


def test_the_best_scalars_end_at_the_leaderboards_numbers_and_the_elbo_only_rises(
    board: Client, finished_sweep: FinishedSweep
) -> None:
    for row in (row for row in leaderboard(finished_sweep.folder) if row["val_elbo"]):
        run = f"trials/{row['trial_id']}"
        for name in ("val_elbo", "val_rate", "val_distortion"):
            values = [value for _, _, value in board.get("plugin/scalars/scalars", run=run, tag=f"best/{name}")]
            assert values[-1] == pytest.approx(float(row[name]), rel=1e-6)
            assert name != "val_elbo" or values == sorted(values)


def test_hparams_has_one_experiment_with_the_searched_domains(board: Client) -> None:
    experiment = board.post("plugin/hparams/experiment", {"experimentName": ""})
    domains = {info["name"]: (info["type"], info.get("domainInterval")) for info in experiment["hparamInfos"]}
    assert domains == {
        "latent_size": ("DATA_TYPE_FLOAT64", {"minValue": 2.0, "maxValue": 16.0}),
        "learning_rate": ("DATA_TYPE_FLOAT64", {"minValue": 0.001, "maxValue": 1.0}),
        "beta": ("DATA_TYPE_FLOAT64", {"minValue": 0.25, "maxValue": 4.0}),
    }
    assert {info["name"]["tag"] for info in experiment["metricInfos"]} == BEST_SCALARS


def test_hparams_has_one_session_per_trial_with_its_values_its_end_and_its_best(
    board: Client, finished_sweep: FinishedSweep
) -> None:
    groups = {group["name"]: group for group in _session_groups(board)}
    rows = {row["trial_id"]: row for row in leaderboard(finished_sweep.folder)}
    assert set(groups) == set(rows)
    for trial_id, row in rows.items():
        group = groups[trial_id]
        (session,) = group["sessions"]
        assert session["name"] == f"trials/{trial_id}"
        assert session["status"] == (FAILURE if row["state"] == "failed" else SUCCESS)
        assert session["endTimeSecs"] >= session["startTimeSecs"] > 0
        assert group["hparams"] == {
            name: pytest.approx(float(row[name])) for name in ("latent_size", "learning_rate", "beta")
        }
        shown = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
        expected = {f"best/{name}": row[name] for name in ("val_elbo", "val_rate", "val_distortion") if row[name]}
        assert shown == {tag: pytest.approx(float(value), rel=1e-6) for tag, value in expected.items()}


def _session_groups(board: Client) -> list[dict[str, Any]]:
    question = {
        "experimentName": "",
        "allowedStatuses": ALL_STATUSES,
        "colParams": [],
        "startIndex": 0,
        "sliceSize": 100,
    }
    groups: list[dict[str, Any]] = board.post("plugin/hparams/session_groups", question)["sessionGroups"]
    return groups


def test_every_trial_that_learns_has_previews_at_the_powers_of_two_and_its_last_epoch(
    board: Client, finished_sweep: FinishedSweep
) -> None:
    tags = board.get("plugin/images/tags")
    for row in (row for row in leaderboard(finished_sweep.folder) if row["state"] != "failed"):
        run, last = f"trials/{row['trial_id']}", int(row["epochs"])
        assert set(tags[run]) == PREVIEWS
        for tag in PREVIEWS:
            answers = board.get("plugin/images/images", run=run, tag=tag, sample=0)
            assert [answer["step"] for answer in answers] == sorted({1, 2, 4, 8, last} & set(range(last + 1)))
            for answer in answers:
                assert _pixels(board, answer).std() > 5, (run, tag, answer["step"])


def test_a_preview_of_reconstructions_has_the_inputs_above(board: Client) -> None:
    answers = board.get("plugin/images/images", run="trials/0001", tag="preview/reconstructions", sample=0)
    first, last = (_pixels(board, answers[index]) for index in (0, -1))
    half = first.shape[0] // 2
    assert np.array_equal(first[:half], last[:half]), "the same images at every epoch"
    assert not np.array_equal(first[half:], last[half:]), "reconstructed by a model that learns"


def test_every_figure_of_the_report_is_an_image_of_the_report_run(board: Client, finished_sweep: FinishedSweep) -> None:
    report = finished_sweep.folder / "report"
    tags = board.get("plugin/images/tags")["report"]
    files = {path.relative_to(report).with_suffix("").as_posix(): path for path in report.rglob("*.png")}
    del files["projector/sprite"]
    gifs = {
        f"{_tag(path.relative_to(report).with_suffix('').as_posix())}_over_training" for path in report.rglob("*.gif")
    }
    assert gifs
    assert set(tags) == {_tag(name) for name in files} | gifs
    for name, path in files.items():
        (answer,) = board.get("plugin/images/images", run="report", tag=_tag(name), sample=0)
        assert np.array_equal(_pixels(board, answer), _read(path.read_bytes())), name


def _tag(name: str) -> str:
    """best_1/manifold.png is 2_best_1/4_manifold, sheet.png is 1_sweep/2_sheet."""
    rank, slash, figure = name.removeprefix("best_").rpartition("/")
    return model_tag(int(rank), figure) if slash else sweep_tag(name)


def test_the_summary_is_a_text_of_the_report_run(board: Client, finished_sweep: FinishedSweep) -> None:
    tags = board.get("plugin/text/tags")
    assert len(tags["report"]) == 1
    (answer,) = board.get("plugin/text/text", run="report", tag=tags["report"][0])
    best = json.loads((finished_sweep.folder / "best" / "1" / "metrics.json").read_text())
    assert f"{best['test']['elbo']:.2f}" in answer["text"]


def _pixels(board: Client, answer: dict[str, Any]) -> np.ndarray:
    return _read(board.content("plugin/images/individualImage", **dict(urllib.parse.parse_qsl(answer["query"]))))


def _read(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG\r\n")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
