"""vae/objective.py."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from vae import objective
from vae.model import Posterior


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def uniforms(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(mean=st.floats(-30, 30), log_variance=st.floats(-15, 15))
def test_kl_is_the_one_torch_computes_between_two_normals(mean: float, log_variance: float) -> None:
    m, v = torch.tensor([mean], dtype=torch.float64), torch.tensor([log_variance], dtype=torch.float64)
    expected = kl_divergence(Normal(m, (v / 2).exp()), Normal(torch.zeros_like(m), torch.ones_like(m)))
    torch.testing.assert_close(objective.kl_per_dimension(Posterior(m, v)), expected, rtol=1e-9, atol=1e-9)


def test_kl_of_the_prior_with_itself_is_zero_and_a_shift_costs_half_its_square() -> None:
    zero = torch.zeros(1, dtype=torch.float64)
    assert objective.rate(Posterior(zero, zero)).item() == 0
    assert objective.rate(Posterior(zero + 3, zero)).item() == pytest.approx(4.5)
    narrow = Posterior(zero, zero - 2 * torch.log(torch.tensor(10.0, dtype=torch.float64)))  # std 0.1
    assert objective.rate(narrow).item() == pytest.approx(0.5 * (0.01 - 1) + 2.302585092994046)


def test_rate_agrees_with_a_monte_carlo_estimate() -> None:
    """E_q[log q - log p] over 400,000 draws; their standard error here is 0.003."""
    mean, log_variance = draws(1, 3, seed=1), draws(1, 3, seed=2)
    q, p = Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)
    z = mean + (log_variance / 2).exp() * draws(400_000, 3, seed=3)
    estimate = (q.log_prob(z) - p.log_prob(z)).sum(-1).mean().item()
    assert objective.rate(Posterior(mean, log_variance)).item() == pytest.approx(estimate, abs=0.015)


LOGITS = st.lists(
    st.floats(-1000, 1000) | st.sampled_from([0.0, 50.0, -50.0, 1000.0, -1000.0]), min_size=1, max_size=20
)


@given(logits=LOGITS, seed=st.integers(0, 100))
def test_distortion_is_torchs_binary_cross_entropy_summed_over_pixels(logits: list[float], seed: int) -> None:
    values = torch.tensor([logits], dtype=torch.float64)
    x = uniforms(1, len(logits), seed=seed)
    expected = binary_cross_entropy_with_logits(values, x, reduction="none").sum(-1)
    torch.testing.assert_close(objective.distortion(values, x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("logit", [0.0, 50.0, -50.0, 1000.0, -1000.0])
@pytest.mark.parametrize("pixel", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_give_the_exact_distortion_and_gradient(logit: float, pixel: float, dtype: torch.dtype) -> None:
    """-log p = softplus(l) - x l, whose derivative is sigmoid(l) - x."""
    logits = torch.tensor([[logit]], dtype=dtype, requires_grad=True)
    distortion = objective.distortion(logits, torch.tensor([[pixel]], dtype=dtype))
    distortion.sum().backward()
    exact = torch.tensor(logit, dtype=torch.float64)
    softplus = exact.clamp(min=0) + torch.log1p(torch.exp(-exact.abs()))
    assert distortion.item() == pytest.approx((softplus - pixel * exact).item(), rel=1e-6, abs=1e-6)
    assert logits.grad is not None
    assert logits.grad.item() == pytest.approx((torch.sigmoid(exact) - pixel).item(), abs=1e-7)


@pytest.mark.parametrize("lead", [(), (3,)])
def test_the_gradients_of_every_term_match_finite_differences(lead: tuple[int, ...]) -> None:
    x = uniforms(*lead, 2, 5)
    logits = (3 * draws(*lead, 2, 5)).requires_grad_()
    assert torch.autograd.gradcheck(lambda values: objective.distortion(values, x), logits)
    mean, log_variance = draws(*lead, 2, 4, seed=1).requires_grad_(), draws(*lead, 2, 4, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda m, v: objective.rate(Posterior(m, v)), (mean, log_variance))


def test_a_weight_per_image_reaches_the_gradient_of_that_image() -> None:
    """The backward pass is written by hand: each image's incoming gradient scales its own pixels."""
    x, weights = uniforms(3, 4), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    ours, theirs = draws(3, 4).requires_grad_(), draws(3, 4).requires_grad_()
    (objective.distortion(ours, x) * weights).sum().backward()
    (binary_cross_entropy_with_logits(theirs, x, reduction="none").sum(-1) * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lead", [(), (4,), (2, 3)])
def test_terms_sum_over_the_last_axis_and_keep_the_leading_ones(lead: tuple[int, ...]) -> None:
    posterior = Posterior(draws(*lead, 5, 2), draws(*lead, 5, 2, seed=1))
    logits, x = draws(*lead, 5, 7), uniforms(*lead, 5, 7)
    assert objective.kl_per_dimension(posterior).shape == (*lead, 5, 2)
    assert objective.rate(posterior).shape == (*lead, 5)
    assert objective.distortion(logits, x).shape == (*lead, 5)
    each = [objective.distortion(a, b) for a, b in zip(logits.reshape(-1, 5, 7), x.reshape(-1, 5, 7), strict=True)]
    torch.testing.assert_close(objective.distortion(logits, x).reshape(-1, 5), torch.stack(each))


def test_the_elbo_is_beta_free_and_the_loss_is_a_trials_own() -> None:
    distortion, rate = torch.tensor([[80.0], [80.0]]), torch.tensor([[20.0], [20.0]])
    assert objective.elbo(distortion, rate).tolist() == [[-100.0], [-100.0]]
    betas = torch.tensor([[1.0], [4.0]])
    assert objective.weighted_loss(distortion, rate, betas).tolist() == [[100.0], [160.0]]  # 80 + 20, 80 + 4 * 20
    assert objective.weighted_loss(distortion, rate, 0.0).tolist() == [[80.0], [80.0]]
