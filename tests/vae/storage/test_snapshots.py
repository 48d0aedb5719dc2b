"""vae/storage/snapshots.py, alone and as a training writes them."""

import io
import math
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import norm

from tests.material.folders import InMemory
from vae.config import TrialConfig
from vae.datasets.registry import load
from vae.datasets.types import Images
from vae.errors import CheckpointError
from vae.model.network import Vae, initial_weights
from vae.model.shape_class import ShapeClass
from vae.randomness.streams import EVALUATION_SEED, Stream, generator
from vae.storage.checkpoint import CHECKPOINT_FILE
from vae.storage.snapshots import (
    SNAPSHOTS_FILE,
    Snapshot,
    Snapshots,
    is_snapshot_epoch,
    read_snapshots,
    snapshot_latents,
)
from vae.training.pack import Pack
from vae.training.trial import Training

CONFIG = TrialConfig(latent_size=2, hidden_units=16, batch_size=50, epochs=7, learning_rate=3e-3, seed=5)
HALF_STEP = 255 / 47 / 2 + 0.5  # of 48 grey levels, and the rounding to a whole grey value
FIRST_HUNDRED = [1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 100]


class Folder(InMemory):
    @property
    def snapshots(self) -> list[Snapshot]:
        return read_snapshots(self.content[SNAPSHOTS_FILE], SNAPSHOTS_FILE)


@pytest.fixture
def pack(digits: dict[str, Images]) -> Pack:
    return Pack(*(torch.from_numpy(digits[split].pixels[:180]) for split in ("train", "validation")))


def model_of(config: TrialConfig, n_pixels: int = 64) -> Vae:
    model = Vae.alone(n_pixels, config)
    model.load_state_dict({name: 5 * weight for name, weight in initial_weights(n_pixels, config).items()})
    return model


def taken(config: TrialConfig, image_shape: tuple[int, int] = (8, 8)) -> Snapshot:
    files = Folder()
    Snapshots(files, image_shape).take(model_of(config, math.prod(image_shape)), 1)
    (snapshot,) = files.snapshots
    return snapshot


def decoded(config: TrialConfig, z: np.ndarray, n_pixels: int = 64) -> np.ndarray:
    """Grey values [n, D] of a Bernoulli's means, in numpy."""
    weights = {name: weight.double().numpy() for name, weight in model_of(config, n_pixels).state_dict().items()}
    hidden = np.maximum(z @ weights["decoder.0.weight"].T + weights["decoder.0.bias"], 0)
    return 255 / (1 + np.exp(-(hidden @ weights["logits.weight"].T + weights["logits.bias"])))


def start(pack: Pack, files: Folder, config: TrialConfig = CONFIG) -> Training:
    return Training(pack, config, "digits", (8, 8), files)


def finish(training: Training) -> None:
    while not training.is_done:
        training.next_epoch()


# Which epochs


def test_the_epochs_are_the_powers_of_the_root_of_two_rounded_and_the_last() -> None:
    assert [epoch for epoch in range(1, 101) if is_snapshot_epoch(epoch, 100)] == FIRST_HUNDRED


@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_an_epoch_is_chosen_if_it_is_a_rounded_root_of_a_power_of_two(epoch: int, last: int) -> None:
    """n is the root of 2^k rounded: (n - 1/2)^2 < 2^k < (n + 1/2)^2, in whole numbers."""
    is_root = any((2 * epoch - 1) ** 2 < 4 * 2**k < (2 * epoch + 1) ** 2 for k in range(36))
    assert is_snapshot_epoch(epoch, last) == (is_root or epoch == last)


# What they show


def test_the_manifold_is_the_decoders_mean_at_the_priors_quantiles_with_z0_to_the_right_and_z1_upwards() -> None:
    tiles = taken(CONFIG).manifold
    assert tiles is not None
    assert tiles.shape == (15, 15, 8, 8)
    places = norm.ppf((np.arange(15) + 0.5) / 15)
    for row, column in ((0, 0), (0, 14), (3, 11), (7, 7), (14, 0)):
        expected = decoded(CONFIG, np.array([[places[column], places[14 - row]]])).reshape(8, 8)
        assert np.abs(tiles[row, column] - expected).max() <= HALF_STEP


def test_samples_are_the_decoders_means_at_one_noise_of_the_prior() -> None:
    config = TrialConfig(latent_size=5, hidden_units=16)
    z = torch.randn(64, 5, generator=generator(EVALUATION_SEED, 0, Stream.SAMPLES)).double().numpy()
    tiles = taken(config).samples
    assert tiles.shape == (8, 8, 8, 8)
    assert np.abs(tiles.reshape(64, 64) - decoded(config, z)).max() <= HALF_STEP
    assert tiles.std() > 20  # else any grey would do


def test_an_autoencoders_manifold_is_uniform_over_plus_minus_3() -> None:
    z = snapshot_latents(2, "autoencoder")["manifold"]
    for column in range(15):
        assert z[:, column, 0].tolist() == pytest.approx([-3 + column * 6 / 14] * 15, abs=1e-6)
        assert z[column, :, 1].tolist() == pytest.approx([3 - column * 6 / 14] * 15, abs=1e-6)


def test_a_decoder_alone_shows_what_a_vae_shows() -> None:
    ours, theirs = (snapshot_latents(2, mode) for mode in ("decoder_only", "vae"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ("samples", "manifold"))
    assert taken(CONFIG.model_copy(update={"mode": "decoder_only"})).manifold is not None


@pytest.mark.parametrize("latent_size", [1, 3, 20])
def test_there_is_a_manifold_of_two_latents_only(latent_size: int) -> None:
    assert taken(TrialConfig(latent_size=latent_size, hidden_units=16)).manifold is None


def test_a_continuous_bernoulli_is_shown_by_its_mean_and_not_by_its_parameter() -> None:
    """E[x] = p / (2p - 1) + 1 / (2 artanh(1 - 2p)), Loaiza-Ganem & Cunningham 2019, equation 8."""
    config = TrialConfig(latent_size=5, hidden_units=16, likelihood="continuous_bernoulli")
    z = torch.randn(64, 5, generator=generator(EVALUATION_SEED, 0, Stream.SAMPLES)).double().numpy()
    p = decoded(config, z) / 255
    expected = 255 * (p / (2 * p - 1) + 1 / (2 * np.arctanh(1 - 2 * p)))
    assert np.abs(taken(config).samples.reshape(64, 64) - expected).max() <= HALF_STEP
    assert np.abs(255 * p - expected).max() > 30


def test_large_images_are_shrunk_to_the_mean_of_their_pixels() -> None:
    config = TrialConfig(latent_size=3, hidden_units=16)
    z = torch.randn(64, 3, generator=generator(EVALUATION_SEED, 0, Stream.SAMPLES)).double().numpy()
    blocks = decoded(config, z, 80 * 60).reshape(64, 40, 2, 30, 2).mean(axis=(2, 4))
    tiles = taken(config, (80, 60)).samples
    assert tiles.shape == (8, 8, 40, 30)
    assert np.abs(tiles.reshape(64, 40, 30) - blocks).max() <= HALF_STEP


# As a training writes them


def test_a_training_leaves_the_snapshots_of_its_epochs(pack: Pack) -> None:
    files = Folder()
    finish(start(pack, files))
    assert [snapshot.epoch for snapshot in files.snapshots] == [1, 2, 3, 4, 6, 7]
    assert files.written.count(SNAPSHOTS_FILE) == 6
    one, last = files.snapshots[0], files.snapshots[-1]
    assert (one.samples != last.samples).any()
    tiles = last.samples.reshape(64, 64)
    z = torch.randn(64, 2, generator=generator(EVALUATION_SEED, 0, Stream.SAMPLES))
    with torch.no_grad():
        expected = pack.model(0).decode(z).logits.sigmoid().numpy() * 255
    assert np.abs(tiles - expected).max() <= HALF_STEP


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_training_that_is_stopped_and_reopened_leaves_the_same_file(pack: Pack, stop: int) -> None:
    whole, parts = Folder(), Folder()
    finish(start(pack, whole))
    first = start(pack, parts)
    for _ in range(stop):
        first.next_epoch()
    first.save()
    finish(start(Pack(pack.train, pack.validation), parts))
    assert parts.content[SNAPSHOTS_FILE] == whole.content[SNAPSHOTS_FILE]


def test_epochs_that_a_crash_lost_are_shown_again_as_they_were(pack: Pack) -> None:
    whole, crashed = Folder(), Folder()
    finish(start(pack, whole))
    first = start(pack, crashed)
    first.next_epoch()
    first.save()
    for _ in range(3):
        first.next_epoch()  # their snapshots are on disk, their checkpoint is not
    assert [snapshot.epoch for snapshot in crashed.snapshots] == [1, 2, 3, 4]
    second = start(pack, crashed)
    second.next_epoch()
    assert [snapshot.epoch for snapshot in crashed.snapshots] == [1, 2]
    finish(second)
    assert crashed.content[SNAPSHOTS_FILE] == whole.content[SNAPSHOTS_FILE]


def test_a_training_from_before_there_were_snapshots_goes_on_and_leaves_later_ones(pack: Pack) -> None:
    files = Folder()
    first = start(pack, files)
    for _ in range(3):
        first.next_epoch()
    first.save()
    del files.content[SNAPSHOTS_FILE]
    finish(start(pack, files))
    assert [snapshot.epoch for snapshot in files.snapshots] == [4, 6, 7]


def test_a_diverged_epoch_is_not_shown(pack: Pack) -> None:
    files = Folder()
    config = TrialConfig(hidden_units=400, hidden_layers=3, learning_rate=1.0, batch_size=8, epochs=5)
    training = start(pack, files, config)
    finish(training)
    assert not training.history[-1].is_finite
    shown = [] if SNAPSHOTS_FILE not in files.content else [snapshot.epoch for snapshot in files.snapshots]
    assert shown == [metrics.epoch for metrics in training.history if metrics.is_finite][: len(shown)]
    assert training.n_epochs not in shown


def test_a_trial_in_a_pack_shows_what_it_shows_alone(digits: dict[str, Images]) -> None:
    pixels = [torch.from_numpy(digits[split].pixels[:180]) for split in ("train", "validation")]
    config = CONFIG.model_copy(update={"precision": "float64", "epochs": 2})
    other = config.model_copy(update={"hidden_units": 40, "latent_size": 3, "seed": 6})
    alone, packed = Folder(), Folder()
    finish(start(Pack(*pixels), alone, config))
    pack = Pack(*pixels, shape=ShapeClass.of(config), n_slots=2)
    trainings = [start(pack, Folder(), other), start(pack, packed, config)]
    for _ in range(2):
        for training in trainings:
            training.begin_epoch()
        for slot, metrics in pack.epoch([0, 1]).items():
            trainings[slot].end_epoch(metrics)
    for one, two in zip(alone.snapshots, packed.snapshots, strict=True):
        assert np.array_equal(one.samples, two.samples)
        assert np.array_equal(one.manifold, two.manifold)


@pytest.mark.slow
@pytest.mark.mnist
def test_a_hundred_epochs_of_mnist_take_less_than_a_megabyte(data_dir: Path) -> None:
    """And 14 snapshots together less time than one epoch, which takes 1.3 s."""
    pack = Pack(*(torch.from_numpy(load("mnist", data_dir, split).pixels) for split in ("train", "validation")))
    training = Training(pack, TrialConfig(latent_size=2, epochs=100), "mnist", (28, 28), Folder())
    training.next_epoch()
    training.next_epoch()
    files = Folder()
    snapshots, started = Snapshots(files, (28, 28)), time.process_time()
    for epoch in FIRST_HUNDRED:
        snapshots.take(pack.model(0), epoch)
    assert time.process_time() - started < 1.0
    assert len(files.snapshots) == 14
    assert len(files.content[SNAPSHOTS_FILE]) < 1_000_000


# Files that cannot be read


def content_of(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            archive.writestr(f"{name.replace('_', '/')}.png", member)
    return content.getvalue()


def png(height: int, width: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "truncated or damaged"),
        (b"not a zip file at all", "truncated or damaged"),
        (content_of(samples_000001=png(64, 64))[:200], "truncated or damaged"),
        (content_of(samples_1=png(64, 64)), "samples/1.png is none of its pictures"),
        (content_of(manifold_000003=png(120, 120)), "epoch 3 has no samples"),
        (content_of(samples_000001=png(63, 64)), "damaged picture"),
        (content_of(samples_000001=png(64, 64)[:60]), "damaged picture"),
        (content_of(samples_000001=b"GIF89a"), "damaged picture"),
    ],
)
def test_a_file_that_is_damaged_is_refused_with_its_name(content: bytes, says: str) -> None:
    with pytest.raises(CheckpointError, match=f"^best/1: .*{says}"):
        read_snapshots(content, "best/1")


@given(st.data())
def test_whatever_is_changed_in_a_file_it_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(content_of(samples_000001=png(64, 64), samples_000002=png(64, 64)))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    said = "here: no fault"
    try:
        read_snapshots(bytes(content), "here")
    except CheckpointError as error:
        said = str(error)
    assert said.startswith("here: ")


def packed(name: str, n_bytes: int = 80 * 2**20, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of one member, of zeros."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        archive.writestr(name, bytes(n_bytes))
    return content.getvalue()


def lying(content: bytes, n_bytes: int) -> bytes:
    """The same zip, whose directory says that its one member has so many bytes."""
    place = content.rindex(b"PK\x01\x02") + 24
    return content[:place] + n_bytes.to_bytes(4, "little") + content[place + 4 :]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: packed("strange.bin"), "strange.bin is none of its pictures"),
        (lambda: packed("samples/000001.png"), "damaged: 83,886,080 bytes of pictures, allowed: at most 67,108,864"),
        (lambda: lying(packed("samples/000001.png"), 1000), "truncated or damaged"),
        (lambda: packed("samples/000001.png", 1000, zipfile.ZIP_LZMA), "is packed by method 14"),
        (lambda: content_of(samples_000001=png(9_000, 9_000)), "damaged picture .9000 x 9000 pixels"),
    ],
    ids=["name", "size", "directory", "method", "picture"],
)
def test_a_small_file_that_unpacks_to_much_is_refused_in_little_memory(make: Callable[[], bytes], says: str) -> None:
    """292 kB took 286 MB while names and sizes were checked after everything was unpacked."""
    content = make()
    assert len(content) < 100_000
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=f"^best/1: .*{says}"):
        read_snapshots(content, "best/1")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_training_goes_on_from_a_damaged_file_with_one_line_and_new_snapshots(
    pack: Pack, capsys: pytest.CaptureFixture[str]
) -> None:
    files = Folder()
    training = start(pack, files)
    for _ in range(2):
        training.next_epoch()
    training.save()
    assert CHECKPOINT_FILE in files.content
    files.content[SNAPSHOTS_FILE] = b"damaged"
    resumed = start(pack, files)
    assert capsys.readouterr().err == (
        "snapshots.zip: truncated or damaged (File is not a zip file); "
        "its snapshots up to epoch 2 are lost, training goes on\n"
    )
    finish(resumed)
    assert [snapshot.epoch for snapshot in files.snapshots] == [3, 4, 6, 7]
