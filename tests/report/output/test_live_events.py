import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from tensorboard.plugins.hparams import metadata as hparams_metadata

from report.output.event_files import read_events
from report.output.live_events import SweepEvents
from tests.material.reports import SEARCH, metrics, nan_metrics, record
from tests.material.tensorboard import Client, serving
from tuning.records import TrialRecord
from vae.model.metrics import EpochMetrics, Terms
from vae.storage.preview import Preview

EPOCH_TAGS = {f"{split}/{name}" for split in ("train", "val") for name in ("loss", "elbo", "rate", "distortion")}
BEST_TAGS = {"best/val_elbo", "best/val_rate", "best/val_distortion"}


def _preview(value: int = 0) -> Preview:
    images = np.full((8, 8, 8), value, np.uint8)
    return Preview(images, images, images)


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for event in read_events(folder):
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def _steps(folder: Path, tag: str) -> list[int]:
    return [event.step for event in read_events(folder) for value in event.summary.value if value.tag == tag]


def _experiment(folder: Path) -> Any:
    """What HParams is told of the sweep."""
    (content,) = (
        value.metadata.plugin_data.content
        for event in read_events(folder)
        for value in event.summary.value
        if value.tag == hparams_metadata.EXPERIMENT_TAG
    )
    return hparams_metadata.parse_experiment_plugin_data(content)


def _run(events: SweepEvents, trial: TrialRecord, n_epochs: int, preview: Preview | None = None) -> None:
    """Tell of the epochs that the trial does not have yet, up to n_epochs."""
    events.started(trial)
    for epoch in range(len(trial.history) + 1, n_epochs + 1):
        trial.history.append(metrics(epoch, 100.0 - epoch))
        events.epoch(trial, trial.history[-1], preview)


def test_importing_it_brings_in_neither_torch_nor_a_drawing_library() -> None:
    drawing = ("torch", "matplotlib", "sklearn")
    code = f"import sys, report.output.live_events; print([m for m in {drawing} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_epoch_writes_every_number_once_and_nothing_else(tmp_path: Path) -> None:
    events, trial = SweepEvents(tmp_path, SEARCH), record("t1", [])
    events.started(trial)
    trial.history.append(metrics(1, distortion=90.0, rate=20.0))
    events.epoch(trial, trial.history[0], None)
    events.close()
    scalars = _scalars(tmp_path / "trials" / "t1")
    assert scalars.keys() == EPOCH_TAGS | BEST_TAGS | {"time/epoch_seconds"}
    assert scalars["val/loss"] == [(1, 90.0 + 2.0 * 20.0)]  # beta is 2
    assert scalars["train/elbo"] == [(1, -111.0)]
    assert scalars["time/epoch_seconds"] == [(1, 0.5)]


def test_trials_that_ended_elsewhere_are_written_whole(tmp_path: Path) -> None:
    trial = record("t1", [-110.0, -100.0])
    SweepEvents(tmp_path, SEARCH, ended=[trial]).close()
    assert _steps(tmp_path / trial.folder, "val/elbo") == [1, 2]


def test_the_best_numbers_are_those_of_the_best_epoch_so_far(tmp_path: Path) -> None:
    trial = record("t1", [])
    events = SweepEvents(tmp_path, SEARCH)
    for epoch, distortion in enumerate((90.0, 95.0, 80.0, 81.0), start=1):
        trial.history.append(metrics(epoch, distortion, rate=float(epoch)))
        events.epoch(trial, trial.history[-1], None)
    events.close()
    scalars = _scalars(tmp_path / trial.folder)
    assert scalars["best/val_elbo"] == [(1, -91.0), (2, -91.0), (3, -83.0), (4, -83.0)]
    assert scalars["best/val_rate"] == [(1, 1.0), (2, 1.0), (3, 3.0), (4, 3.0)]


def test_a_diverged_trial_has_no_best_before_its_first_finite_epoch(tmp_path: Path) -> None:
    trial = record("t1", [], state="failed")
    events = SweepEvents(tmp_path, SEARCH)
    trial.history.append(nan_metrics(1))
    events.epoch(trial, trial.history[-1], None)
    events.finished(trial)
    scalars = _scalars(tmp_path / trial.folder)
    assert BEST_TAGS.isdisjoint(scalars)
    assert math.isnan(scalars["val/elbo"][0][1])


def test_a_trial_without_a_kl_writes_no_rate_and_no_elbo(tmp_path: Path) -> None:
    events, trial, terms = SweepEvents(tmp_path, SEARCH), record("t1", [], mode="autoencoder"), Terms(90.0, None)
    trial.history.append(EpochMetrics.of(1, 2.0, terms, terms, None, 0.5))
    events.epoch(trial, trial.history[0], None)
    events.close()
    tags = {f"{split}/{name}" for split in ("train", "val") for name in ("loss", "distortion")}
    assert _scalars(tmp_path / trial.folder).keys() == tags | {"best/val_distortion", "time/epoch_seconds"}


def test_a_trial_with_noise_writes_the_numbers_of_the_corrupted_input(tmp_path: Path) -> None:
    events, trial, terms = SweepEvents(tmp_path, SEARCH), record("t1", [], noise="gaussian"), Terms(90.0, 20.0)
    trial.history.append(EpochMetrics.of(1, 2.0, terms, terms, Terms(95.0, 21.0), 0.5))
    events.epoch(trial, trial.history[0], None)
    events.close()
    scalars = _scalars(tmp_path / trial.folder)
    assert {tag: values[0][1] for tag, values in scalars.items() if tag.startswith("val_noisy/")} == {
        "val_noisy/elbo": -116.0,
        "val_noisy/rate": 21.0,
        "val_noisy/distortion": 95.0,
    }


def test_the_best_numbers_of_a_trial_that_keeps_its_last_epoch_are_that_epochs(tmp_path: Path) -> None:
    events, trial = SweepEvents(tmp_path, SEARCH), record("t1", [], keep="last")
    for epoch, distortion in enumerate((90.0, 70.0, 80.0), start=1):
        trial.history.append(metrics(epoch, distortion, rate=10.0))
        events.epoch(trial, trial.history[-1], None)
    events.close()
    assert _scalars(tmp_path / trial.folder)["best/val_elbo"] == [(1, -100.0), (2, -80.0), (3, -90.0)]


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        ({"vae"}, ["best/val_elbo", "best/val_rate", "best/val_distortion"]),
        ({"autoencoder", "decoder_only"}, ["best/val_distortion"]),
        ({"vae", "autoencoder"}, ["best/val_distortion", "best/val_elbo", "best/val_rate"]),
    ],
)
def test_hparams_compares_by_what_the_trials_have_first_by_what_all_have(
    tmp_path: Path, modes: set[str], expected: list[str]
) -> None:
    SweepEvents(tmp_path, SEARCH, modes=modes).close()
    assert [info.name.tag for info in _experiment(tmp_path).metric_infos] == expected


def test_previews_are_kept_at_powers_of_two_and_at_the_last_epoch(tmp_path: Path) -> None:
    events, trial = SweepEvents(tmp_path, SEARCH), record("t1", [])
    _run(events, trial, 11, _preview())
    events.finished(trial)
    for tag in ("preview/reconstructions", "preview/samples"):
        assert _steps(tmp_path / trial.folder, tag) == [1, 2, 4, 8, 11]


def test_a_last_epoch_that_is_a_power_of_two_is_kept_once(tmp_path: Path) -> None:
    events, trial = SweepEvents(tmp_path, SEARCH), record("t1", [])
    _run(events, trial, 4, _preview())
    events.finished(trial)
    assert _steps(tmp_path / trial.folder, "preview/samples") == [1, 2, 4]


def test_the_reconstructions_lie_below_their_inputs(tmp_path: Path) -> None:
    dark, light = np.zeros((8, 8, 8), np.uint8), np.full((8, 8, 8), 200, np.uint8)
    events, trial = SweepEvents(tmp_path, SEARCH), record("t1", [])
    _run(events, trial, 1, Preview(inputs=dark, reconstructions=light, samples=light))
    events.close()
    (png,) = (
        value.image.encoded_image_string
        for event in read_events(tmp_path / trial.folder)
        for value in event.summary.value
        if value.tag == "preview/reconstructions"
    )
    grid = np.rint(imread(BytesIO(png)) * 255)
    assert grid[5, 5] == 0
    assert grid[-5, 5] == 200


def test_a_trial_without_an_epoch_is_begun_and_ended(tmp_path: Path) -> None:
    events, trial = SweepEvents(tmp_path, SEARCH), record("t1", [], state="failed")
    events.finished(trial)
    assert _steps(tmp_path / trial.folder, hparams_metadata.SESSION_START_INFO_TAG) == [0]
    assert _steps(tmp_path / trial.folder, hparams_metadata.SESSION_END_INFO_TAG) == [0]
    assert _scalars(tmp_path / trial.folder) == {}


def test_an_epoch_that_is_told_again_is_not_written_again(tmp_path: Path) -> None:
    events, trial = SweepEvents(tmp_path, SEARCH), record("t1", [])
    _run(events, trial, 3)
    trial.history.pop()  # a worker died and came back from the checkpoint before
    events.started(trial)
    _run(events, trial, 4)
    events.finished(trial)
    assert [step for step, _ in _scalars(tmp_path / trial.folder)["val/elbo"]] == [1, 2, 3, 4]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=4))
def test_whatever_is_lost_and_told_again_each_epoch_is_there_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, drivers: list[tuple[int, int]]
) -> None:
    """Each driver finds a trial with some epochs lost, and trains on from there; the folder outlives it."""
    folder, reached = tmp_path_factory.mktemp("sweep"), 0
    for n_known, n_more in drivers:
        start = min(n_known, reached)
        trial = record("t1", [-120.0 + epoch for epoch in range(1, start + 1)])
        events = SweepEvents(folder, SEARCH)
        _run(events, trial, start + n_more, _preview())
        events.close()
        reached = max(reached, start + n_more)
    scalars = _scalars(folder / "trials" / "t1")
    for tag in ("val/elbo", "best/val_elbo", "time/epoch_seconds"):
        assert [step for step, _ in scalars[tag]] == list(range(1, reached + 1))
    assert _steps(folder / "trials" / "t1", "preview/samples") == [n for n in (1, 2, 4, 8, 16, 32) if n <= reached]
    assert len(_steps(folder / "trials" / "t1", hparams_metadata.SESSION_START_INFO_TAG)) == 1
    assert len(_steps(folder, hparams_metadata.EXPERIMENT_TAG)) == 1


def test_epochs_that_a_dead_driver_did_not_write_are_made_up_for(tmp_path: Path) -> None:
    events, trial = SweepEvents(tmp_path, SEARCH), record("t1", [-110.0, -105.0, -107.0])
    events.epoch(trial, trial.history[-1], None)
    events.close()
    scalars = _scalars(tmp_path / trial.folder)
    assert scalars["val/elbo"] == [(1, -110.0), (2, -105.0), (3, -107.0)]
    assert scalars["best/val_elbo"] == [(1, -110.0), (2, -105.0), (3, -105.0)]


def test_the_best_of_a_resumed_trial_counts_what_was_before(tmp_path: Path) -> None:
    trial = record("t1", [-110.0, -105.0])
    first = SweepEvents(tmp_path, SEARCH)
    first.epoch(trial, trial.history[-1], None)
    first.close()
    trial.history.append(metrics(3, 90.0, rate=20.0))
    second = SweepEvents(tmp_path, SEARCH)
    second.epoch(trial, trial.history[-1], None)
    second.close()
    assert _scalars(tmp_path / trial.folder)["best/val_elbo"] == [(1, -110.0), (2, -105.0), (3, -105.0)]


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning", "error::ResourceWarning")
def test_only_running_trials_and_the_best_so_far_hold_a_file_open(tmp_path: Path) -> None:
    events = SweepEvents(tmp_path, SEARCH)
    before = len(os.listdir("/dev/fd"))
    for number in range(20):
        trial = record(f"t{number}", [])
        _run(events, trial, 1)
        events.finished(trial)
    assert len(os.listdir("/dev/fd")) == before + 1
    events.close()
    assert len(os.listdir("/dev/fd")) == before


def test_a_folder_that_cannot_be_written_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        SweepEvents(tmp_path / "file", SEARCH)


def test_an_epoch_costs_little(tmp_path: Path) -> None:
    events, trial = SweepEvents(tmp_path, SEARCH), record("t1", [])
    _run(events, trial, 100)  # warm
    started = time.perf_counter()
    _run(events, trial, 600)
    events.close()
    assert (time.perf_counter() - started) / 500 < 0.003  # 0.2 ms measured; a busy machine has room


# A real TensorBoard, over HTTP.


MIXED = {**SEARCH, "hidden_units": {"type": "categorical", "choices": [16, 32]}}
BETA_CHOICES = {"beta": {"type": "categorical", "choices": [0.5, 1, 2]}}


@pytest.fixture(scope="module")
def tensorboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Every kind of trial: by how it ended, of several seeds, without one of the dimensions; resumed once."""
    folder = tmp_path_factory.mktemp("runs")
    first = SweepEvents(folder, MIXED)
    trials = [
        record("complete", [], "complete", beta=0.5),
        record("pruned", [], "pruned", latent_size=32, activation="tanh"),
        record("failed", [], "failed"),
        record("repeated-1", [], "complete", beta=4.0),
        record("repeated-2", [], "complete", beta=4.0),
        record("conditional", [], "complete"),
        record("running", [], "running", hidden_units=32),
    ]
    trials[-2].params.pop("beta")
    for n_epochs, trial in zip((2, 2, 2, 2, 4, 2, 2), trials, strict=True):
        trial.params["hidden_units"] = trial.config.hidden_units
        _run(first, trial, n_epochs, _preview())
        if trial.state != "running":
            first.finished(trial)
    first.close()
    second = SweepEvents(folder, MIXED)
    _run(second, trials[-1], 3, _preview())
    second.close()
    with serving(folder) as client:
        client.until(n_runs=9)
        yield client


def _groups(client: Client) -> dict[str, dict[str, Any]]:
    statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    columns = [{"metric": {"group": "", "tag": tag}} for tag in sorted(BEST_TAGS)]
    body = {"allowedStatuses": statuses, "colParams": columns, "startIndex": 0, "sliceSize": 100}
    answer = client.post("plugin/hparams/session_groups", body)
    return {group["name"]: group for group in answer["sessionGroups"]}


def test_tensorboard_lists_a_run_per_trial_and_the_sweep(tensorboard: Client) -> None:
    names = ("complete", "pruned", "failed", "repeated-1", "repeated-2", "conditional", "running")
    trials = {f"trials/{name}" for name in names}
    assert set(tensorboard.get("runs")) == {".", "best_so_far", *trials}


def test_hparams_has_the_declared_domains(tensorboard: Client) -> None:
    experiment = tensorboard.post("plugin/hparams/experiment", {})
    domains = {
        info["name"]: info.get("domainInterval") or info.get("domainDiscrete") for info in experiment["hparamInfos"]
    }
    assert domains == {
        "latent_size": {"minValue": 1.0, "maxValue": 64.0},
        "beta": {"minValue": 0.1, "maxValue": 10.0},
        "activation": ["relu", "tanh"],
        "hidden_units": [16.0, 32.0],
    }


def test_hparams_shows_rate_and_distortion_of_the_best_epoch(tensorboard: Client) -> None:
    experiment = tensorboard.post("plugin/hparams/experiment", {})
    assert {info["name"]["tag"] for info in experiment["metricInfos"]} == BEST_TAGS
    complete = _groups(tensorboard)["complete"]
    values = {value["name"]["tag"]: value["value"] for value in complete["metricValues"]}
    assert values == {"best/val_elbo": -118.0, "best/val_rate": 20.0, "best/val_distortion": 98.0}


def test_hparams_has_one_session_per_trial_with_its_state(tensorboard: Client) -> None:
    groups = _groups(tensorboard)
    states = {name: [session.get("status") for session in group["sessions"]] for name, group in groups.items()}
    assert states == {
        "complete": ["STATUS_SUCCESS"],
        "pruned": ["STATUS_SUCCESS"],
        "failed": ["STATUS_FAILURE"],
        "repeated": ["STATUS_SUCCESS"] * 2,
        "conditional": ["STATUS_SUCCESS"],
        "running": ["STATUS_UNKNOWN"],  # TensorBoard's word for a session without an end
    }
    assert groups["pruned"]["hparams"] == {"latent_size": 32.0, "beta": 1.0, "activation": "tanh", "hidden_units": 16.0}


def test_hparams_shows_the_seeds_of_a_configuration_as_one_with_the_mean_of_their_numbers(tensorboard: Client) -> None:
    repeated = _groups(tensorboard)["repeated"]
    values = {value["name"]["tag"]: value["value"] for value in repeated["metricValues"]}
    assert values["best/val_elbo"] == -117.0  # after 2 and after 4 epochs: -118 and -116
    assert sorted(session["name"] for session in repeated["sessions"]) == ["trials/repeated-1", "trials/repeated-2"]


def test_hparams_shows_of_a_trial_only_the_dimensions_that_it_has(tensorboard: Client) -> None:
    shown = _groups(tensorboard)["conditional"]["hparams"]
    assert shown == {"latent_size": 2.0, "activation": "relu", "hidden_units": 16.0}


def test_a_resumed_trial_is_one_line_without_gap_or_repetition(tensorboard: Client) -> None:
    series = tensorboard.get("plugin/scalars/scalars?run=trials/running&tag=val/elbo")
    assert [(step, value) for _, step, value in series] == [(1, -119.0), (2, -118.0), (3, -117.0)]


def test_tensorboard_shows_the_previews_and_no_tags_but_ours(tensorboard: Client) -> None:
    images = tensorboard.get("plugin/images/tags")["trials/running"]
    assert images.keys() == {"preview/reconstructions", "preview/samples"}
    scalars = tensorboard.get("plugin/scalars/tags")["trials/running"]
    assert scalars.keys() == EPOCH_TAGS | BEST_TAGS | {"time/epoch_seconds"}


def test_choices_that_mix_whole_and_broken_numbers_are_one_domain(tmp_path: Path) -> None:
    SweepEvents(tmp_path, BETA_CHOICES).close()
    (info,) = _experiment(tmp_path).hparam_infos
    assert [value.number_value for value in info.domain_discrete.values] == [0.5, 1.0, 2.0]


def test_a_finished_trial_that_is_extended_goes_on_in_the_same_run(tmp_path: Path) -> None:
    trial = record("t1", [])
    first = SweepEvents(tmp_path, SEARCH)
    _run(first, trial, 2)
    first.finished(trial)
    extended = replace(trial, state="running", history=list(trial.history))
    second = SweepEvents(tmp_path, SEARCH)
    _run(second, extended, 4)
    second.finished(replace(extended, state="complete"))
    assert [step for step, _ in _scalars(tmp_path / trial.folder)["val/elbo"]] == [1, 2, 3, 4]
