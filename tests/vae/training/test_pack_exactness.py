"""A packed trial equals the same trial alone, in float64, whatever happens around it (DESIGN: packs)."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vae.config import TrialConfig
from vae.model.metrics import EpochMetrics
from vae.model.shape_class import Frame, ShapeClass
from vae.storage.checkpoint import Description, pack_checkpoint, unpack_checkpoint
from vae.storage.state import AdamState, TrialState
from vae.training import stack as stack_module
from vae.training.adam import Adam, RowAdam, StackedAdam
from vae.training.pack import Pack

TOLERANCE = 1e-10
N_TRAIN, BATCH = 330, 16  # 21 steps an epoch, the last one of 10 images
EPOCHS = 10  # 210 steps
ACTIVATIONS = ["relu", "tanh", "elu", "softplus"]


def slow(*values: Any) -> list[Any]:
    """For the whole suite only: the other values of a parameter show the same in `make test`."""
    return [pytest.param(value, marks=pytest.mark.slow, id=str(value)) for value in values]


@pytest.fixture(scope="module", autouse=True, params=[RowAdam, StackedAdam])
def _the_adam_of_each_device(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test with the Adam that stacks have on a CPU, and with the one that they have on a GPU.

    A trial alone, a stack of one, always has torch's.
    """
    torch.set_num_threads(1)

    def adam_for(parameters: dict[str, torch.nn.Parameter], is_compiled: bool) -> Adam:
        return (RowAdam if len(next(iter(parameters.values()))) == 1 else request.param)(parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack_module, "adam_for", adam_for)
        yield


@pytest.fixture(scope="module")
def images() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return tuple(torch.randint(0, 256, (n, 36), dtype=torch.uint8, generator=draw) for n in (N_TRAIN, 60))  # type: ignore[return-value]


def config(seed: int = 0, **changes: object) -> TrialConfig:
    base = {
        "latent_size": 3,
        "hidden_units": 21,
        "batch_size": BATCH,
        "epochs": EPOCHS,
        "learning_rate": 3e-3,
        "precision": "float64",
    }
    return TrialConfig(**{**base, "seed": seed, **changes})  # type: ignore[arg-type]


DEFAULTS = TrialConfig().model_dump()


NEIGHBOURS = [
    config(1, latent_size=16, hidden_units=64, beta=4.0, noise_factor=0.9, dropout=0.7, free_bits=0.5),
    config(2, latent_size=1, hidden_units=1, learning_rate=1e-1, beta=0.0, noise_factor=0.0, dropout=0.1),
    config(3, latent_size=7, hidden_units=40, learning_rate=1e-4, beta=0.5, dropout=0.01, kl_warmup_epochs=3),
]
FEATURES: list[dict[str, Any]] = [
    {"mode": "autoencoder"},
    {"mode": "decoder_only"},
    {"likelihood": "continuous_bernoulli"},
    {"likelihood": "gaussian"},
    {"likelihood": "gaussian", "variance": "shared"},
    {"binarize": "stochastic"},
    {"binarize": "threshold"},
    {"noise": "gaussian", "noise_factor": 0.4},
    {"noise": "salt_pepper", "noise_factor": 0.4},
    {"dropout": 0.3, "activation": "softplus", "hidden_layers": 2},
    {"kl_warmup_epochs": 6, "free_bits": 0.02, "beta": 2.0},
    {"kl_warmup_epochs": 15},
]
DRAWN = {"binarize": "stochastic", "noise": "salt_pepper", "dropout": 0.2, "kl_warmup_epochs": 5, "free_bits": 0.02}
TOGETHER: list[dict[str, Any]] = [
    {**DRAWN, "likelihood": "gaussian", "activation": "softplus"},
    {**DRAWN, "noise": "gaussian", "likelihood": "gaussian", "variance": "shared", "mode": "autoencoder"},
    {**DRAWN, "likelihood": "continuous_bernoulli", "mode": "decoder_only"},
]


def like(one: TrialConfig, configs: Iterable[TrialConfig]) -> list[TrialConfig]:
    """The configs, in the shape class of `one`; what is not the class's stays each one's own."""
    of_class = set(ShapeClass.__dataclass_fields__) & set(DEFAULTS) - {"hidden_units", "latent_size"} | {"activation"}
    shared = {name: getattr(one, name) for name in of_class} | ({} if one.dropout else {"dropout": 0.0})
    return [other.model_copy(update=shared) for other in configs]


def a_pack(images: tuple[Tensor, Tensor], one: TrialConfig, n_slots: int = 4) -> Pack:
    return Pack(*images, shape=ShapeClass.of(one), n_slots=n_slots)


def alone(
    images: tuple[Tensor, Tensor], one: TrialConfig, n_epochs: int = EPOCHS
) -> tuple[list[EpochMetrics], TrialState]:
    pack = Pack(*images)
    slot = pack.join(one)
    return [pack.epoch([slot])[slot] for _ in range(n_epochs)], pack.state(slot)


def assert_same_metrics(packed: list[EpochMetrics], single: list[EpochMetrics]) -> None:
    assert len(packed) == len(single)
    for one, other in zip(packed, single, strict=True):
        assert one.as_dict().keys() == other.as_dict().keys()
        for name, value in one.as_dict().items():
            if name != "epoch_seconds":
                assert value == pytest.approx(other.as_dict()[name], abs=TOLERANCE), name


def assert_same_state(packed: TrialState, single: TrialState) -> None:
    assert (packed.epoch, packed.adam.step, packed.config) == (single.epoch, single.adam.step, single.config)
    pairs = [
        (packed.weights, single.weights),
        (packed.adam.exp_avg, single.adam.exp_avg),
        (packed.adam.exp_avg_sq, single.adam.exp_avg_sq),
    ]
    for ours, theirs in pairs:
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert ours[name].shape == theirs[name].shape
            assert (ours[name] - theirs[name]).abs().max() < TOLERANCE, name


def assert_packed_equals_alone(images: tuple[Tensor, Tensor], first: TrialConfig) -> None:
    """The trial and its neighbours of other widths, betas, noise factors, dropouts, free bits and warm-ups."""
    trials = [first, *like(first, NEIGHBOURS)]
    pack = a_pack(images, first)
    slots = [pack.join(trial) for trial in trials]
    histories = [pack.epoch(slots) for _ in range(EPOCHS)]
    for slot, trial in zip(slots, trials, strict=True):
        metrics, state = alone(images, trial)
        assert_same_metrics([epoch[slot] for epoch in histories], metrics)
        assert_same_state(pack.state(slot), state)


@pytest.mark.parametrize("layers", [1, *slow(2, 3)])
@pytest.mark.parametrize("activation", ["relu", "softplus", *slow("tanh", "elu")])
def test_packed_trials_of_every_width_equal_the_same_trials_alone(
    images: tuple[Tensor, Tensor], activation: str, layers: int
) -> None:
    assert_packed_equals_alone(images, config(activation=activation, hidden_layers=layers))


@pytest.mark.parametrize("changes", [TOGETHER[0], *slow(*FEATURES, *TOGETHER[1:])], ids=str)
def test_packed_trials_of_every_mode_likelihood_and_noise_equal_the_same_trials_alone(
    images: tuple[Tensor, Tensor], changes: dict[str, Any]
) -> None:
    assert_packed_equals_alone(images, config(**changes))


@pytest.mark.parametrize("layers", [1, *slow(3)])
def test_packed_trials_of_different_activations_equal_the_same_trials_alone(
    images: tuple[Tensor, Tensor], layers: int
) -> None:
    """Each slot in turn has each of them, first or not in the class's list."""
    trials = [
        config(seed, activation=name, hidden_layers=layers, hidden_units=9 + 20 * seed)
        for seed, name in enumerate(["softplus", "relu", "elu"])
    ]
    frame = Frame(hidden_units=(64,), latent_sizes=(8,), activations=("tanh", "softplus", "relu", "elu"))
    pack = Pack(*images, shape=ShapeClass.of(trials[0], frame), n_slots=3)
    early = pack.join(config(7, activation="tanh", hidden_layers=layers))
    pack.epoch([early])
    pack.leave(early)
    slots = [pack.join(trial) for trial in trials]
    assert early in slots
    histories = [pack.epoch(slots) for _ in range(EPOCHS)]
    for slot, trial in zip(slots, trials, strict=True):
        metrics, state = alone(images, trial)
        assert_same_metrics([epoch[slot] for epoch in histories], metrics)
        assert_same_state(pack.state(slot), state)


@pytest.mark.parametrize("changes", FEATURES, ids=str)
def test_what_the_tests_vary_does_change_the_training(images: tuple[Tensor, Tensor], changes: dict[str, Any]) -> None:
    """Were a feature off, alone would equal packed without it."""
    off = {name: DEFAULTS[name] for name in changes if name not in ("activation", "hidden_layers", "beta")}
    plain, _ = alone(images, config(**{**changes, **off}), 2)
    varied, _ = alone(images, config(**changes), 2)
    assert varied[-1].train_distortion != pytest.approx(plain[-1].train_distortion, abs=1e-6)


@pytest.mark.parametrize(
    "changes", [*({"activation": name} for name in ACTIVATIONS), *slow(*FEATURES[:5], *TOGETHER)], ids=str
)
def test_padded_entries_stay_exactly_zero(images: tuple[Tensor, Tensor], changes: dict[str, Any]) -> None:
    one = config(**{"hidden_layers": 2, **changes})
    pack = a_pack(images, one, n_slots=2)
    slot = pack.join(one)
    for _ in range(EPOCHS):
        pack.epoch([slot])
    shapes = {name: tuple(weight.shape) for name, weight in pack.state(slot).weights.items()}
    stacks = [dict(pack.stack.network.named_parameters())]
    if isinstance(pack.stack.adam, StackedAdam):
        stacks += [pack.stack.adam.exp_avg, pack.stack.adam.exp_avg_sq]
    assert any(stacks[0][name].shape[1:] != shapes[name] for name in shapes)  # something is padded
    for stack in stacks:
        for name, shape in shapes.items():
            padded = stack[name][slot].detach().clone()
            assert padded[tuple(slice(0, size) for size in shape)].any()
            padded[tuple(slice(0, size) for size in shape)] = 0
            assert not padded.any(), name


@pytest.mark.parametrize("changes", [TOGETHER[0], *slow({}, *TOGETHER[1:])], ids=str)
def test_neighbours_may_join_leave_pause_and_diverge(images: tuple[Tensor, Tensor], changes: dict[str, Any]) -> None:
    one = config(**{"activation": "tanh", **changes})
    early, late, diverging = like(one, [*NEIGHBOURS[:2], config(9, learning_rate=1.0, beta=1000.0, dropout=0.5)])
    pack = a_pack(images, one, n_slots=3)
    before, slot = pack.join(early), pack.join(one)
    metrics = [pack.epoch([before, slot])[slot] for _ in range(2)]
    metrics.append(pack.epoch([slot])[slot])  # the neighbour pauses
    pack.leave(before)
    metrics.append(pack.epoch([slot])[slot])  # an empty slot beside it
    bad = pack.join(diverging)
    poisoned = "decoder.0" if one.mode == "decoder_only" else "mean"
    for kind in ("weight", "bias"):
        dict(pack.stack.network.named_parameters())[f"{poisoned}.{kind}"].data[bad].fill_(math.nan)
    metrics += [pack.epoch([bad, slot])[slot] for _ in range(2)]
    assert not pack.epoch([bad])[bad].is_finite
    pack.leave(bad)
    assert pack.join(late) == bad  # the slot of the diverged one
    last = pack.join(early)
    while len(metrics) < EPOCHS:
        metrics.append(pack.epoch([slot, bad, last])[slot])
    expected, state = alone(images, one)
    assert_same_metrics(metrics, expected)
    assert_same_state(pack.state(slot), state)


@pytest.mark.parametrize("changes", [TOGETHER[0], *slow({}, *TOGETHER[1:])], ids=str)
def test_a_trial_that_takes_the_slot_of_a_diverged_one_is_clean(
    images: tuple[Tensor, Tensor], changes: dict[str, Any]
) -> None:
    one = config(**{"activation": "softplus", "hidden_units": 5, "latent_size": 2, **changes})
    pack = a_pack(images, one, n_slots=2)
    bad = pack.join(*like(one, [config(7, hidden_units=64, latent_size=16, dropout=0.9, free_bits=1.0)]))
    for parameter in pack.stack.network.parameters():
        parameter.data[bad].fill_(math.nan)
    pack.epoch([bad])
    pack.leave(bad)
    slot = pack.join(one)
    assert slot == bad
    metrics, state = alone(images, one)
    assert_same_metrics([pack.epoch([slot])[slot] for _ in range(EPOCHS)], metrics)
    assert_same_state(pack.state(slot), state)


@pytest.mark.parametrize("changes", [TOGETHER[0], *slow({}, *TOGETHER[1:])], ids=str)
def test_a_paused_trial_does_not_move(images: tuple[Tensor, Tensor], changes: dict[str, Any]) -> None:
    one = config(**changes)
    other = like(one, NEIGHBOURS)[0]
    pack = a_pack(images, one)
    paused, moving = pack.join(one), pack.join(other)
    pack.epoch([paused, moving])
    before = pack.state(paused)
    pack.epoch([moving])
    after = pack.state(paused)
    for name in before.weights:
        assert torch.equal(before.weights[name], after.weights[name])
        assert torch.equal(before.adam.exp_avg[name], after.adam.exp_avg[name])
        assert torch.equal(before.adam.exp_avg_sq[name], after.adam.exp_avg_sq[name])
    assert (before.epoch, before.adam.step) == (after.epoch, after.adam.step)


@pytest.mark.parametrize(
    "changes",
    [TOGETHER[0], *slow({}, {"activation": "softplus"}, *(FEATURES[i] for i in (0, 1, 4, -1)), *TOGETHER[1:])],
    ids=str,
)
def test_a_trial_moves_from_a_pack_to_alone_and_back_through_checkpoints(
    images: tuple[Tensor, Tensor], changes: dict[str, Any]
) -> None:
    one = config(**changes)
    neighbours = like(one, NEIGHBOURS)
    metrics: list[EpochMetrics] = []
    state: TrialState | None = None
    for stage in range(5):
        packed = stage % 2 == 0
        pack = a_pack(images, one) if packed else Pack(*images)
        others = [pack.join(neighbour) for neighbour in neighbours[: stage // 2]] if packed else []
        slot = pack.join(one, state)
        metrics += [pack.epoch([slot, *others])[slot] for _ in range(2)]
        content = pack_checkpoint(pack.state(slot), Description(one, "digits", (6, 6), pack.state(slot).epoch))
        state, _ = unpack_checkpoint(content, "the test")
    expected, final = alone(images, one)
    assert_same_metrics(metrics, expected)
    assert state is not None
    assert_same_state(state, final)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_order_of_joining_pausing_and_leaving_changes_no_trial(data: st.DataObject) -> None:
    draw = torch.Generator().manual_seed(2)
    images = tuple(torch.randint(0, 256, (n, 9), dtype=torch.uint8, generator=draw) for n in (40, 10))
    widths = data.draw(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 6)), min_size=2, max_size=5))
    of_class = data.draw(st.sampled_from([{}, *FEATURES, *TOGETHER]))
    own = {"noise_factor": st.floats(0, 1), "free_bits": st.floats(0, 0.1), "kl_warmup_epochs": st.integers(0, 5)}
    trials = [
        config(seed, **{**of_class, **data.draw(st.fixed_dictionaries(own))}).model_copy(
            update={"hidden_units": h, "latent_size": z}
        )
        for seed, (h, z) in enumerate(widths)
    ]
    pack = a_pack(images, trials[0], n_slots=3)  # type: ignore[arg-type]
    waiting, slots = list(range(len(trials))), dict[int, int]()
    histories: dict[int, list[EpochMetrics]] = {index: [] for index in waiting}
    for _ in range(12):
        if waiting and pack.free_slots and data.draw(st.booleans()):
            index = waiting.pop()
            slots[index] = pack.join(trials[index])
        running = [index for index in slots if data.draw(st.booleans())]
        if running:
            results = pack.epoch([slots[index] for index in running])
            for index in running:
                histories[index].append(results[slots[index]])
        if slots and data.draw(st.integers(0, 3)) == 0:
            pack.leave(slots.pop(data.draw(st.sampled_from(sorted(slots)))))
    for index, history in histories.items():
        if history:
            assert_same_metrics(history, alone(images, trials[index], len(history))[0])  # type: ignore[arg-type]


@pytest.mark.parametrize("learning_rates", [[1e-3, 1e-1, 3e-4], [1.0]])
@pytest.mark.parametrize("kind", [RowAdam, StackedAdam])
def test_the_adam_of_a_stack_equals_torchs_for_each_trial(
    kind: type[RowAdam] | type[StackedAdam], learning_rates: list[float]
) -> None:
    draw = torch.Generator().manual_seed(3)
    k = len(learning_rates)
    stack = {"w": torch.nn.Parameter(torch.randn(k, 4, 5, dtype=torch.float64, generator=draw))}
    plain = [torch.nn.Parameter(stack["w"].detach()[i].clone()) for i in range(k)]
    theirs = [torch.optim.Adam([plain[i]], lr=rate) for i, rate in enumerate(learning_rates)]
    ours = kind(stack)
    for slot, rate in enumerate(learning_rates):
        ours.place(slot, rate, AdamState.initial({"w": plain[slot].detach()}))
    for step in range(250):
        active = [slot for slot in range(k) if (step + slot) % (slot + 2)]  # each pauses at other times
        gradient = torch.randn(k, 4, 5, dtype=torch.float64, generator=draw)
        stack["w"].grad = gradient.clone()
        ours.activate(active)
        ours.step()
        for slot in active:
            plain[slot].grad = gradient[slot].clone()
            theirs[slot].step()
    for slot in range(k):
        assert (stack["w"][slot] - plain[slot]).abs().max() < 1e-12
