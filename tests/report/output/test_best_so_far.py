"""The run of the best model so far."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from report.output.best_so_far import BEST_RUN, MANIFOLD, RECONSTRUCTIONS, SAMPLES, TRIAL, VALUE
from report.output.event_files import read_events
from report.output.live_events import SweepEvents
from tests.material.reports import SEARCH, metrics, record
from tests.material.studies import trial
from tuning.records import TrialRecord
from vae.storage.preview import Preview


def _preview(value: int) -> Preview:
    images = np.full((8, 8, 8), value, np.uint8)
    return Preview(images, images + 1, images + 2)


def _tell(events: SweepEvents, one: TrialRecord, distortion: float, value: int | None = None) -> None:
    epoch = metrics(len(one.history) + 1, distortion, rate=20.0)
    one.history.append(epoch)
    events.epoch(one, epoch, None if value is None else _preview(value))


def _points(folder: Path, tag: str) -> dict[int, object]:
    found: dict[int, object] = {}
    for event in read_events(folder / BEST_RUN):
        for value in event.summary.value:
            if value.tag == tag:
                text = value.tensor.string_val[0].decode() if value.tensor.string_val else ""
                found[event.step] = text or (value.image.encoded_image_string or value.simple_value)
    return found


def test_there_is_a_point_whenever_the_best_rises_whichever_trial_it_is(tmp_path: Path) -> None:
    events, one, other = SweepEvents(tmp_path, SEARCH), record("0001", []), record("0002", [], beta=4.0)
    _tell(events, one, 90.0)
    _tell(events, other, 95.0)
    _tell(events, other, 80.0)
    _tell(events, one, 85.0)
    events.close()
    assert _points(tmp_path, VALUE) == {1: -110.0, 2: -100.0}
    texts = _points(tmp_path, TRIAL)
    assert str(texts[2]) == "trial 0002, epoch 2: latent_size 2, beta 4, activation relu"


def test_its_pictures_are_of_the_epoch_that_became_the_best(tmp_path: Path) -> None:
    events, one = SweepEvents(tmp_path, SEARCH), record("0001", [])
    for distortion, value in ((90.0, 50), (80.0, 100), (95.0, 150)):
        _tell(events, one, distortion, value)
    events.close()
    pictures = _points(tmp_path, RECONSTRUCTIONS)
    assert pictures.keys() == {1, 2} == _points(tmp_path, SAMPLES).keys()
    (tmp_path / "picture.png").write_bytes(pictures[2])  # type: ignore[arg-type]
    grey = np.rint(imread(tmp_path / "picture.png") * 255)
    assert set(np.unique(grey)) == {100, 101, 255}


def test_a_resumed_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    one = record("0001", [])
    for distortion in (90.0, 95.0, 70.0):  # of three drivers
        events = SweepEvents(tmp_path, SEARCH)
        _tell(events, one, distortion)
        events.close()
    assert _points(tmp_path, VALUE) == {1: -110.0, 2: -90.0}


def test_a_trial_that_ended_elsewhere_counts_and_a_failed_one_does_not(tmp_path: Path) -> None:
    ended, failed = record("0001", [-104.0, -100.0]), record("0002", [-90.0], "failed")
    SweepEvents(tmp_path, SEARCH, ended=[failed, ended]).close()
    assert _points(tmp_path, VALUE) == {1: -100.0}


def test_a_sweep_that_is_ranked_by_distortion_shows_it_falling(tmp_path: Path) -> None:
    for name, distortion in (("0001", 80.0), ("0002", 85.0), ("0003", 75.0)):
        one = trial(name, {"mode": "autoencoder"}, distortion, metric="val_distortion")
        SweepEvents(tmp_path, {}, ["autoencoder"], ended=[one]).close()
    assert _points(tmp_path, VALUE) == {1: 80.0, 2: 75.0}


def test_before_the_first_finite_epoch_there_is_no_run(tmp_path: Path) -> None:
    SweepEvents(tmp_path, SEARCH, ended=[record("0001", [], "failed")]).close()
    assert not (tmp_path / BEST_RUN).exists()


@pytest.mark.parametrize("state", ["pruned", "running"])
def test_a_trial_in_any_state_but_failed_may_be_the_best(tmp_path: Path, state: str) -> None:
    SweepEvents(tmp_path, SEARCH, ended=[record("0001", [-50.0], state)]).close()  # type: ignore[arg-type]
    assert _points(tmp_path, VALUE) == {1: -50.0}


def test_of_a_model_with_two_latents_there_is_its_manifold_as_a_square(tmp_path: Path) -> None:
    events, one, other = SweepEvents(tmp_path, SEARCH), record("0001", []), record("0002", [], latent_size=4)
    plane = np.repeat(np.arange(49, dtype=np.uint8), 64).reshape(49, 8, 8)  # every image of a grey of its own
    one.history.append(metrics(1, 90.0, rate=20.0))
    events.epoch(one, one.history[-1], replace(_preview(50), manifold=plane))
    _tell(events, other, 80.0, 100)
    events.close()
    pictures = _points(tmp_path, MANIFOLD)
    assert pictures.keys() == {1}
    (tmp_path / "picture.png").write_bytes(pictures[1])  # type: ignore[arg-type]
    grey = np.rint(imread(tmp_path / "picture.png") * 255)
    side = 5 * 8 + 1  # pixels: enlarged to 40, and the gap
    assert grey[10::side, 10::side].tolist() == np.arange(49).reshape(7, 7).tolist()
