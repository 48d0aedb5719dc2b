"""vae/training/adam.py, both of them, each with a stack of one trial."""

import pytest
import torch
from torch import Tensor, nn

from vae.storage.state import AdamState
from vae.training.adam import Adam, RowAdam, StackedAdam

SHAPES = {"weight": (5, 3), "bias": (5,), "scale": ()}
Kind = type[RowAdam] | type[StackedAdam]
each_adam = pytest.mark.parametrize("kind", [RowAdam, StackedAdam])


def parameters(dtype: torch.dtype) -> dict[str, nn.Parameter]:
    """A stack of one trial, [1, ...] each."""
    draw = torch.Generator().manual_seed(0)
    return {name: nn.Parameter(torch.randn(1, *shape, generator=draw).to(dtype)) for name, shape in SHAPES.items()}


def plain(of: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: parameter.detach()[0].clone() for name, parameter in of.items()}


def gradients(step: int, of: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(100 + step)
    return {name: torch.randn(parameter.shape, generator=draw).to(parameter) for name, parameter in of.items()}


def give(of: dict[str, nn.Parameter], step: int) -> None:
    for name, gradient in gradients(step, of).items():
        of[name].grad = gradient


def placed(
    kind: Kind,
    of: dict[str, nn.Parameter],
    learning_rate: float,
    state: AdamState | None = None,
) -> Adam:
    adam = kind(of)
    adam.place(0, learning_rate, state or AdamState.initial(plain(of)))
    adam.activate([0])
    return adam


def steps(adam: Adam, of: dict[str, nn.Parameter], first: int, last: int) -> None:
    for step in range(first, last):
        give(of, step)
        adam.step()


TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-6}


@each_adam
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("learning_rate", [1e-3, 0.3])
def test_it_steps_as_torchs_default_adam_does(kind: Kind, dtype: torch.dtype, learning_rate: float) -> None:
    ours, theirs = parameters(dtype), parameters(dtype)
    steps(placed(kind, ours, learning_rate), ours, 0, 20)
    reference = torch.optim.Adam(theirs.values(), learning_rate, foreach=False, fused=False)
    for step in range(20):
        give(theirs, step)
        reference.step()
    tolerance = TOLERANCE[dtype]
    if kind is StackedAdam and dtype == torch.float32:
        tolerance = 1e-4  # its 1 - 0.999**steps is in float32 too, torch's in double
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=tolerance, atol=tolerance)


@each_adam
def test_it_steps_as_algorithm_1_of_the_paper_does(kind: Kind) -> None:
    """Kingma & Ba 2015, written out with its default betas and epsilon."""
    ours = parameters(torch.float64)
    theta = {name: parameter.detach().clone() for name, parameter in ours.items()}
    m = {name: torch.zeros_like(value) for name, value in theta.items()}
    v = {name: torch.zeros_like(value) for name, value in theta.items()}
    adam = placed(kind, ours, 0.01)
    for t in range(1, 8):
        for name, g in gradients(t, ours).items():
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.999 * v[name] + 0.001 * g * g
            theta[name] = theta[name] - 0.01 * (m[name] / (1 - 0.9**t)) / ((v[name] / (1 - 0.999**t)).sqrt() + 1e-8)
        steps(adam, ours, t, t + 1)
    state = adam.take(0, SHAPES)
    assert state.step == 7
    for name in ours:
        torch.testing.assert_close(ours[name].detach(), theta[name], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(state.exp_avg[name], m[name][0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(state.exp_avg_sq[name], v[name][0], rtol=1e-12, atol=1e-12)


@each_adam
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_one_that_goes_on_from_a_state_ends_bit_equal_to_one_never_stopped(kind: Kind, dtype: torch.dtype) -> None:
    straight, stopped = parameters(dtype), parameters(dtype)
    steps(placed(kind, straight, 0.01), straight, 0, 12)
    before = placed(kind, stopped, 0.01)
    steps(before, stopped, 0, 5)
    steps(placed(kind, stopped, 0.01, before.take(0, SHAPES)), stopped, 5, 12)
    for name in straight:
        assert torch.equal(straight[name], stopped[name])


@each_adam
def test_a_state_is_a_copy_that_later_steps_do_not_touch(kind: Kind) -> None:
    ours = parameters(torch.float32)
    adam = placed(kind, ours, 0.01)
    steps(adam, ours, 0, 3)
    state = adam.take(0, SHAPES)
    kept = {name: moment.clone() for name, moment in state.exp_avg.items()}
    steps(adam, ours, 3, 6)
    assert state.step == 3
    assert adam.take(0, SHAPES).step == 6
    assert all(torch.equal(state.exp_avg[name], kept[name]) for name in kept)
    assert not torch.equal(adam.take(0, SHAPES).exp_avg["weight"], kept["weight"])


@each_adam
def test_the_state_it_starts_from_is_not_changed(kind: Kind) -> None:
    ours = parameters(torch.float32)
    start = AdamState.initial(plain(ours))
    steps(placed(kind, ours, 0.01, start), ours, 0, 3)
    assert start.step == 0
    assert all(moment.abs().sum() == 0 for moment in (*start.exp_avg.values(), *start.exp_avg_sq.values()))


@each_adam
def test_a_step_leaves_no_gradient_to_add_to(kind: Kind) -> None:
    ours = parameters(torch.float32)
    adam = placed(kind, ours, 0.01)
    steps(adam, ours, 0, 1)
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in ours.values())
