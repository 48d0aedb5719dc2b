"""vae/training/pack.py."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._dynamo.utils import counters

from tests.material.textbook import textbook_training
from vae.backend import products
from vae.config import TrialConfig
from vae.datasets.registry import load
from vae.datasets.types import Images, SplitName
from vae.evaluate.evaluate import evaluate
from vae.model import elbo
from vae.model.metrics import EpochMetrics
from vae.model.network import initial_weights
from vae.model.shape_class import GROWTH, ShapeClass
from vae.randomness.streams import evaluation_noise
from vae.storage.state import TrialState
from vae.training import loop as loop_module
from vae.training import stack as stack_module
from vae.training.pack import Pack

TINY = TrialConfig(latent_size=2, hidden_units=5, batch_size=4, learning_rate=0.01, beta=2.5, seed=7)


def images(n_images: int, n_pixels: int = 6, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n_images, n_pixels), dtype=torch.uint8, generator=draw)


def timeless(metrics: EpochMetrics) -> EpochMetrics:
    return replace(metrics, epoch_seconds=0.0)


def run(config: TrialConfig, n_epochs: int, n_images: int = 11) -> tuple[list[EpochMetrics], dict[str, Tensor]]:
    pack = Pack(images(n_images), images(3, seed=1))
    pack.join(config)
    return [timeless(pack.epoch([0])[0]) for _ in range(n_epochs)], pack.weights(0)


def assert_textbook_numbers(config: TrialConfig, n_epochs: int = 4) -> None:
    """Every number of every epoch, and which numbers there are."""
    train, validation = images(11), images(3, seed=1)
    pack = Pack(train, validation)
    pack.join(config)
    for epoch, rows in enumerate(textbook_training(train, validation, config, n_epochs), start=1):
        expected: dict[str, float] = {"epoch": epoch}
        noisy = config.noise != "none" and config.mode != "decoder_only"
        for (d, r), prefix in zip(rows, ("train", "val", "val_noisy")[: 2 + noisy], strict=False):
            expected[f"{prefix}_distortion"] = d
            if config.mode == "vae":
                expected |= {f"{prefix}_rate": r, f"{prefix}_elbo": -(d + r)}
            if prefix != "val_noisy":
                expected[f"{prefix}_loss"] = d + config.beta * r  # r is 0 without a posterior
        found = pack.epoch([0])[0].as_dict()
        del found["epoch_seconds"]
        assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("batch_size", [1, 4, 11, 64])
def test_an_epochs_numbers_are_those_of_a_plain_loop_in_torch(batch_size: int) -> None:
    assert_textbook_numbers(TINY.model_copy(update={"batch_size": batch_size, "precision": "float64"}))


FEATURES: list[dict[str, Any]] = [
    {"mode": "autoencoder"},
    {"mode": "decoder_only", "noise": "gaussian"},
    {"likelihood": "continuous_bernoulli"},
    {"likelihood": "gaussian"},
    {"likelihood": "gaussian", "variance": "shared", "mode": "autoencoder"},
    {"binarize": "stochastic"},
    {"binarize": "threshold"},
    {"noise": "gaussian", "noise_factor": 0.4},
    {"noise": "salt_pepper", "noise_factor": 0.6},
    {"dropout": 0.4},
    {"kl_warmup_epochs": 3},
    {"free_bits": 0.05},
    {"binarize": "stochastic", "noise": "salt_pepper", "dropout": 0.2, "kl_warmup_epochs": 2, "free_bits": 0.02},
]


@pytest.mark.parametrize("changes", FEATURES, ids=str)
def test_whatever_a_config_asks_for_is_what_the_plain_loop_does(changes: dict[str, Any]) -> None:
    assert_textbook_numbers(TrialConfig.model_validate({**TINY.model_dump(), "precision": "float64", **changes}))


def test_the_size_of_an_evaluations_batches_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image is binarised and corrupted by its place in the split, in whichever batch it is."""
    drawn = {"binarize": "stochastic", "noise": "gaussian", "precision": "float64"}
    config = TrialConfig.model_validate({**TINY.model_dump(), **drawn})
    rows = []
    for batch in (500, 2):
        monkeypatch.setattr(elbo, "EVALUATION_BATCH", batch)
        rows.append(run(config, 2)[0][-1].as_dict())
    assert rows[1] == pytest.approx(rows[0], rel=1e-12)


def test_images_stay_single_bytes_on_the_device() -> None:
    pack = Pack(images(11), images(3, seed=1))
    assert (pack.train.dtype, pack.validation.dtype) == (torch.uint8, torch.uint8)


def test_the_same_seed_twice_gives_bit_equal_metrics_and_weights() -> None:
    (first, weights), (again, weights_again) = run(TINY, 5), run(TINY, 5)
    assert first == again
    assert all(torch.equal(weights[name], weights_again[name]) for name in weights)


def test_another_seed_gives_other_numbers() -> None:
    assert run(TINY, 1)[0] != run(TINY.model_copy(update={"seed": 8}), 1)[0]


def test_what_the_process_drew_before_does_not_matter() -> None:
    first, _ = run(TINY, 2)
    torch.manual_seed(99)
    torch.randn(1000)
    assert run(TINY, 2)[0] == first


def test_a_slot_that_another_trial_left_is_as_good_as_new() -> None:
    alone, _ = run(TINY, 3)
    pack = Pack(images(11), images(3, seed=1))
    pack.join(TINY.model_copy(update={"seed": 1, "hidden_units": 9, "latent_size": 4, "batch_size": 3}))
    pack.epoch([0])[0]
    pack.leave(0)
    pack.join(TINY)
    assert [timeless(pack.epoch([0])[0]) for _ in range(3)] == alone


def test_a_pack_gives_up_the_slots_behind_its_last_trial_and_its_trials_do_not_notice() -> None:
    alone, _ = run(TINY, 4)
    pack = Pack(images(11), images(3, seed=1), shape=ShapeClass.of(TINY), n_slots=1)
    slots = [pack.join(TINY.model_copy(update={"seed": TINY.seed - slot})) for slot in range(6)]
    assert pack.n_slots == 1 + 2 * GROWTH
    found = [timeless(pack.epoch(slots)[0]) for _ in range(2)]
    for slot in slots[2:]:
        pack.leave(slot)
    pack.shrink()
    assert pack.n_slots == len(pack.stack.loop.order) == GROWTH
    found += [timeless(pack.epoch(slots[:2])[0]) for _ in range(2)]
    for one, other in zip(found, alone, strict=True):
        assert one.as_dict() == pytest.approx(other.as_dict(), rel=1e-5)
    pack.shrink()
    assert pack.n_slots == GROWTH


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_a_trial_that_moves_to_another_pack_goes_on_bit_equal(stop: int) -> None:
    straight, weights = run(TINY, 5)
    first = Pack(images(11), images(3, seed=1))
    first.join(TINY)
    before = [timeless(first.epoch([0])[0]) for _ in range(stop)]
    second = Pack(images(11), images(3, seed=1))
    second.join(TINY, first.state(0))
    assert before + [timeless(second.epoch([0])[0]) for _ in range(5 - stop)] == straight
    assert all(torch.equal(weights[name], weight) for name, weight in second.weights(0).items())


def test_a_state_and_weights_once_taken_do_not_move_with_the_training() -> None:
    pack = Pack(images(11), images(3, seed=1))
    pack.join(TINY)
    pack.epoch([0])[0]
    state, weights = pack.state(0), pack.weights(0)
    kept = {name: weight.clone() for name, weight in weights.items()}
    pack.epoch([0])[0]
    assert (state.epoch, state.adam.step) == (1, 3)  # 11 images in batches of 4
    for name in kept:
        assert torch.equal(state.weights[name], kept[name])
        assert torch.equal(weights[name], kept[name])
        assert not torch.equal(pack.weights(0)[name], kept[name])


def test_the_state_a_trial_joins_with_is_not_changed_by_its_training() -> None:
    state = TrialState.initial(6, TINY)
    pack = Pack(images(11), images(3, seed=1))
    pack.join(TINY, state)
    pack.epoch([0])[0]
    start = initial_weights(6, TINY)
    assert (state.epoch, state.adam.step) == (0, 0)
    assert all(torch.equal(state.weights[name], start[name]) for name in start)
    assert all(moment.abs().sum() == 0 for moment in state.adam.exp_avg.values())


@settings(max_examples=25)
@given(n_images=st.integers(1, 40), batch_size=st.integers(1, 50), epoch=st.integers(1, 3))
def test_every_image_is_visited_once_in_an_epoch(n_images: int, batch_size: int, epoch: int) -> None:
    """Each image is one grey value of its own; what reaches the objective is recorded on the way."""
    train = torch.arange(n_images, dtype=torch.uint8).unsqueeze(1).expand(-1, 2).contiguous()
    pack = Pack(train, images(2, 2))
    pack.join(TINY.model_copy(update={"batch_size": batch_size}))
    for _ in range(epoch - 1):
        pack.epoch([0])[0]
    seen: list[Tensor] = []
    distortion = loop_module.likelihood.distortion
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            loop_module.likelihood,
            "distortion",
            lambda kind, pixels, x: (seen.append(x), distortion(kind, pixels, x))[1],
        )
        patch.setattr(stack_module, "mean_distortion_and_rate", lambda *_: torch.zeros(1, 2))  # only training counts
        pack.epoch([0])[0]
    sizes = [x.shape[1] for x in seen]  # [1, B, D]
    assert sizes == [batch_size] * (n_images // batch_size) + [n_images % batch_size] * (n_images % batch_size > 0)
    assert sorted((torch.cat(seen, 1)[0, :, 0] * 255).round().int().tolist()) == list(range(n_images))


def test_beta_is_in_the_loss_and_in_no_other_number_of_the_first_batch() -> None:
    """One batch an epoch: the train metrics of epoch 1 are taken before any step, so beta cannot be in D, R or ELBO."""
    config = TINY.model_copy(update={"batch_size": 64})
    plain, heavy = (run(config.model_copy(update={"beta": beta}), 1)[0][0] for beta in (1.0, 100.0))
    assert (plain.train_distortion, plain.train_rate) == (heavy.train_distortion, heavy.train_rate)
    assert plain.train_elbo == heavy.train_elbo == -(plain.train_distortion + plain.train_rate)
    assert heavy.train_loss == pytest.approx(heavy.train_distortion + 100 * heavy.train_rate)


def test_a_heavier_beta_buys_a_lower_rate_with_more_distortion() -> None:
    plain, heavy = (run(TINY.model_copy(update={"beta": beta}), 200)[0][-1] for beta in (0.01, 100.0))
    assert heavy.val_rate < 0.01 < plain.val_rate
    assert heavy.train_distortion > plain.train_distortion


def test_digits_are_learned(digits: dict[str, Images]) -> None:
    """Better than the best decoder that ignores the image: the entropy of each pixel's own mean."""
    train, validation = (torch.from_numpy(digits[split].pixels) for split in ("train", "validation"))
    p = (train.double() / 255).mean(0).clamp(1e-6, 1 - 1e-6)
    x = validation.double() / 255
    constant = -(x * p.log() + (1 - x) * (1 - p).log()).sum(1).mean().item()
    pack = Pack(train, validation)
    pack.join(TrialConfig(latent_size=8, hidden_units=128, batch_size=64, learning_rate=3e-3))
    elbos = [pack.epoch([0])[0].val_elbo for _ in range(30)]
    assert max(elbos) > -constant + 1


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    """In float64, where the order of the sums costs 1e-12 or so."""
    rows = []
    for device in ("cpu", "cuda"):
        pack = Pack(images(50), images(20, seed=1), device)
        pack.join(TINY.model_copy(update={"precision": "float64"}))
        rows.append([pack.epoch([0])[0] for _ in range(3)][-1])
    assert pack.stack.loop.graph is not None  # a trial alone is a pack of one
    assert pack.note == ""
    assert rows[1].val_elbo == pytest.approx(rows[0].val_elbo, rel=1e-9)
    assert rows[1].train_loss == pytest.approx(rows[0].train_loss, rel=1e-9)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "changes", [{}, FEATURES[1], FEATURES[4], {**FEATURES[-1], **FEATURES[7]}, FEATURES[-1]], ids=str
)
def test_a_packed_trial_on_a_gpu_is_the_trial_alone_on_a_cpu(changes: dict[str, Any]) -> None:
    """Compiled, captured in a CUDA graph and replayed; a slot that changes hands recaptures nothing."""
    plain = TrialConfig.model_validate({**TINY.model_dump(), "precision": "float64", **changes})
    trials = [plain.model_copy(update={"seed": seed, "hidden_units": 5 + seed}) for seed in range(3)]
    packed = Pack(images(50), images(20, seed=1), "cuda", ShapeClass.of(trials[0]), n_slots=2)
    first, second = packed.join(trials[0]), packed.join(trials[1])
    for _ in range(2):
        packed.epoch([first, second])
    packed.leave(first)
    third = packed.join(trials[2])
    metrics = [packed.epoch([second, third]) for _ in range(3)][-1]
    assert packed.stack.loop.graph is not None
    assert packed.note == ""
    for slot, trial, n_epochs in ((second, trials[1], 5), (third, trials[2], 3)):
        alone = Pack(images(50), images(20, seed=1))
        alone.join(trial)
        expected = [alone.epoch([0])[0] for _ in range(n_epochs)][-1]
        found, of_cpu = ({**one.as_dict(), "epoch_seconds": 0} for one in (metrics[slot], expected))
        assert found == pytest.approx(of_cpu, rel=1e-9)


@pytest.mark.gpu
def test_a_pack_that_grows_on_a_gpu_captures_again_and_compiles_nothing_again() -> None:
    trials = [TINY.model_copy(update={"precision": "float64", "seed": seed}) for seed in range(4)]
    pack = Pack(images(50), images(20, seed=1), "cuda", ShapeClass.of(trials[0]), n_slots=2)
    slots = [pack.join(trial) for trial in trials[:2]]
    pack.epoch(slots)
    n_graphs = counters["stats"]["unique_graphs"]
    slots += [pack.join(trial) for trial in trials[2:]]
    metrics = pack.epoch(slots)
    assert pack.n_slots == 2 + GROWTH
    assert counters["stats"]["unique_graphs"] == n_graphs
    assert pack.stack.loop.graph is not None
    assert pack.note == ""
    alone = Pack(images(50), images(20, seed=1))
    alone.join(trials[3])
    assert metrics[slots[3]].val_elbo == pytest.approx(alone.epoch([0])[0].val_elbo, rel=1e-9)


@pytest.mark.gpu
def test_what_ranks_float32_trials_on_a_gpu_is_computed_in_float32(digits: dict[str, Images]) -> None:
    """Products in TF32, as in training, are off by a thousandth."""
    products.prefer_tensor_cores()
    train, validation = (torch.from_numpy(digits[split].pixels) for split in ("train", "validation"))
    pack = Pack(train, validation, "cuda")
    pack.join(TrialConfig(latent_size=8, hidden_units=256, batch_size=64))
    metrics = [pack.epoch([0])[0] for _ in range(5)][-1]
    assert torch.backends.cuda.matmul.allow_tf32  # for the next epoch
    on_cpu = elbo.mean_distortion_and_rate(pack.model(0).cpu(), validation, evaluation_noise(len(validation), 8))
    assert metrics.val_elbo == pytest.approx(-on_cpu.sum().item(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.mnist
def test_the_gate_the_textbook_vae_on_mnist_reaches_the_known_elbo(data_dir: Path) -> None:
    """784-400-20-400-784, Adam 1e-3, batch 128, all 60k grey images: test -ELBO 122-132, then 103.5-107.5."""
    splits: tuple[SplitName, ...] = ("train", "validation", "test")
    train, validation, test = (torch.from_numpy(load("mnist", data_dir, split).pixels) for split in splits)
    pack = Pack(torch.cat([train, validation]), validation)
    pack.join(TrialConfig(latent_size=20, hidden_units=400, learning_rate=1e-3, batch_size=128, beta=1.0))
    pack.epoch([0])[0]
    assert 122 < -evaluate(pack.model(0), test).elbo < 132
    for _ in range(9):
        pack.epoch([0])[0]
    assert 103.5 < -evaluate(pack.model(0), test).elbo < 107.5
