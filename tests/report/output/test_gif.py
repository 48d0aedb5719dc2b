"""The GIFs read back with Pillow, and as TensorBoard serves them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from report.__main__ import main
from report.build import build_report
from report.output.event_files import EventFile, read_events
from report.output.gif import CAPTION, Frame, animations, draw_animations, drawn, encode_gif, frames
from report.output.tags import animation_tag
from tests.material.reports import trained as trained_sweep
from tests.material.tensorboard import serving
from vae.config import TrialConfig
from vae.datasets.types import Images
from vae.errors import CheckpointError, UserError
from vae.files import LocalFiles
from vae.model.network import Vae, initial_weights
from vae.storage.checkpoint import MODEL_FILE
from vae.storage.snapshots import SNAPSHOTS_FILE, Snapshot, Snapshots

EPOCHS = (1, 2, 3, 4, 6, 8, 11)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder with the snapshots of a model whose pixels become brighter from epoch to epoch."""
    config = TrialConfig(latent_size=2, hidden_units=16)
    model = Vae.alone(64, config)
    model.load_state_dict({name: 5 * weight for name, weight in initial_weights(64, config).items()})
    snapshots = Snapshots(LocalFiles(tmp_path / "trial"), (8, 8))
    for epoch in EPOCHS:
        model.logits.bias.data += 0.3
        snapshots.take(model, epoch)
    return tmp_path / "trial"


def read(path: Path) -> list[np.ndarray]:
    """Every frame as a viewer shows it, uint8 [H, W]."""
    shown = []
    with Image.open(path) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            shown.append(np.asarray(image.convert("L")).copy())
    return shown


def durations(path: Path) -> list[int]:
    found = []
    with Image.open(path) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            found.append(image.info["duration"])
    return found


def test_a_gif_has_a_frame_for_every_snapshot_in_the_order_of_the_epochs(trained: Path, tmp_path: Path) -> None:
    paths = list(draw_animations(trained, tmp_path / "out"))
    assert paths == [tmp_path / "out" / "samples.gif", tmp_path / "out" / "manifold.gif"]
    for path in paths:
        brightness = [frame[CAPTION:].mean() for frame in read(path)]
        assert len(brightness) == len(EPOCHS)
        assert brightness == sorted(brightness)
        assert brightness[-1] > brightness[0] + 20


def test_a_frame_takes_a_third_of_a_second_the_last_two_and_it_repeats_for_ever(trained: Path, tmp_path: Path) -> None:
    for path in draw_animations(trained, tmp_path):
        assert durations(path) == [300] * (len(EPOCHS) - 1) + [2000]
        with Image.open(path) as image:
            assert image.info["loop"] == 0


def test_the_manifold_is_shown_pixel_by_pixel_without_gaps(trained: Path, tmp_path: Path) -> None:
    """Of 15 x 15 images of 28 pixels a side, which need not be enlarged."""
    tiles = np.random.default_rng(0).integers(0, 48, (2, 15, 15, 28, 28), np.uint8) * 5
    snapshots = [Snapshot(epoch, tiles[index, :8, :8], tiles[index]) for index, epoch in enumerate((1, 2))]
    gif = tmp_path / "manifold.gif"
    gif.write_bytes(encode_gif([drawn(frame, "Learned manifold") for frame in frames(snapshots, "manifold")]))
    for index, frame in enumerate(read(gif)):
        assert frame.shape == (15 * 28 + CAPTION, 15 * 28)
        for row, column in ((0, 0), (4, 11), (14, 14)):
            place = frame[CAPTION + row * 28 :, column * 28 :][:28, :28]
            assert np.array_equal(place, tiles[index, row, column])


def test_samples_are_enlarged_by_a_whole_factor_with_white_between_them() -> None:
    tiles = np.random.default_rng(0).integers(0, 200, (8, 8, 28, 20), np.uint8)
    (frame,) = frames([Snapshot(1, tiles, None)], "samples")
    assert frame.picture.shape == (8 * 56 + 7 * 2, 8 * 40 + 7 * 2)
    assert np.array_equal(frame.picture[58 * 3 :: 2, 42 * 5 :: 2][:28, :20], tiles[3, 5])
    assert (frame.picture[56:58] == 255).all()
    assert (frame.picture[:, 40:42] == 255).all()


def test_the_epoch_stands_above_the_images_and_never_on_them() -> None:
    black = np.zeros((420, 420), np.uint8)
    captions = {}
    for epoch in (1, 16, 100_000):
        image = np.asarray(drawn(Frame(epoch, black), "Learned manifold"))
        assert (image[CAPTION:] == 0).all()
        captions[epoch] = image[:CAPTION]
        ink = np.argwhere(captions[epoch] < 100)
        assert len(ink) > 100  # dark strokes, not a shade of grey
        assert np.ptp(ink[:, 0]) >= 12  # pixels high
    assert (captions[1] != captions[16]).any()
    assert captions[1][:, 200:].min() < 60  # "epoch 1" stands right
    wide = np.argwhere(captions[100_000] < 250)[:, 1]
    assert np.diff(np.unique(wide)).max() > 20  # between the title and the epoch


def test_a_narrow_picture_keeps_room_for_its_caption() -> None:
    image = np.asarray(drawn(Frame(1, np.zeros((400, 100), np.uint8)), "Samples at z ~ N(0, I)"))
    assert image.shape == (400 + CAPTION, 330)
    assert (image[CAPTION:].sum(axis=0) == 0).sum() == 100


def test_frames_that_do_not_change_are_all_there(tmp_path: Path) -> None:
    tiles = np.full((8, 8, 8, 8), 100, np.uint8)
    found = frames([Snapshot(epoch, tiles, None) for epoch in EPOCHS], "samples")
    (tmp_path / "still.gif").write_bytes(encode_gif([drawn(frame, "Samples") for frame in found]))
    assert durations(tmp_path / "still.gif") == [300] * 6 + [2000]


def test_the_largest_gif_of_a_hundred_epochs_of_mnist_is_below_three_megabytes() -> None:
    """Of noise, which no picture of a model needs more bytes than."""
    tiles = np.random.default_rng(0).integers(0, 48, (14, 15, 15, 28, 28), np.uint8) * 5
    found = frames([Snapshot(index + 1, tiles[index], tiles[index]) for index in range(14)], "manifold")
    assert len(encode_gif([drawn(frame, "Learned manifold") for frame in found])) < 3_000_000


def test_a_model_without_a_manifold_has_one_gif(tmp_path: Path) -> None:
    config = TrialConfig(latent_size=3, hidden_units=16)
    Snapshots(LocalFiles(tmp_path), (8, 8)).take(Vae.alone(64, config), 1)
    assert [path.name for path in draw_animations(tmp_path, tmp_path / "out")] == ["samples.gif"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["samples.gif"]
    assert durations(tmp_path / "out" / "samples.gif") == [2000]


def test_a_folder_without_snapshots_has_no_gif(tmp_path: Path) -> None:
    (tmp_path / MODEL_FILE).touch()
    assert list(draw_animations(tmp_path, tmp_path / "out")) == []
    assert not (tmp_path / "out").exists()


def test_damaged_snapshots_are_refused_by_their_path(trained: Path, tmp_path: Path) -> None:
    path = trained / SNAPSHOTS_FILE
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=rf"^{path}: truncated or damaged"):
        list(draw_animations(trained, tmp_path))


def test_a_place_that_cannot_be_written_is_the_users_error(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match=r"out/samples\.gif: cannot write"):
        list(draw_animations(trained, tmp_path / "out"))


def test_tensorboard_serves_a_gif_that_moves(trained: Path, tmp_path: Path) -> None:
    content = (trained / SNAPSHOTS_FILE).read_bytes()
    gifs = dict(animations(content, "here"))
    with EventFile(tmp_path / "run") as file:
        for kind, gif in gifs.items():
            file.image(f"best_1/{kind}_over_training", gif, step=0)
    with serving(tmp_path) as client:
        client.until(n_runs=1)
        for kind, gif in gifs.items():
            tag = f"best_1/{kind}_over_training"
            (image,) = client.get(f"plugin/images/images?run=run&tag={tag}&sample=0")
            assert client.content(f"plugin/images/individualImage?{image['query']}") == gif
            assert client.content_type(f"plugin/images/individualImage?{image['query']}") == "image/gif"


# In a report


@pytest.mark.slow
def test_a_sweeps_report_animates_its_best_and_keeps_what_it_animates(
    digits: dict[str, Images], tmp_path: Path
) -> None:
    swept = trained_sweep(tmp_path / "demo", digits, [{"latent_size": 2}, {"latent_size": 4}], epochs=4)
    build_report(swept, Path("unused"), 2, lambda _: None)
    report, shown = swept.folder / "report", 0
    tags = {value.tag: value.image.encoded_image_string for one in read_events(report) for value in one.summary.value}
    for rank in (1, 2):
        best = swept.folder / "best" / str(rank)
        trial = json.loads((best / "metrics.json").read_text())["trial_id"]
        assert (best / SNAPSHOTS_FILE).read_bytes() == (swept.folder / "trials" / trial / SNAPSHOTS_FILE).read_bytes()
        kinds = {"samples", "manifold"} if trial == "0001" else {"samples"}
        gifs = {path.stem: path.read_bytes() for path in (report / f"best_{rank}").glob("*.gif")}
        assert gifs == {kind: tags[animation_tag(rank, kind)] for kind in kinds}
        assert all(durations(path) == [300, 300, 300, 2000] for path in (report / f"best_{rank}").glob("*.gif"))
        assert main([str(best), "--only", "animations"]) == 0
        assert {path.stem: path.read_bytes() for path in (best / "figures").glob("*.gif")} == gifs
        shown += len(gifs)
    assert shown == 3
    assert sum(tag.endswith("_over_training") for tag in tags) == 3


@pytest.mark.slow
def test_a_report_without_snapshots_or_with_damaged_ones_is_built_all_the_same(
    digits: dict[str, Images], tmp_path: Path
) -> None:
    swept = trained_sweep(tmp_path / "demo", digits, [{"seed": 1}, {"seed": 2}], epochs=2)
    (swept.folder / "trials" / "0001" / SNAPSHOTS_FILE).unlink()
    (swept.folder / "trials" / "0002" / SNAPSHOTS_FILE).write_bytes(b"damaged")
    said: list[str] = []
    build_report(swept, Path("unused"), 2, said.append)
    assert list((swept.folder / "report").rglob("*.gif")) == []
    assert len(list((swept.folder / "report").glob("best_*/reconstructions.png"))) == 2
    (line,) = (line for line in said if "animations" in line)
    assert line.endswith(f"{SNAPSHOTS_FILE}: truncated or damaged (File is not a zip file)")
