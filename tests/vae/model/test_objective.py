"""vae/model/objective.py."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from vae.model import likelihood, objective
from vae.model.network import Posterior


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
    torch.testing.assert_close(likelihood.bernoulli(values, x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("logit", [0.0, 50.0, -50.0, 1000.0, -1000.0])
@pytest.mark.parametrize("pixel", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_give_the_exact_distortion_and_gradient(logit: float, pixel: float, dtype: torch.dtype) -> None:
    """-log p = softplus(l) - x l, whose derivative is sigmoid(l) - x."""
    logits = torch.tensor([[logit]], dtype=dtype, requires_grad=True)
    distortion = likelihood.bernoulli(logits, torch.tensor([[pixel]], dtype=dtype))
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
    assert torch.autograd.gradcheck(lambda values: likelihood.bernoulli(values, x), logits)
    mean, log_variance = draws(*lead, 2, 4, seed=1).requires_grad_(), draws(*lead, 2, 4, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda m, v: objective.rate(Posterior(m, v)), (mean, log_variance))


def test_a_weight_per_image_reaches_the_gradient_of_that_image() -> None:
    """The backward pass is written by hand: each image's incoming gradient scales its own pixels."""
    x, weights = uniforms(3, 4), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    ours, theirs = draws(3, 4).requires_grad_(), draws(3, 4).requires_grad_()
    (likelihood.bernoulli(ours, x) * weights).sum().backward()
    (binary_cross_entropy_with_logits(theirs, x, reduction="none").sum(-1) * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lead", [(), (4,), (2, 3)])
def test_terms_sum_over_the_last_axis_and_keep_the_leading_ones(lead: tuple[int, ...]) -> None:
    posterior = Posterior(draws(*lead, 5, 2), draws(*lead, 5, 2, seed=1))
    logits, x = draws(*lead, 5, 7), uniforms(*lead, 5, 7)
    assert objective.kl_per_dimension(posterior).shape == (*lead, 5, 2)
    assert objective.rate(posterior).shape == (*lead, 5)
    assert likelihood.bernoulli(logits, x).shape == (*lead, 5)
    each = [likelihood.bernoulli(a, b) for a, b in zip(logits.reshape(-1, 5, 7), x.reshape(-1, 5, 7), strict=True)]
    torch.testing.assert_close(likelihood.bernoulli(logits, x).reshape(-1, 5), torch.stack(each))


def test_the_elbo_is_beta_free_and_the_loss_is_a_trials_own() -> None:
    distortion, kl = torch.full((2, 3), 80.0), torch.full((2, 3, 2), 10.0)  # three images, two latents
    assert objective.elbo(distortion, kl.sum(-1)).tolist() == [[-100.0] * 3] * 2
    betas, none = torch.tensor([1.0, 4.0]), torch.full((2,), objective.NO_FREE_BITS)
    assert objective.weighted_loss(distortion, kl, betas, none).tolist() == [100.0, 160.0]  # 80 + 20, 80 + 4 * 20
    assert objective.weighted_loss(distortion, kl, 0 * betas, none).tolist() == [80.0, 80.0]


def free_bits_loss(distortion: Tensor, kl: Tensor, beta: float, free_bits: float) -> Tensor:
    """As Kingma et al. 2016, section C.8, has it, latent by latent: D + beta * sum of max(free_bits, mean KL)."""
    loss = distortion.mean()
    for latent in range(kl.shape[-1]):
        own = kl[:, latent].mean()
        loss = loss + beta * (own if own.item() > free_bits else torch.tensor(free_bits, dtype=own.dtype))
    return loss


def test_a_latent_below_its_free_bits_gets_no_gradient_from_the_kl_and_one_above_all_of_it() -> None:
    """Batch means 0.1, 0.5 and 2, of images some of which lie on the other side of the limit."""
    kl = torch.tensor([[0.0, 0.1, 3.5], [0.2, 0.9, 0.5]], dtype=torch.float64, requires_grad=True)
    distortion = uniforms(2)
    beta, free_bits = (torch.tensor(value, dtype=torch.float64) for value in (3.0, 0.3))
    loss = objective.weighted_loss(distortion, kl, beta, free_bits)
    assert loss.item() == pytest.approx(distortion.mean().item() + 3 * (0.3 + 0.5 + 2.0))
    loss.backward()
    assert kl.grad is not None
    assert kl.grad.tolist() == [[0.0, 1.5, 1.5]] * 2  # beta / 2 images


@given(
    free_bits=st.floats(0.001, 3),
    beta=st.floats(0, 10),
    latents=st.integers(1, 5),
    batch=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_free_bits_have_the_loss_and_the_gradient_of_the_papers_formula(
    free_bits: float, beta: float, latents: int, batch: int, seed: int
) -> None:
    """Two trials at once, the second without free bits: neither is touched by the other."""
    mean, log_variance = draws(2, batch, latents, seed=seed), draws(2, batch, latents, seed=seed + 1)
    distortion = uniforms(2, batch, seed=seed)
    weight, limits = torch.tensor([[beta, beta], [free_bits, objective.NO_FREE_BITS]], dtype=torch.float64)
    ours, theirs = [(mean.clone().requires_grad_(), log_variance.clone().requires_grad_()) for _ in range(2)]
    loss = objective.weighted_loss(distortion, objective.kl_per_dimension(Posterior(*ours)), weight, limits)
    kl = objective.kl_per_dimension(Posterior(*theirs))
    plain = distortion[1].mean() + beta * kl[1].sum(-1).mean()
    expected = torch.stack([free_bits_loss(distortion[0], kl[0], beta, free_bits), plain])
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    loss.sum().backward()
    expected.sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-12, atol=1e-12)


def test_without_free_bits_even_a_latent_at_the_prior_has_its_whole_gradient() -> None:
    """KL 0 is a tie with free bits of 0, of which `maximum` would give half; its slope in the mean is the mean."""
    mean = torch.full((4, 1), 1e-9, dtype=torch.float64, requires_grad=True)
    kl = objective.kl_per_dimension(Posterior(mean, torch.zeros(4, 1, dtype=torch.float64)))
    none = torch.tensor(objective.NO_FREE_BITS, dtype=torch.float64)
    objective.weighted_loss(uniforms(4), kl, torch.tensor(1.0).double(), none).backward()
    assert mean.grad is not None
    assert mean.grad.flatten().tolist() == pytest.approx([0.25e-9] * 4)


def test_without_a_posterior_the_loss_is_the_distortion() -> None:
    distortion = uniforms(3, 5)
    weights, limits = torch.tensor([0.0, 1.0, 9.0]).double(), torch.tensor([-1.0, 0.5, 9.0]).double()
    loss = objective.weighted_loss(distortion, None, weights, limits)
    torch.testing.assert_close(loss, distortion.mean(-1))


@given(
    beta=st.floats(0, 1000),
    n_images=st.integers(1, 60_000),
    epochs=st.integers(1, 50),
    seen=st.integers(0, 6_000_000),
)
def test_the_weight_of_the_kl_grows_from_0_to_beta_in_a_straight_line_of_the_images_seen(
    beta: float, n_images: int, epochs: int, seen: int
) -> None:
    whole, position = divmod(seen, n_images)
    warmth, growth = whole / epochs, 1 / (epochs * n_images)
    found = objective.kl_weight(
        *(torch.tensor(value, dtype=torch.float64) for value in (beta, warmth, growth, position))
    )
    assert found.item() == pytest.approx(beta * min(1.0, seen / (epochs * n_images)), rel=1e-9)


def test_the_weight_is_0_at_the_start_beta_at_the_end_and_each_trials_own() -> None:
    """Two epochs of 100 images beside none, in their third batch of 10, and then after the end."""
    beta, growth = torch.tensor([4.0, 4.0]), torch.tensor([1 / 200, 0.0])
    rows = [(0.0, 0), (0.0, 20), (0.5, 0), (0.5, 50), (1.0, 0), (1.0, 99), (7.0, 0)]
    weights = [
        objective.kl_weight(beta, torch.tensor([warmth, 1.0]), growth, torch.tensor(position)).tolist()
        for warmth, position in rows
    ]
    assert [slow for slow, _ in weights] == pytest.approx([0.0, 0.4, 2.0, 3.0, 4.0, 4.0, 4.0])
    assert [at_once for _, at_once in weights] == [4.0] * len(rows)
