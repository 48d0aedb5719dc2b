"""Packs whose steps are compiled, on a CPU: the numbers of trials alone, one compilation a class, no limit hit."""

import gc
import os
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from vae.backend.compilation import CACHE_VARIABLE, compiled
from vae.config import TrialConfig
from vae.model.shape_class import GROWTH, Frame, ShapeClass
from vae.training import loop as loop_module
from vae.training.adam import StackedAdam
from vae.training.pack import Pack

N_CLASSES = 10  # torch's own limit is 8
SWITCHES = (
    *("recompile_limit", "accumulated_recompile_limit"),
    *("force_parameter_static_shapes", "force_nn_module_property_static_shapes"),
)
needs_a_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="inductor needs a C++ compiler here"
)


@pytest.fixture(autouse=True)
def as_in_a_new_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """With torch's own limits, nothing compiled yet and nothing kept of earlier sweeps."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "inductor"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = {name: getattr(torch._dynamo.config, name) for name in SWITCHES}
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()
    for name, value in before.items():
        setattr(torch._dynamo.config, name, value)


def images(n: int = 20, n_pixels: int = 16) -> Tensor:
    return torch.randint(0, 256, (n, n_pixels), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))


def config(seed: int = 0, **changes: Any) -> TrialConfig:
    """Of 20 images: two full batches and a rest of 4."""
    small = {"hidden_units": 9, "latent_size": 2, "batch_size": 8, "epochs": 9, "precision": "float64"}
    return TrialConfig.model_validate({**small, "seed": seed, **changes})


def a_pack(one: TrialConfig, n_slots: int = 2, frame: Frame | None = None) -> Pack:
    return Pack(images(), images(7), shape=ShapeClass.of(one, frame), n_slots=n_slots, compiles=True)


def assert_as_alone(pack: Pack, trials: list[TrialConfig], n_epochs: int = 3) -> None:
    """The trials join the pack, which grows where it must, and have the numbers that they have alone."""
    slots = [pack.join(trial) for trial in trials]
    histories = [pack.epoch(slots) for _ in range(n_epochs)]
    assert pack.note == ""
    for slot, trial in zip(slots, trials, strict=True):
        alone = Pack(images(), images(7))
        alone.join(trial)
        for metrics in histories:
            expected = {**alone.epoch([0])[0].as_dict(), "epoch_seconds": 0}
            assert {**metrics[slot].as_dict(), "epoch_seconds": 0} == pytest.approx(expected, rel=1e-10)
        ours, theirs = pack.state(slot), alone.state(0)
        for name, weight in theirs.weights.items():
            assert (ours.weights[name] - weight).abs().max() < 1e-10, name
        assert ours.adam.step == theirs.adam.step


EVERYTHING = {
    "likelihood": "gaussian",
    "binarize": "stochastic",
    "noise": "salt_pepper",
    "dropout": 0.3,
    "kl_warmup_epochs": 2,
    "free_bits": 0.05,
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"free_bits": 0.05}, EVERYTHING, {"mode": "decoder_only"}], ids=str)
def test_the_rest_of_the_images_is_a_part_of_a_whole_batch_and_no_number_shows_it(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced, and run by torch's own kernels."""
    monkeypatch.setattr(loop_module, "BACKEND", "eager")
    trials = [config(seed, **changes, beta=1.0 + seed) for seed in range(3)]
    assert_as_alone(a_pack(trials[0], n_slots=3), trials)


def test_what_cannot_be_compiled_trains_uncompiled_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "BACKEND", "no such backend")
    pack = a_pack(config())
    slot, alone = pack.join(config()), Pack(images(), images(7))
    alone.join(config())
    with pytest.warns(UserWarning, match="trains uncompiled, and slower: .*no such backend"):
        metrics = pack.epoch([slot])[slot]
    assert pack.note.startswith("trains uncompiled, and slower: ")
    assert metrics.val_elbo == pytest.approx(alone.epoch([0])[0].val_elbo, rel=1e-10)
    assert pack.epoch([slot])[slot].val_elbo == pytest.approx(alone.epoch([0])[0].val_elbo, rel=1e-10)


@pytest.mark.parametrize("compiles", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_stack_that_another_replaces_frees_its_memory_at_once(
    compiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when the collector comes by, which it does not where memory is the GPU's."""
    monkeypatch.setattr(loop_module, "BACKEND", "eager")
    pack = Pack(images(), images(7), shape=ShapeClass.of(config()), n_slots=1, compiles=compiles)
    pack.epoch([pack.join(config())])
    gc.collect()
    gc.disable()
    try:
        old = [weakref.ref(tensor) for tensor in (*pack.stack.network.parameters(), pack.stack.loop.noise)]
        pack.join(config(1))
        assert pack.n_slots == 1 + GROWTH
        assert [tensor() for tensor in old] == [None] * len(old)
    finally:
        gc.enable()


@pytest.mark.slow
def test_more_shape_classes_compile_than_torch_allows_by_itself_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced without the code generator, which a machine without a GPU need not have."""
    monkeypatch.setattr(loop_module, "BACKEND", "aot_eager")
    for number in range(N_CLASSES):
        trials = [config(seed, hidden_units=64 * number + 9 + seed) for seed in range(2)]
        assert_as_alone(a_pack(trials[0]), trials, n_epochs=1)
        assert counters["stats"]["unique_graphs"] == 2 * (number + 1)  # the loss and Adam


@pytest.mark.slow
@needs_a_compiler
def test_several_classes_and_their_growth_run_as_generated_code_with_one_compilation_each() -> None:
    frame = Frame(hidden_units=(16, 40), latent_sizes=(8,), activations=("relu", "softplus"))
    for number, changes in enumerate([{"hidden_units": 16}, {"hidden_units": 30}, {"hidden_layers": 2}], start=1):
        trials = [config(seed, **changes, activation=("relu", "softplus")[seed % 2]) for seed in range(4)]
        assert_as_alone(a_pack(trials[0], frame=frame), trials)
        assert counters["stats"]["unique_graphs"] == 2 * number


@pytest.mark.slow
@needs_a_compiler
def test_the_generated_adam_moves_28_bytes_of_each_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    """As vae.model.step_cost counts. With the gradients zeroed in the same function it was 60 (2026-11-21)."""
    from torch._inductor.graph import GraphLowering

    counted: list[int] = []
    compile_to_module = GraphLowering.compile_to_module

    def counting(graph: Any) -> Any:
        module = compile_to_module(graph)
        counted.append(graph.count_bytes()[0])
        return module

    monkeypatch.setattr(GraphLowering, "compile_to_module", counting)
    parameters = {"weight": nn.Parameter(torch.randn(3, 64, 48)), "bias": nn.Parameter(torch.randn(3, 64))}
    adam = StackedAdam(parameters)
    adam.compile("inductor")
    for parameter in parameters.values():
        parameter.grad = torch.randn_like(parameter)
    adam.activate([0, 2])
    adam.step()
    n_parameters = sum(parameter.numel() for parameter in parameters.values())
    assert sum(counted) == pytest.approx(28 * n_parameters, rel=0.01)


def test_generated_code_is_kept_in_the_users_cache_unless_a_place_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named = os.environ[CACHE_VARIABLE]
    compiled(torch.sin)
    assert os.environ[CACHE_VARIABLE] == named
    monkeypatch.delenv(CACHE_VARIABLE)
    compiled(torch.sin)
    assert os.environ[CACHE_VARIABLE] == str(tmp_path / "cache" / "vae-sweep" / "inductor")
    assert Path(os.environ[CACHE_VARIABLE]).is_dir()


def test_where_no_cache_can_be_made_torch_keeps_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv(CACHE_VARIABLE)
    compiled(torch.sin)
    assert "vae-sweep" not in os.environ.get(CACHE_VARIABLE, "")
