"""vae/training/trial.py."""

import math
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.material.folders import InMemory
from vae.config import TrialConfig
from vae.datasets.types import Images
from vae.errors import CheckpointError
from vae.evaluate.evaluate import evaluate
from vae.files import LocalFiles
from vae.model.elbo import mean_distortion_and_rate
from vae.model.metrics import EpochMetrics
from vae.randomness.streams import evaluation_noise
from vae.storage.checkpoint import CHECKPOINT_FILE, MODEL_FILE, load_model, unpack_checkpoint, unpack_model
from vae.training import trial as training_module
from vae.training.pack import Pack
from vae.training.trial import Training

CONFIG = TrialConfig(latent_size=2, hidden_units=16, batch_size=50, epochs=6, learning_rate=3e-3, seed=5)


def changed(**changes: Any) -> TrialConfig:
    return TrialConfig.model_validate({**CONFIG.model_dump(), **changes})


class Scripted(Pack):
    """A pack that trains as ever and reports the validation ELBOs, or other numbers, it is told to."""

    script: Iterator[float] = iter(())
    scripted = "val_elbo"

    def epoch(self, slots: Iterable[int]) -> dict[int, EpochMetrics]:
        trained = super().epoch(slots)
        return {slot: replace(metrics, **{self.scripted: next(self.script)}) for slot, metrics in trained.items()}


@pytest.fixture
def pack(digits: dict[str, Images]) -> Pack:
    return Pack(*(torch.from_numpy(digits[split].pixels[:180]) for split in ("train", "validation")))


@pytest.fixture
def scripted(pack: Pack) -> Scripted:
    return Scripted(pack.train, pack.validation)


def start(pack: Pack, files: InMemory | LocalFiles, config: TrialConfig = CONFIG) -> Training:
    return Training(pack, config, "digits", (8, 8), files)


def finish(training: Training) -> list[EpochMetrics]:
    while not training.is_done:
        training.next_epoch()
    return timeless(training.history)


def timeless(history: list[EpochMetrics]) -> list[EpochMetrics]:
    return [replace(metrics, epoch_seconds=0.0) for metrics in history]


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_interrupted_and_resumed_equals_uninterrupted_to_the_bit(pack: Pack, tmp_path: Path, stop: int) -> None:
    whole, parts = InMemory(), LocalFiles(tmp_path / "trial")
    straight = finish(start(pack, whole))
    first = start(pack, parts)
    for _ in range(stop):
        first.next_epoch()
    first.save()
    second = start(Pack(pack.train, pack.validation), parts)
    assert second.n_epochs == stop
    assert timeless(second.history) == timeless(first.history)
    assert finish(second) == straight
    ours, theirs = parts.read(CHECKPOINT_FILE), whole.read(CHECKPOINT_FILE)
    assert ours is not None
    assert theirs is not None
    (one, described), (two, _) = unpack_checkpoint(ours, "one"), unpack_checkpoint(theirs, "two")
    assert (one.epoch, one.adam.step, described.epoch) == (6, two.adam.step, 6)
    assert equal(one.weights, two.weights)
    assert equal(one.adam.exp_avg, two.adam.exp_avg)
    assert equal(one.adam.exp_avg_sq, two.adam.exp_avg_sq)


def test_a_crash_between_checkpoints_repeats_epochs_and_ends_the_same(pack: Pack) -> None:
    whole, crashed = InMemory(), InMemory()
    straight = finish(start(pack, whole))
    first = start(pack, crashed)
    first.next_epoch()
    first.save()
    first.next_epoch()
    first.next_epoch()  # their model may be on disk, their checkpoint is not
    second = start(pack, crashed)
    assert second.n_epochs == 1
    assert finish(second) == straight
    assert equal(
        unpack_model(crashed.content[MODEL_FILE], "")[0].state_dict(),
        unpack_model(whole.content[MODEL_FILE], "")[0].state_dict(),
    )


def test_the_model_file_holds_the_best_epochs_weights_and_not_the_lasts(scripted: Scripted, tmp_path: Path) -> None:
    scripted.script = iter([-60.0, -40.0, -50.0, -40.0, -45.0, -41.0])
    training = start(scripted, LocalFiles(tmp_path))
    by_epoch: list[dict[str, Tensor]] = []
    while not training.is_done:
        training.next_epoch()
        by_epoch.append(scripted.weights(0))
    model, description = load_model(tmp_path)
    assert equal(dict(model.state_dict()), by_epoch[1])  # the earliest of equals
    assert not equal(dict(model.state_dict()), by_epoch[-1])
    assert description.epoch == 2
    assert description.history[-1].val_elbo == -40.0
    content = LocalFiles(tmp_path).read(CHECKPOINT_FILE)
    assert content is not None
    assert equal(unpack_checkpoint(content, "")[0].weights, by_epoch[-1])


def test_with_keep_last_the_model_file_holds_the_last_finite_epochs_weights(scripted: Scripted, tmp_path: Path) -> None:
    scripted.script = iter([-60.0, -40.0, -50.0, math.nan])
    training = start(scripted, LocalFiles(tmp_path), CONFIG.model_copy(update={"keep": "last"}))
    by_epoch: list[dict[str, Tensor]] = []
    while not training.is_done:
        training.next_epoch()
        by_epoch.append(scripted.weights(0))
    model, description = load_model(tmp_path)
    assert (training.n_epochs, description.epoch, description.history[-1].val_elbo) == (4, 3, -50.0)
    assert equal(dict(model.state_dict()), by_epoch[2])
    assert not equal(dict(model.state_dict()), by_epoch[1])  # of the best


@pytest.mark.parametrize(("keep", "kept"), [("best", 2), ("last", 6)])
@pytest.mark.parametrize("mode", ["autoencoder", "decoder_only"])
def test_without_an_elbo_the_kept_epoch_is_that_of_the_lowest_distortion_or_the_last(
    scripted: Scripted, tmp_path: Path, mode: str, keep: str, kept: int
) -> None:
    scripted.script, scripted.scripted = iter([60.0, 40.0, 50.0, 40.0, 45.0, 41.0]), "val_distortion"
    training = start(scripted, LocalFiles(tmp_path), changed(mode=mode, keep=keep))
    by_epoch: list[dict[str, Tensor]] = []
    while not training.is_done:
        training.next_epoch()
        by_epoch.append(scripted.weights(0))
    model, description = load_model(tmp_path)
    assert description.epoch == kept
    assert description.history[-1].val_elbo is None
    assert equal(dict(model.state_dict()), by_epoch[kept - 1])


RELATIVES = [
    {"mode": "autoencoder"},
    {"mode": "decoder_only"},
    {"likelihood": "continuous_bernoulli", "noise": "gaussian"},
    {"likelihood": "gaussian", "dropout": 0.2, "kl_warmup_epochs": 4, "free_bits": 0.1},
    {"likelihood": "gaussian", "variance": "shared", "mode": "autoencoder", "noise": "salt_pepper"},
    {"binarize": "stochastic", "keep": "last"},
]
each_relative = pytest.mark.parametrize("changes", RELATIVES, ids=str)


@each_relative
def test_a_trial_of_any_kind_interrupted_and_resumed_equals_uninterrupted_to_the_bit(
    pack: Pack, changes: dict[str, Any]
) -> None:
    config, whole, parts = changed(**changes), InMemory(), InMemory()
    straight = finish(start(pack, whole, config))
    first = start(pack, parts, config)
    for _ in range(3):
        first.next_epoch()
    first.save()
    second = start(Pack(pack.train, pack.validation), parts, config)
    assert timeless(second.history) == straight[:3]
    assert finish(second) == straight
    (ours, described), (theirs, _) = (unpack_model(files.content[MODEL_FILE], "") for files in (parts, whole))
    assert equal(dict(ours.state_dict()), dict(theirs.state_dict()))
    assert described.config == config


@each_relative
def test_the_model_on_disk_has_the_numbers_its_description_states_whatever_its_kind(
    pack: Pack, changes: dict[str, Any]
) -> None:
    files = InMemory()
    finish(start(pack, files, changed(**changes)))
    model, description = unpack_model(files.content[MODEL_FILE], "")
    noise, stated = evaluation_noise(len(pack.validation), CONFIG.latent_size), description.history[-1]
    found = mean_distortion_and_rate(model, pack.validation, noise).tolist()
    assert found == pytest.approx([stated.val_distortion, stated.val_rate or 0.0], rel=1e-6)
    if stated.val_noisy_distortion is not None:
        noisy = mean_distortion_and_rate(model, pack.validation, noise, torch.tensor(description.config.noise_factor))
        assert noisy.tolist() == pytest.approx([stated.val_noisy_distortion, stated.val_noisy_rate or 0.0], rel=1e-6)
    assert (stated.val_noisy_distortion is None) == (description.config.input_noise == "none")


def test_a_better_epoch_is_on_disk_as_soon_as_it_ends(scripted: Scripted) -> None:
    scripted.script = iter([-60.0, -70.0, -50.0])
    files = InMemory()
    training = start(scripted, files)
    on_disk = []
    for _ in range(3):
        training.next_epoch()
        on_disk.append(unpack_model(files.content[MODEL_FILE], "")[1].epoch)
    assert on_disk == [1, 1, 3]


def test_the_model_file_describes_its_own_epoch_alone_and_does_not_grow(scripted: Scripted) -> None:
    """While it held every epoch, one of 10,000 epochs had 3.5 MB and took 0.3 s an epoch to write."""
    scripted.script = iter([-60.0, -50.0, -55.0, -40.0])
    files, sizes = InMemory(), []
    training = start(scripted, files)
    for _ in range(4):
        training.next_epoch()
        sizes.append(len(files.content[MODEL_FILE]))
    _, description = unpack_model(files.content[MODEL_FILE], "")
    assert (description.epoch, description.history) == (4, [training.history[3]])
    assert max(sizes) - min(sizes) < 50  # digits


def test_an_epoch_among_ten_thousand_takes_no_longer_than_one_among_ten(scripted: Scripted) -> None:
    """Rebuilt from the whole history, the best epoch took 53 ms an epoch."""
    times = {}
    for n in (10, 10_000):
        scripted.script = iter([-50.0])
        training = start(scripted, InMemory(), CONFIG.model_copy(update={"epochs": 100_000}))
        first = training.next_epoch()
        training.history += [replace(first, epoch=epoch, val_elbo=-60.0) for epoch in range(2, n)]
        each = []
        for epoch in range(n, n + 20):
            started = time.perf_counter()
            training.end_epoch(replace(first, epoch=epoch, val_elbo=-60.0))
            each.append(time.perf_counter() - started)
        times[n] = statistics.median(each)
    assert times[10_000] < 5 * times[10] + 1e-3


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_running_best_is_the_best_of_the_history_and_of_a_resumed_one(scripted: Scripted, keep: Any) -> None:
    elbos = [-60.0, -45.0, -50.0, -45.0, -40.0, -41.0]
    scripted.script = iter(elbos)
    files, config = InMemory(), changed(keep=keep)
    training = start(scripted, files, config)
    assert training.best is None
    for n in range(1, 7):
        training.next_epoch()
        expected = n if keep == "last" else 1 + elbos.index(max(elbos[:n]))
        assert training.best is not None
        assert training.best.epoch == expected
        training.save()
        training = start(scripted, files, config)
        assert training.best == training.history[expected - 1]


def test_a_float64_trials_model_gives_the_numbers_of_its_training_to_the_last_digits(pack: Pack) -> None:
    files = InMemory()
    finish(start(pack, files, changed(precision="float64", noise="gaussian")))
    model, description = unpack_model(files.content[MODEL_FILE], "")
    noise_factor, stated = description.config.noise_factor, description.history[-1]
    found = evaluate(model, pack.validation, noise_factor=noise_factor)
    assert found.elbo == pytest.approx(stated.val_elbo, rel=1e-13)
    assert found.noisy_elbo == pytest.approx(stated.val_noisy_elbo, rel=1e-13)


def test_a_resumed_trial_does_not_overwrite_a_best_epoch_from_before(scripted: Scripted) -> None:
    scripted.script = iter([-40.0, -50.0, -45.0, -42.0])
    files = InMemory()
    first = start(scripted, files)
    first.next_epoch()
    first.next_epoch()
    first.save()
    second = start(scripted, files)
    second.next_epoch()
    second.next_epoch()
    assert unpack_model(files.content[MODEL_FILE], "")[1].epoch == 1


def test_the_model_on_disk_has_the_elbo_its_description_states(pack: Pack, tmp_path: Path) -> None:
    finish(start(pack, LocalFiles(tmp_path)))
    model, description = load_model(tmp_path)
    noise = evaluation_noise(len(pack.validation), CONFIG.latent_size)
    distortion, rate = mean_distortion_and_rate(model, pack.validation, noise).tolist()
    assert -(distortion + rate) == pytest.approx(description.history[-1].val_elbo, rel=1e-7)
    assert description.history[-1].epoch == description.epoch


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_a_diverged_trial_is_done_and_keeps_its_best(scripted: Scripted, bad: float) -> None:
    scripted.script = iter([-60.0, -50.0, bad])
    files = InMemory()
    training = start(scripted, files)
    training.next_epoch()
    training.next_epoch()
    best_weights = scripted.weights(0)
    assert not training.is_done
    training.next_epoch()
    training.save()
    assert training.is_done
    model, description = unpack_model(files.content[MODEL_FILE], "")
    assert equal(dict(model.state_dict()), best_weights)
    assert description.epoch == 2
    assert CHECKPOINT_FILE not in files.content  # there is nothing to go on from


def test_a_learning_rate_that_is_far_too_high_really_diverges(digits: dict[str, Images]) -> None:
    """exp(log_variance) leaves float32 within a few steps; nothing but the metrics says so."""
    pixels = torch.from_numpy(digits["train"].pixels)
    config = TrialConfig(hidden_units=400, hidden_layers=3, learning_rate=1.0, batch_size=8, epochs=5)
    training = start(Pack(pixels, pixels[:100]), InMemory(), config)
    finish(training)
    assert not training.history[-1].is_finite
    assert training.n_epochs < 5


def test_a_checkpoint_of_another_config_is_refused(pack: Pack) -> None:
    files = InMemory()
    finish(start(pack, files))
    with pytest.raises(CheckpointError, match=r"checkpoint\.safetensors: of config .*beta=1\.0.* is .*beta=2\.0"):
        start(pack, files, CONFIG.model_copy(update={"beta": 2.0}))


@pytest.mark.parametrize(("dataset", "shape"), [("mnist", (8, 8)), ("digits", (4, 16)), ("digits", (28, 28))])
def test_a_checkpoint_of_other_images_is_refused(pack: Pack, dataset: str, shape: tuple[int, int]) -> None:
    files = InMemory()
    finish(start(pack, files))
    with pytest.raises(CheckpointError, match=r"checkpoint\.safetensors: of digits \(8, 8\), this trial's is"):
        Training(pack, CONFIG, dataset, shape, files)


@pytest.mark.parametrize("name", [CHECKPOINT_FILE, MODEL_FILE])
@pytest.mark.parametrize("left", [0, 7, 1000])
def test_a_trial_with_a_file_that_a_power_cut_left_cut_off_is_trained_again(pack: Pack, name: str, left: int) -> None:
    files = InMemory()
    whole = finish(start(pack, files))
    content = files.read(name)
    assert content is not None
    files.write(name, content[:left])
    with pytest.raises(CheckpointError, match=rf"{name}: truncated or "):
        start(pack, files)
    again = Training(pack, CONFIG, "digits", (8, 8), files, damaged_is_absent=True)
    assert again.n_epochs == 0
    assert again.note.startswith("trained again from the start: ")
    assert name in again.note
    assert "\n" not in again.note
    assert finish(again) == whole
    assert start(pack, files).n_epochs == CONFIG.epochs


def test_a_trial_whose_files_are_whole_has_no_note(pack: Pack) -> None:
    files = InMemory()
    finish(start(pack, files))
    assert start(pack, files).note == ""


def test_a_finished_trial_has_nothing_left_to_do(pack: Pack) -> None:
    files = InMemory()
    finish(start(pack, files))
    again = start(pack, files)
    assert again.is_done
    assert again.n_epochs == 6


def test_a_checkpoint_is_written_at_the_end_and_not_every_epoch(pack: Pack) -> None:
    files = InMemory()
    finish(start(pack, files))
    assert files.written.count(CHECKPOINT_FILE) == 1


def test_a_long_training_is_checkpointed_on_the_way(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_module, "CHECKPOINT_SECONDS", 0.0)
    files = InMemory()
    finish(start(pack, files))
    assert files.written.count(CHECKPOINT_FILE) == 6


def test_saving_twice_writes_once(pack: Pack) -> None:
    files = InMemory()
    training = start(pack, files)
    training.save()
    assert files.written == []
    training.next_epoch()
    training.save()
    training.save()
    assert files.written.count(CHECKPOINT_FILE) == 1
