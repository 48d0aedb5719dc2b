"""vae/storage/checkpoint.py."""

import contextlib
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vae.config import Mode, TrialConfig
from vae.errors import CheckpointError
from vae.model.metrics import EpochMetrics, Terms
from vae.model.network import initial_weights
from vae.storage.checkpoint import (
    FORMAT,
    MODEL_FILE,
    Description,
    TrialState,
    load_model,
    pack_checkpoint,
    pack_model,
    unpack_checkpoint,
    unpack_model,
)
from vae.training.adam import AdamState

CONFIG = TrialConfig(latent_size=2, hidden_units=3, learning_rate=1 / 3, seed=2**32 - 1)
HISTORY = [EpochMetrics.of(epoch, 1.0, Terms(1 / epoch, 0.1), Terms(2 / epoch, 0.2), None, 0.3) for epoch in (1, 2)]
DESCRIPTION = Description(CONFIG, "digits", (2, 3), 2, HISTORY)


def moved_state(config: TrialConfig = CONFIG) -> TrialState:
    draw = torch.Generator().manual_seed(0)
    weights = initial_weights(6, config)
    first = {name: torch.randn(weight.shape, generator=draw) for name, weight in weights.items()}
    second = {name: torch.rand(weight.shape, generator=draw) for name, weight in weights.items()}
    return TrialState(config, weights, AdamState(17, first, second), 2)


MODEL = pack_model(moved_state().weights, DESCRIPTION)
CHECKPOINT = pack_checkpoint(moved_state(), DESCRIPTION)
READERS: dict[str, tuple[Callable[[bytes, str], Any], bytes]] = {
    "model": (unpack_model, MODEL),
    "checkpoint": (unpack_checkpoint, CHECKPOINT),
}
each_reader = pytest.mark.parametrize("kind", READERS)


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def refused(kind: str, content: bytes) -> str:
    """The one line with which the content is refused."""
    with pytest.raises(CheckpointError, match=r"^somewhere: .") as caught:
        READERS[kind][0](content, "somewhere")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edited(content: bytes, **metadata: Any) -> bytes:
    """The same tensors under a changed description; None takes a key away. The checksums stay as they are."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = {k: v for k, v in {**header["__metadata__"], **metadata}.items() if v is not None}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def rewritten(content: bytes, **metadata: Any) -> bytes:
    """As `edited`, and as a version wrote it that knew no checksum of the description."""
    return edited(content, description_crc32=None, **metadata)


def test_a_checkpoint_comes_back_to_the_bit() -> None:
    state, description = unpack_checkpoint(CHECKPOINT, "here")
    before = moved_state()
    assert (state.config, state.epoch, state.adam.step) == (CONFIG, 2, 17)
    assert equal(state.weights, before.weights)
    assert equal(state.adam.exp_avg, before.adam.exp_avg)
    assert equal(state.adam.exp_avg_sq, before.adam.exp_avg_sq)
    assert description == DESCRIPTION


def test_a_model_comes_back_ready_to_evaluate() -> None:
    model, description = unpack_model(MODEL, "here")
    assert not model.training
    assert equal(dict(model.state_dict()), moved_state().weights)
    assert description == DESCRIPTION


FAMILY = [
    CONFIG.model_copy(update={"mode": mode, "likelihood": likelihood, "variance": variance, "noise": noise})
    for mode in get_args(Mode)
    for likelihood, variance in (
        ("bernoulli", "per_pixel"),
        ("continuous_bernoulli", "per_pixel"),
        ("gaussian", "per_pixel"),
        ("gaussian", "shared"),
    )
    for noise in ("none", "salt_pepper")
]


def history_of(config: TrialConfig) -> list[EpochMetrics]:
    """Two epochs, with the numbers that the config's mode and noise have."""
    rate = 0.2 if config.mode == "vae" else None
    noisy = None if config.input_noise == "none" else Terms(3.5, rate)
    return [EpochMetrics.of(epoch, 1.0, Terms(1 / epoch, rate), Terms(2 / epoch, rate), noisy, 0.3) for epoch in (1, 2)]


def describe(config: TrialConfig) -> Description:
    return Description(config, "digits", (2, 3), 2, history_of(config))


@pytest.mark.parametrize("config", FAMILY, ids=lambda c: f"{c.mode}-{c.likelihood}-{c.variance}-{c.noise}")
def test_every_mode_and_likelihood_comes_back_to_the_bit(config: TrialConfig) -> None:
    before, description = moved_state(config), describe(config)
    state, described = unpack_checkpoint(pack_checkpoint(before, description), "here")
    assert (state.config, state.epoch, state.adam.step, described) == (config, 2, 17, description)
    assert equal(state.weights, before.weights)
    assert equal(state.adam.exp_avg, before.adam.exp_avg)
    assert equal(state.adam.exp_avg_sq, before.adam.exp_avg_sq)
    model, described = unpack_model(pack_model(before.weights, description), "here")
    assert equal(dict(model.state_dict()), before.weights)
    assert described == description
    assert (described.history[0].val_elbo is None) == (config.mode != "vae")


@pytest.mark.parametrize("config", FAMILY[::2], ids=lambda c: f"{c.mode}-{c.likelihood}-{c.variance}")
def test_every_mode_and_likelihood_cut_short_or_of_another_version_is_refused(config: TrialConfig) -> None:
    contents = {
        "model": pack_model(moved_state(config).weights, describe(config)),
        "checkpoint": pack_checkpoint(moved_state(config), describe(config)),
    }
    for kind, content in contents.items():
        for length in (0, 7, 100, len(content) // 2, len(content) - 1):
            assert "truncated" in refused(kind, content[:length])
        assert f"format 'vae-sweep/0'; this version reads {FORMAT!r}" in refused(
            kind, rewritten(content, format="vae-sweep/0")
        )


CONTRADICTIONS = [  # what the file was trained as, what its config is changed to say, the first tensor in the way
    ({}, {"mode": "autoencoder"}, "log_variance.bias is (2,), its config says no such"),
    ({}, {"mode": "decoder_only"}, "encoder.0.bias is (3,), its config says no such"),
    ({}, {"likelihood": "gaussian"}, "pixel_log_variance.bias is missing, its config says (6,)"),
    ({}, {"likelihood": "gaussian", "variance": "shared"}, "shared_log_variance is missing, its config says (1,)"),
    ({"mode": "autoencoder"}, {"mode": "vae"}, "log_variance.bias is missing, its config says (2,)"),
    ({"mode": "decoder_only"}, {"mode": "autoencoder"}, "encoder.0.bias is missing, its config says (3,)"),
    ({"mode": "decoder_only"}, {"latent_size": 5}, "decoder.0.weight is (3, 2), its config says (3, 5)"),
    (
        {"likelihood": "gaussian"},
        {"likelihood": "bernoulli"},
        "pixel_log_variance.bias is (6,), its config says no such",
    ),
    ({"likelihood": "gaussian"}, {"variance": "shared"}, "pixel_log_variance.bias is (6,), its config says no such"),
]


@each_reader
@pytest.mark.parametrize(("trained", "said", "fault"), CONTRADICTIONS, ids=str)
def test_a_config_of_another_mode_or_likelihood_than_the_tensors_is_refused(
    kind: str, trained: dict[str, Any], said: dict[str, Any], fault: str
) -> None:
    config = CONFIG.model_copy(update=trained)
    packed = {
        "model": lambda: pack_model(moved_state(config).weights, describe(config)),
        "checkpoint": lambda: pack_checkpoint(moved_state(config), describe(config)),
    }[kind]()
    claimed = config.model_copy(update=said).model_dump_json()
    assert refused(kind, rewritten(packed, config=claimed)) == f"somewhere: {fault}"


@each_reader
def test_a_file_of_before_there_were_modes_and_likelihoods_is_read_as_the_vae_it_is(kind: str) -> None:
    names = ("latent_size", "hidden_units", "hidden_layers", "activation", "learning_rate", "beta", "batch_size")
    before = CONFIG.model_dump(include={*names, "epochs", "precision", "seed"})
    read, content = READERS[kind]
    _, description = read(rewritten(content, config=json.dumps(before)), "here")
    assert description == DESCRIPTION


@each_reader
def test_a_choice_that_this_version_does_not_know_is_refused(kind: str) -> None:
    unknown = json.dumps({**CONFIG.model_dump(), "likelihood": "poisson"})
    assert "likelihood" in refused(kind, rewritten(READERS[kind][1], config=unknown))


def test_a_new_trial_starts_from_the_seeds_weights_and_an_adam_at_rest() -> None:
    state = TrialState.initial(6, CONFIG)
    assert equal(state.weights, initial_weights(6, CONFIG))
    assert (state.epoch, state.adam.step) == (0, 0)
    assert all(moment.abs().sum() == 0 for moment in (*state.adam.exp_avg.values(), *state.adam.exp_avg_sq.values()))


@each_reader
def test_cut_short_at_any_length_it_is_refused(kind: str) -> None:
    content = READERS[kind][1]
    for length in [*range(0, 200), *range(200, len(content), 37), len(content) - 1]:
        assert "truncated" in refused(kind, content[:length]) or length > 8


@each_reader
@given(extra=st.binary(min_size=1, max_size=50))
def test_with_anything_after_its_end_it_is_refused(kind: str, extra: bytes) -> None:
    refused(kind, READERS[kind][1] + extra)


@each_reader
@given(noise=st.binary(max_size=300))
def test_random_bytes_are_refused(kind: str, noise: bytes) -> None:
    refused(kind, noise)


@each_reader
@given(
    header=st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda v: st.dictionaries(st.just("__metadata__") | st.text(max_size=5), v) | st.lists(v),
        max_leaves=5,
    )
)
def test_any_json_for_a_header_is_refused(kind: str, header: Any) -> None:
    text = json.dumps(header).encode()
    refused(kind, struct.pack("<Q", len(text)) + text)


def described(read: Any) -> tuple[Any, dict[str, Tensor]]:
    """What a reader found: the description, with the step count of a checkpoint, and every tensor."""
    one, description = read
    if not isinstance(one, TrialState):
        return description, dict(one.state_dict())
    groups = {"weights": one.weights, "first": one.adam.exp_avg, "second": one.adam.exp_avg_sq}
    tensors = {f"{group} {name}": tensor for group, named in groups.items() for name, tensor in named.items()}
    return (description, one.adam.step), tensors


@each_reader
@given(data=st.data())
def test_a_byte_changed_anywhere_in_the_description_is_refused_or_changes_nothing(
    kind: str, data: st.DataObject
) -> None:
    """Nothing: such as a blank that becomes a line's end."""
    read, content = READERS[kind]
    (length,) = struct.unpack("<Q", content[:8])
    where = data.draw(st.integers(0, 8 + length - 1))
    changed = content[:where] + bytes([data.draw(st.integers(0, 255))]) + content[where + 1 :]
    with contextlib.suppress(CheckpointError):
        found, expected = described(read(changed, "somewhere")), described(read(content, "somewhere"))
        assert found[0] == expected[0]
        assert equal(found[1], expected[1])


EDITS = {
    "config": CONFIG.model_copy(update={"beta": 2.0}).model_dump_json(),
    "dataset": "mnist",
    "image_shape": "[3, 2]",
    "epoch": "1",
    "history": json.dumps([HISTORY[0].as_dict(), {**HISTORY[1].as_dict(), "val_elbo": -1.0}]),
    "crc32": None,
}


@each_reader
@pytest.mark.parametrize("key", EDITS)
def test_an_edited_description_is_refused_although_it_makes_sense(kind: str, key: str) -> None:
    """Each would be read from a file of before there was a checksum of the description."""
    read, content = READERS[kind]
    read(rewritten(content, **{key: EDITS[key]}), "there")
    assert refused(kind, edited(content, **{key: EDITS[key]})) == (
        "somewhere: damaged: its description is not the one that was written (CRC-32)"
    )


def test_an_edited_count_of_adams_steps_is_refused() -> None:
    assert "its description" in refused("checkpoint", edited(CHECKPOINT, adam_step="18"))


@each_reader
@given(data=st.data())
def test_a_bit_changed_anywhere_in_the_numbers_is_refused(kind: str, data: st.DataObject) -> None:
    content = bytearray(READERS[kind][1])
    start = 8 + int.from_bytes(content[:8], "little")
    content[data.draw(st.integers(start, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert "CRC-32" in refused(kind, bytes(content))


@each_reader
@pytest.mark.parametrize("missing", [("crc32", "description_crc32"), ("description_crc32",)])
def test_a_file_of_before_there_was_a_checksum_is_read(kind: str, missing: tuple[str, ...]) -> None:
    read, content = READERS[kind]
    found, expected = described(read(edited(content, **dict.fromkeys(missing)), "there")), described(read(content, ""))
    assert found[0] == expected[0]
    assert equal(found[1], expected[1])


@each_reader
def test_another_format_version_is_refused_with_both_versions_named(kind: str) -> None:
    message = refused(kind, rewritten(READERS[kind][1], format="vae-sweep/999"))
    assert "'vae-sweep/999'" in message
    assert repr(FORMAT) in message


@each_reader
@pytest.mark.parametrize("key", ["format", "config", "dataset", "image_shape", "epoch", "history"])
def test_a_description_with_a_part_missing_is_refused(kind: str, key: str) -> None:
    assert key in refused(kind, rewritten(READERS[kind][1], **{key: None}))


BAD_VALUES = [
    ("config", "{}}"),
    ("config", '{"latent_size": 0}'),
    ("config", '{"unknown": 1}'),
    ("config", "[]"),
    ("image_shape", "[2]"),
    ("image_shape", "[-2, -3]"),
    ("image_shape", "[0, 3]"),
    ("image_shape", '["a", 3]'),
    ("image_shape", "[1000000000, 1000000000000]"),
    ("epoch", "two"),
    ("epoch", "-1"),
    ("history", "[1]"),
    ("history", '[{"epoch": 1}]'),
    ("history", "null"),
]


@each_reader
@pytest.mark.parametrize(("key", "value"), BAD_VALUES)
def test_a_description_that_makes_no_sense_is_refused(kind: str, key: str, value: str) -> None:
    refused(kind, rewritten(READERS[kind][1], **{key: value}))


EPOCH = HISTORY[1].as_dict()
BAD_EPOCHS = [
    ({"val_elbo": "-105.2"}, "val_elbo '-105.2' in the history, must be a finite number"),
    ({"val_elbo": float("nan")}, "val_elbo nan in the history, must be a finite number"),
    ({"val_rate": float("inf")}, "val_rate inf in the history, must be a finite number"),
    ({"val_noisy_elbo": [1.0]}, "val_noisy_elbo [1.0] in the history, must be a finite number"),
    ({"train_loss": True}, "train_loss True in the history, must be a finite number"),
    ({"train_distortion": None}, "train_distortion None in the history, must be a finite number"),
    ({"val_loss": 10**400}, "int too large"),
    ({"epoch_seconds": {}}, "epoch_seconds {} in the history, must be a finite number"),
    ({"epoch": 0}, "epoch 0 in the history"),
    ({"epoch": 2.0}, "epoch 2.0 in the history"),
    ({"epoch": "2"}, "epoch '2' in the history"),
    ({"epoch": True}, "epoch True in the history"),
    ({"wings": 2}, "wings"),
]


@each_reader
@pytest.mark.parametrize(("change", "fault"), BAD_EPOCHS, ids=str)
def test_an_epoch_with_anything_but_numbers_is_refused(kind: str, change: dict[str, Any], fault: str) -> None:
    """In a file of before there was a checksum of the description too."""
    assert fault in refused(kind, rewritten(READERS[kind][1], history=json.dumps([{**EPOCH, **change}])))


@each_reader
def test_a_number_that_the_trial_may_lack_is_none_and_a_whole_one_is_a_number(kind: str) -> None:
    history = json.dumps([{**EPOCH, "val_elbo": None, "val_loss": 3}])
    _, description = READERS[kind][0](rewritten(READERS[kind][1], history=history), "there")
    assert (description.history[0].val_elbo, description.history[0].val_loss) == (None, 3)


@each_reader
def test_a_description_that_nests_without_an_end_is_refused(kind: str) -> None:
    assert "damaged description" in refused(kind, rewritten(READERS[kind][1], history="[" * 100_000))


@pytest.mark.parametrize("step", [None, "-1", "many", "1.5"])
def test_a_checkpoint_without_a_count_of_adams_steps_is_refused(step: str | None) -> None:
    assert "Adam step" in refused("checkpoint", rewritten(CHECKPOINT, adam_step=step))


@each_reader
@pytest.mark.parametrize("change", [{"latent_size": 4}, {"hidden_units": 30}, {"hidden_layers": 2}])
def test_tensors_that_do_not_fit_the_config_are_refused(kind: str, change: dict[str, int]) -> None:
    assert "its config says" in refused(
        kind, rewritten(READERS[kind][1], config=CONFIG.model_copy(update=change).model_dump_json())
    )


@each_reader
def test_images_of_another_size_are_refused(kind: str) -> None:
    assert "encoder.0.weight is (3, 6), its config says (3, 784)" in refused(
        kind, rewritten(READERS[kind][1], image_shape="[28, 28]")
    )


def test_a_missing_or_a_strange_tensor_is_refused() -> None:
    weights = moved_state().weights
    less = {name: weight for name, weight in weights.items() if name != "mean.bias"}
    assert "mean.bias is missing" in refused("model", pack_model(less, DESCRIPTION))
    more = {**weights, "strange": torch.zeros(1)}
    assert "strange is (1,), its config says no such" in refused("model", pack_model(more, DESCRIPTION))


def test_a_checkpoint_with_a_strange_group_or_no_moments_is_refused() -> None:
    tensors = safetensors.torch.load(CHECKPOINT)
    metadata = {**DESCRIPTION.as_metadata(), "adam_step": "17"}
    refused("checkpoint", safetensors.torch.save({**tensors, "strange/x": torch.zeros(1)}, metadata))
    no_moments = {key: tensor for key, tensor in tensors.items() if key.startswith("weights/")}
    refused("checkpoint", safetensors.torch.save(no_moments, metadata))


@each_reader
def test_integers_for_weights_are_refused(kind: str) -> None:
    tensors = {name: tensor.int() for name, tensor in safetensors.torch.load(READERS[kind][1]).items()}
    metadata = {**DESCRIPTION.as_metadata(), "adam_step": "17"}
    assert "int32" in refused(kind, safetensors.torch.save(tensors, metadata))


def test_a_float64_trials_model_comes_back_in_float64_to_the_bit() -> None:
    config = CONFIG.model_copy(update={"precision": "float64"})
    weights = {name: weight.double() * 0.1 for name, weight in moved_state().weights.items()}
    assert not any(torch.equal(weight.float().double(), weight) for name, weight in weights.items())
    model, _ = unpack_model(pack_model(weights, describe(config)), "here")
    assert equal(dict(model.state_dict()), weights)


@pytest.mark.parametrize(("precision", "of_config"), [("float64", "float64"), ("bf16", "float32")])
def test_weights_of_another_type_than_the_config_says_are_refused(precision: str, of_config: str) -> None:
    config = CONFIG.model_copy(update={"precision": precision})
    other = {"float64": torch.float32, "float32": torch.bfloat16}[of_config]
    weights = {name: weight.to(other) for name, weight in moved_state().weights.items()}
    assert refused("model", pack_model(weights, describe(config))) == (
        f"somewhere: decoder.0.bias is of {other}, its config says torch.{of_config}"
    )


def test_a_model_file_is_no_checkpoint_and_a_checkpoint_no_model_file() -> None:
    refused("checkpoint", MODEL)
    refused("model", CHECKPOINT)


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@each_reader
def test_a_pickle_is_refused_and_never_unpickled(kind: str, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()  # the trap works
    sprung.unlink()
    refused(kind, pickle.dumps(Trap(sprung)))
    torch.save(Trap(sprung), tmp_path / "saved.pt")
    refused(kind, (tmp_path / "saved.pt").read_bytes())
    assert not sprung.exists()


def test_load_model_names_the_file_it_misses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(CheckpointError, match=f"{folder.name}/{MODEL_FILE}: no such file"):
            load_model(folder)


def test_load_model_names_the_file_that_is_damaged(tmp_path: Path) -> None:
    (tmp_path / MODEL_FILE).write_bytes(MODEL[:-5])
    with pytest.raises(CheckpointError, match=f"{tmp_path.name}/{MODEL_FILE}: truncated or damaged"):
        load_model(tmp_path)
    (tmp_path / MODEL_FILE).write_bytes(MODEL)
    assert load_model(tmp_path)[1] == DESCRIPTION
