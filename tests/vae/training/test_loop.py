"""vae/training/loop.py: what a step draws and weighs; and that its parts compile as whole graphs.

What a GPU runs compiled is here traced on the CPU without its code generator.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from vae.config import TrialConfig
from vae.datasets.types import Images
from vae.model.elbo import mean_distortion_and_rate
from vae.model.network import Vae
from vae.model.shape_class import ShapeClass
from vae.randomness.streams import evaluation_noise
from vae.training import loop as loop_module
from vae.training import stack as stack_module
from vae.training.adam import StackedAdam
from vae.training.pack import Pack

CONFIG = TrialConfig(hidden_units=9, latent_size=3, batch_size=8, precision="float64", activation="softplus")
N_TRAIN, N_VALIDATION = 40, 10
EVERYTHING = {
    "likelihood": "gaussian",
    "binarize": "stochastic",
    "noise": "salt_pepper",
    "dropout": 0.3,
    "kl_warmup_epochs": 2,
    "free_bits": 0.05,
}


def changed(config: TrialConfig, changes: dict[str, Any]) -> TrialConfig:
    return TrialConfig.model_validate({**config.model_dump(), **changes})


def images(n_train: int = N_TRAIN, n_pixels: int = 16) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    sizes = (n_train, N_VALIDATION)
    return [torch.randint(0, 256, (n, n_pixels), dtype=torch.uint8, generator=draw) for n in sizes]


def two_trials(config: TrialConfig) -> Pack:
    pack = Pack(*images(), shape=ShapeClass.of(config), n_slots=2)
    for seed in (0, 1):
        pack.join(config.model_copy(update={"seed": seed, "beta": 1.0 + seed}))
    return pack


@pytest.fixture
def pack(monkeypatch: pytest.MonkeyPatch) -> Pack:
    monkeypatch.setattr(stack_module, "adam_for", lambda parameters, is_compiled: StackedAdam(parameters))
    pack = two_trials(CONFIG)
    pack.epoch([0, 1])  # fills order, noise and moments
    return pack


@pytest.mark.parametrize(
    "changes",
    [
        {},
        EVERYTHING,
        {"mode": "autoencoder", "likelihood": "continuous_bernoulli", "noise": "gaussian"},
        {"mode": "decoder_only", "likelihood": "gaussian", "variance": "shared"},
    ],
)
def test_loss_and_gradients_of_the_compiled_step_are_those_of_the_plain_one(changes: dict[str, Any]) -> None:
    pack = two_trials(changed(CONFIG, changes))
    pack.epoch([0, 1])
    loop = pack.stack.loop
    visited, noise = loop.order[:, :8], loop.noise[:, :8]
    numbers = []
    for losses in (loop.losses, torch.compile(loop.losses, fullgraph=True, dynamic=False, backend="aot_eager")):
        pack.stack.network.zero_grad()
        loss, terms = losses(visited, noise, torch.tensor(8))
        loss.backward()
        numbers.append([loss, terms, *(parameter.grad.clone() for parameter in pack.stack.network.parameters())])
    for plain, compiled in zip(*numbers, strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-12, atol=1e-12)


def test_the_compiled_update_moves_the_active_trial_as_the_plain_one_does(pack: Pack) -> None:
    draw = torch.Generator().manual_seed(1)
    gradients = [torch.randn(p.shape, dtype=p.dtype, generator=draw) for p in pack.stack.network.parameters()]
    before, ends, adam = pack.state(0), [], pack.stack.adam
    other = pack.weights(1)
    for update in (adam.update, torch.compile(adam.update, fullgraph=True, dynamic=False, backend="aot_eager")):
        pack.leave(0)
        pack.join(before.config, before)
        for parameter, gradient in zip(pack.stack.network.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone()
        adam.activate([0])
        update()
        ends.append(pack.state(0))
    for name in before.weights:
        torch.testing.assert_close(ends[1].weights[name], ends[0].weights[name], rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(ends[1].adam.exp_avg_sq[name], ends[0].adam.exp_avg_sq[name], rtol=1e-13, atol=0)
        assert not torch.equal(ends[1].weights[name], before.weights[name])
        assert torch.equal(pack.weights(1)[name], other[name])


PRECISE: list[
    tuple[dict[str, Any], float]
] = [  # and how far the end may be, in nats: half of the spread of three seeds
    ({}, 0.25),  # of MNIST's 105 nats the spread is 0.2-0.5: here the same share of the digits' 25, and more
    ({"likelihood": "continuous_bernoulli"}, 0.7),
    ({"likelihood": "gaussian"}, 1.3),
    ({"likelihood": "gaussian", "variance": "shared"}, 0.8),
    ({"mode": "autoencoder"}, 0.25),
    ({"dropout": 0.2, "noise": "gaussian", "binarize": "stochastic", "kl_warmup_epochs": 5, "free_bits": 0.1}, 0.25),
]


@pytest.mark.parametrize(("changes", "spread"), PRECISE, ids=str)
def test_a_lower_precision_learns_as_the_exact_one_does(
    changes: dict[str, Any], spread: float, digits: dict[str, Images]
) -> None:
    train, validation = (torch.from_numpy(digits[split].pixels) for split in ("train", "validation"))
    ends = {}
    for precision in ("float64", "float32", "bf16"):
        pack = Pack(train, validation)
        learns = {"hidden_units": 64, "latent_size": 8, "learning_rate": 3e-3, "batch_size": 64, "precision": precision}
        slot = pack.join(TrialConfig.model_validate({**learns, **changes}))
        ends[precision] = [pack.epoch([slot])[slot].goodness for _ in range(15)][-1]
    assert ends["float32"] == pytest.approx(ends["float64"], abs=spread)
    assert ends["bf16"] == pytest.approx(ends["float64"], abs=spread)


def test_the_weights_of_a_bf16_trial_stay_float32() -> None:
    pack = Pack(torch.zeros(8, 4, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.uint8))
    shape = {"hidden_units": 3, "latent_size": 2, "batch_size": 4}
    slot = pack.join(TrialConfig.model_validate({**shape, **EVERYTHING, "precision": "bf16"}))
    pack.epoch([slot])
    state = pack.state(slot)
    tensors = [*state.weights.values(), *state.adam.exp_avg.values(), *state.adam.exp_avg_sq.values()]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}


# ---- what a step gives to the model


@dataclass
class Calls:
    """What the model was called with, call by call; masks is None where nothing is left out."""

    seen: list[Tensor] = field(default_factory=list)
    masks: list[Tensor | None] = field(default_factory=list)


def record(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls, forward = Calls(), pack.stack.network.forward

    def recording(x: Tensor, noise: Tensor, masks: Tensor | None = None) -> Any:
        calls.seen.append(x.clone())
        calls.masks.append(None if masks is None else masks.clone())
        return forward(x, noise, masks)

    monkeypatch.setattr(pack.stack.network, "forward", recording)
    return calls


def masks_by_image(config: TrialConfig, patch: pytest.MonkeyPatch, epoch: int = 1, packed: bool = False) -> Tensor:
    """Of one epoch of a trial, in the order of the images, [2 * layers, N, H]."""
    pack = Pack(*images(), shape=ShapeClass.of(config), n_slots=3) if packed else Pack(*images())
    seeds = [1, 2, config.seed] if packed else [config.seed]
    slot = [pack.join(config.model_copy(update={"seed": seed})) for seed in seeds][-1]
    for _ in range(epoch - 1):
        pack.epoch([slot])
    calls = record(pack, patch)
    pack.epoch([slot])
    each = torch.cat([mask for mask in calls.masks if mask is not None], -2)
    return each[:, slot, pack.stack.loop.order[slot].argsort()]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_dropout_leaves_out_its_share_of_the_units_and_scales_the_rest_to_a_mean_of_1(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of n units a share p has standard deviation sqrt(p (1 - p) / n)."""
    config = changed(CONFIG, {"hidden_units": 500, "dropout": share})
    masks = masks_by_image(config, monkeypatch)
    assert masks.unique().tolist() == pytest.approx([0.0, 1 / (1 - share)])
    spread = math.sqrt(share * (1 - share) / masks.numel())
    assert abs((masks == 0).double().mean().item() - share) < 5 * spread
    assert abs(masks.mean().item() - 1) < 5 * spread / (1 - share)


def test_every_layer_image_epoch_and_seed_leaves_out_units_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    config = changed(CONFIG, {"hidden_units": 60, "hidden_layers": 2, "dropout": 0.5})
    first, later = (masks_by_image(config, monkeypatch, epoch) for epoch in (1, 2))
    other = masks_by_image(changed(config, {"seed": 9}), monkeypatch)
    assert first.shape == (4, N_TRAIN, 60)
    rows = torch.cat([masks.flatten(0, 1) for masks in (first, later, other)])
    assert len(rows.unique(dim=0)) == 3 * 4 * N_TRAIN


def test_a_unit_is_left_out_alike_however_wide_its_slot_and_whichever_trials_are_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = changed(CONFIG, {"dropout": 0.5})
    alone, packed = (masks_by_image(config, monkeypatch, epoch=2, packed=packed) for packed in (False, True))
    assert (alone.shape[-1], packed.shape[-1]) == (9, 64)
    assert torch.equal(packed[..., :9], alone)


def test_an_evaluation_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    config = changed(CONFIG, {"dropout": 0.5, "noise": "gaussian"})
    pack = Pack(*images())
    slot = pack.join(config)
    calls = record(pack, monkeypatch)
    metrics = pack.epoch([slot])[slot]
    assert [mask is None for mask in calls.masks] == [False] * 5 + [True] * 2  # five steps; clean and noisy validation
    plain = Pack(*images())
    state = pack.state(slot)
    model = Vae.alone(16, changed(config, {"dropout": 0.0, "noise": "none"})).double()
    model.load_state_dict(state.weights)
    found = mean_distortion_and_rate(model, plain.validation, evaluation_noise(10, 3).double())
    assert found.tolist() == pytest.approx([metrics.val_distortion, metrics.val_rate], rel=1e-12)


def inputs_of_an_epoch(config: TrialConfig, patch: pytest.MonkeyPatch, epoch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """What the model saw of each training image, in the images' order, and of validation, clean and corrupted."""
    pack = Pack(*images())
    slot = pack.join(config)
    for _ in range(epoch - 1):
        pack.epoch([slot])
    calls = record(pack, patch)
    pack.epoch([slot])
    training = torch.cat([seen[slot] for seen in calls.seen[:-2]])
    return training[pack.stack.loop.order[slot].argsort()], calls.seen[-2], calls.seen[-1]


@pytest.mark.parametrize("binarize", ["none", "stochastic"])
@pytest.mark.parametrize("noise", ["gaussian", "salt_pepper"])
def test_training_draws_anew_for_each_epoch_and_seed_and_an_evaluation_is_the_same_for_every_trial(
    noise: str, binarize: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = changed(CONFIG, {"noise": noise, "binarize": binarize})
    first, clean, corrupted = inputs_of_an_epoch(config, monkeypatch)
    later, clean_later, corrupted_later = inputs_of_an_epoch(config, monkeypatch, epoch=2)
    other, clean_of_other, corrupted_of_other = inputs_of_an_epoch(
        changed(config, {"seed": 5, "latent_size": 2, "batch_size": 7, "beta": 3.0}), monkeypatch
    )
    weaker = inputs_of_an_epoch(changed(config, {"noise_factor": 0.1}), monkeypatch)
    for one, two in ((first, later), (first, other), (clean, corrupted), (first, weaker[0]), (corrupted, weaker[2])):
        assert not torch.equal(one, two)
    assert torch.equal(clean, clean_later)
    assert torch.equal(clean, clean_of_other)
    assert torch.equal(corrupted, corrupted_later)
    assert torch.equal(corrupted, corrupted_of_other)


def test_stochastic_pixels_are_drawn_anew_each_epoch_and_the_target_is_what_the_noise_is_added_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Clean, the input is the target itself: 0 and 1, of other draws in the next epoch."""
    targets: list[Tensor] = []
    distortion = loop_module.likelihood.distortion
    monkeypatch.setattr(
        loop_module.likelihood, "distortion", lambda *of: (targets.append(of[2].clone()), distortion(*of))[1]
    )
    pack = Pack(*images())
    slot = pack.join(changed(CONFIG, {"binarize": "stochastic", "noise": "salt_pepper", "noise_factor": 0.2}))
    calls = record(pack, monkeypatch)
    by_epoch = []
    for _ in range(2):
        targets.clear()
        pack.epoch([slot])
        by_epoch.append(torch.cat([target[slot] for target in targets[:5]])[pack.stack.loop.order[slot].argsort()])
        for target, seen in zip(targets, calls.seen[-7:], strict=True):
            assert set(target.unique().tolist()) == {0.0, 1.0}
            assert (target != seen).double().mean() < 0.2  # half of 0.2 of the pixels, and some spread
        assert torch.equal(targets[5], targets[6])  # of validation, clean and corrupted
        assert torch.equal(calls.seen[-2], targets[5])
    assert not torch.equal(*by_epoch)


# ---- the weight of the KL


def weights_of_steps(pack: Pack, slots: list[int], n_epochs: int) -> list[list[float]]:
    """Step by step, of each slot."""
    found, kl_weight = [], loop_module.objective.kl_weight
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            loop_module.objective, "kl_weight", lambda *of: (found.append(kl_weight(*of).tolist()), kl_weight(*of))[1]
        )
        for _ in range(n_epochs):
            pack.epoch(slots)
    return found


def test_the_kls_weight_grows_image_by_image_over_the_epochs_it_is_told_to_and_for_that_trial_only() -> None:
    """40 images in batches of 8, over two epochs: a tenth of beta a step. The neighbour's weight is beta throughout."""
    slow = changed(CONFIG, {"kl_warmup_epochs": 2, "beta": 5.0})
    pack = Pack(*images(), shape=ShapeClass.of(slow), n_slots=2)
    slots = [pack.join(slow), pack.join(changed(CONFIG, {"beta": 3.0, "seed": 1}))]
    weights = weights_of_steps(pack, slots, 3)
    assert [warming for warming, _ in weights] == pytest.approx([5 * min(1.0, step / 10) for step in range(15)])
    assert [at_once for _, at_once in weights] == [3.0] * 15


def test_a_warm_up_goes_on_where_it_was_in_another_slot_and_does_not_stay_behind_in_the_old_one() -> None:
    slow = changed(CONFIG, {"kl_warmup_epochs": 4})
    pack = Pack(*images(), shape=ShapeClass.of(slow), n_slots=2)
    weights_of_steps(pack, [pack.join(slow)], 1)
    state = pack.state(0)
    pack.leave(0)
    slots = [pack.join(changed(CONFIG, {"beta": 3.0})), pack.join(slow, state)]
    weights = weights_of_steps(pack, slots, 1)
    assert [moved for _, moved in weights] == pytest.approx([(5 + step) / 20 for step in range(5)])
    assert [at_once for at_once, _ in weights] == [3.0] * 5
