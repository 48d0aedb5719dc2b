"""The step's parts compile as whole graphs: what a GPU runs, here traced on the CPU without its code generator."""

import pytest
import torch

from vae import pack as pack_module
from vae.config import TrialConfig
from vae.optim import StackedAdam
from vae.pack import Pack
from vae.shape import ShapeClass


@pytest.fixture
def pack(monkeypatch: pytest.MonkeyPatch) -> Pack:
    monkeypatch.setattr(pack_module, "adam_for", lambda parameters, n_lead, device: StackedAdam(parameters))
    draw = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (n, 16), dtype=torch.uint8, generator=draw) for n in (40, 10)]
    config = TrialConfig(hidden_units=9, latent_size=3, batch_size=8, precision="float64", activation="softplus")
    pack = Pack(*images, shape=ShapeClass.of(config), n_slots=2)
    for seed in (0, 1):
        pack.join(config.model_copy(update={"seed": seed, "beta": 1.0 + seed}))
    pack.epoch([0, 1])  # fills order, noise and moments
    return pack


def test_loss_and_gradients_of_the_compiled_step_are_those_of_the_plain_one(pack: Pack) -> None:
    step = pack.step
    visited, noise = step.order[:, :8], step.noise[:, :8]
    numbers = []
    for losses in (step.losses, torch.compile(step.losses, fullgraph=True, dynamic=False, backend="aot_eager")):
        pack.stack.zero_grad()
        loss, terms = losses(visited, noise)
        loss.backward()
        numbers.append([loss, terms, *(parameter.grad.clone() for parameter in pack.stack.parameters())])
    for plain, compiled in zip(*numbers, strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-12, atol=1e-12)


def test_the_compiled_update_moves_the_active_trial_as_the_plain_one_does(pack: Pack) -> None:
    draw = torch.Generator().manual_seed(1)
    gradients = [torch.randn(p.shape, dtype=p.dtype, generator=draw) for p in pack.stack.parameters()]
    before, active, ends = pack.state(0), torch.tensor([True, False]), []
    other = pack.weights(1)
    for update in (pack.adam.step, torch.compile(pack.adam.step, fullgraph=True, dynamic=False, backend="aot_eager")):
        pack.leave(0)
        pack.join(before.config, before)
        for parameter, gradient in zip(pack.stack.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone()
        update(active)
        ends.append(pack.state(0))
    for name in before.weights:
        torch.testing.assert_close(ends[1].weights[name], ends[0].weights[name], rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(ends[1].adam.exp_avg_sq[name], ends[0].adam.exp_avg_sq[name], rtol=1e-13, atol=0)
        assert not torch.equal(ends[1].weights[name], before.weights[name])
        assert torch.equal(pack.weights(1)[name], other[name])


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_lower_precision_learns_as_the_exact_one_does(precision: str) -> None:
    """Noise of one seed against another is 0.2-0.5 nats of MNIST's 105: here the same share of the digits' 25."""
    from sklearn.datasets import load_digits

    pixels = torch.from_numpy((load_digits().data * (255 / 16)).round().astype("uint8"))
    ends = []
    for chosen in ("float64", precision):
        pack = Pack(pixels[:1500], pixels[1500:])
        config = TrialConfig(hidden_units=64, latent_size=8, learning_rate=3e-3, batch_size=64, precision=chosen)
        slot = pack.join(config)
        ends.append([pack.epoch([slot])[slot].val_elbo for _ in range(15)][-1])
    assert ends[1] == pytest.approx(ends[0], abs=0.25)


def test_the_weights_of_a_bf16_trial_stay_float32() -> None:
    pack = Pack(torch.zeros(8, 4, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.uint8))
    slot = pack.join(TrialConfig(hidden_units=3, latent_size=2, batch_size=4, precision="bf16"))
    pack.epoch([slot])
    state = pack.state(slot)
    tensors = [*state.weights.values(), *state.adam.exp_avg.values(), *state.adam.exp_avg_sq.values()]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
