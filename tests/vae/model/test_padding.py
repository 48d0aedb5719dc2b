"""vae/model/padding.py: what goes into a slot comes out of it, with nothing but zeros around it."""

from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae.config import Likelihood, Mode, TrialConfig, Variance
from vae.model.network import initial_weights
from vae.model.padding import hidden_mask, padded_to, place, take
from vae.model.shape_class import ShapeClass


@st.composite
def plain_and_slot(draw: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """A plain tensor, and a slot that is as large or larger and full of something else."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    wider = [size + draw(st.integers(0, 3)) for size in shape]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    slot = torch.full(wider, draw(st.sampled_from([float("nan"), float("inf"), 7.0])), dtype=torch.float64)
    return torch.randn(shape, dtype=torch.float64, generator=generator), slot


@given(pair=plain_and_slot())
def test_what_is_placed_is_taken_again_and_the_rest_is_zero(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    plain, slot = pair
    place(slot, plain)
    assert torch.equal(take(slot, tuple(plain.shape)), plain)
    assert torch.isfinite(slot).all()
    assert slot.count_nonzero() == plain.count_nonzero()


@given(pair=plain_and_slot())
def test_padding_makes_a_new_tensor_and_leaves_the_other_alone(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    plain, slot = pair
    before = slot.clone()
    padded = padded_to(plain, slot.float())
    assert (padded.shape, padded.dtype, padded.requires_grad) == (slot.shape, torch.float32, False)
    assert torch.equal(take(padded, tuple(plain.shape)), plain.float())
    assert torch.equal(slot.nan_to_num(), before.nan_to_num())


@given(pair=plain_and_slot())
def test_what_is_taken_is_a_copy_of_its_own_memory(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    plain, slot = pair
    place(slot, plain)
    taken = take(slot, tuple(plain.shape))
    slot.fill_(9.0)
    assert torch.equal(taken, plain)
    assert taken.is_contiguous()
    assert taken.untyped_storage().nbytes() == plain.numel() * 8  # not the slot's, which a checkpoint would then hold


def test_placing_writes_in_place_and_converts_to_the_slots_kind() -> None:
    stack = torch.full((2, 3, 3), 5.0)
    place(stack[1], torch.ones(2, 2, dtype=torch.float64))
    assert stack.dtype == torch.float32
    assert stack[1].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert (stack[0] == 5).all()


CONFIGS = st.builds(
    TrialConfig,
    latent_size=st.integers(1, 9),
    hidden_units=st.integers(1, 20),
    hidden_layers=st.integers(1, 3),
    mode=st.sampled_from(get_args(Mode)),
    likelihood=st.sampled_from(get_args(Likelihood)),
    variance=st.sampled_from(get_args(Variance)),
)


@given(config=CONFIGS, n_pixels=st.integers(1, 30))
def test_the_initial_weights_are_as_many_numbers_as_the_config_says(config: TrialConfig, n_pixels: int) -> None:
    weights = initial_weights(n_pixels, config)
    assert sum(weight.numel() for weight in weights.values()) == config.n_parameters(n_pixels)


@pytest.mark.parametrize(
    ("activation", "masked"), [("relu", False), ("tanh", False), ("elu", False), ("softplus", True)]
)
def test_only_an_activation_that_is_not_zero_at_zero_needs_a_mask(activation: str, masked: bool) -> None:
    shape = ShapeClass.of(TrialConfig(activation=activation, hidden_units=40))  # type: ignore[arg-type]
    mask = hidden_mask(shape, 3, torch.device("cpu"), torch.float64)
    assert (mask is not None) == masked
    if mask is not None:
        assert (mask.shape, mask.dtype, mask.any().item()) == ((3, 1, 64), torch.float64, False)
