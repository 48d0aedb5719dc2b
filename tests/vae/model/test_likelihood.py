"""vae/model/likelihood.py: what is to be a density integrates to one, and agrees with torch.distributions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import ContinuousBernoulli, Normal
from torch.nn.functional import binary_cross_entropy_with_logits

from vae.model import likelihood
from vae.model.likelihood import MAX_LOG_VARIANCE, MIN_LOG_VARIANCE, Pixels

DOUBLE = torch.float64
NEAR_BORDERS = [0.0, 1e-9, 1e-4, -1e-4, 9.99e-4, 1.001e-3, -1.001e-3, 0.0999, 0.1001, -0.1001]
ANY_LOGIT = st.floats(-12, 12) | st.floats(-0.2, 0.2) | st.sampled_from(NEAR_BORDERS)


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def uniforms(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def nodes(low: float, high: float, n: int = 200) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre: points of the interval and their weights."""
    points, weights = np.polynomial.legendre.leggauss(n)
    half = (high - low) / 2
    return torch.from_numpy(low + half * (points + 1)), torch.from_numpy(half * weights)


def density(kind: str, pixels: Pixels, x: Tensor) -> Tensor:
    """p(x) of one pixel at each of the points x."""
    return torch.exp(-likelihood.distortion(kind, pixels, x.unsqueeze(-1)))  # type: ignore[arg-type]


# ---- bernoulli


def test_bernoulli_is_the_cross_entropy_and_its_mean_the_probability() -> None:
    logits, x = 3 * draws(2, 4, 7), uniforms(2, 4, 7)
    expected = binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    torch.testing.assert_close(likelihood.distortion("bernoulli", Pixels(logits), x), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(likelihood.means("bernoulli", Pixels(logits)), torch.sigmoid(logits))


# ---- continuous bernoulli


@given(logits=st.lists(ANY_LOGIT, min_size=1, max_size=20), seed=st.integers(0, 100))
def test_continuous_bernoulli_is_torchs(logits: list[float], seed: int) -> None:
    """torch clamps probabilities, so beyond logits of about 15 its own normaliser loses its digits."""
    values, x = torch.tensor([logits], dtype=DOUBLE), uniforms(1, len(logits), seed=seed)
    theirs = ContinuousBernoulli(logits=values)
    ours = likelihood.distortion("continuous_bernoulli", Pixels(values), x)
    torch.testing.assert_close(ours, -theirs.log_prob(x).sum(-1), rtol=1e-9, atol=1e-8)
    means = likelihood.means("continuous_bernoulli", Pixels(values))
    torch.testing.assert_close(means, theirs.mean, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("logit", [*NEAR_BORDERS, 3.0, -7.0, 50.0, -50.0])
def test_a_continuous_bernoulli_integrates_to_one_and_its_mean_to_its_mean(logit: float) -> None:
    x, weights = nodes(0, 1)
    pixels = Pixels(torch.tensor([[logit]], dtype=DOUBLE))
    p = density("continuous_bernoulli", pixels, x)
    assert (weights * p).sum().item() == pytest.approx(1, rel=1e-11)
    mean = likelihood.means("continuous_bernoulli", pixels).item()
    assert mean == pytest.approx((weights * x * p).sum().item(), rel=1e-8)


@pytest.mark.parametrize(("logit", "expected"), [(0.0, math.log(2)), (50.0, math.log(50)), (-800.0, math.log(800))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_log_normaliser_is_log_2_in_the_middle_and_the_logits_own_log_far_out(
    logit: float, expected: float, dtype: torch.dtype
) -> None:
    found = likelihood.log_normaliser(torch.tensor(logit, dtype=dtype)).item()
    assert found == pytest.approx(expected, rel=1e-6 if dtype == torch.float32 else 1e-14)


@pytest.mark.parametrize("logit", [50.0, -50.0, 800.0, -800.0])
def test_the_mean_of_an_extreme_pixel_stays_within_0_and_1_and_1_over_the_logit_from_its_end(logit: float) -> None:
    for dtype in (torch.float32, torch.float64):
        mean = likelihood.means("continuous_bernoulli", Pixels(torch.tensor([logit], dtype=dtype))).item()
        assert mean == pytest.approx((1 if logit > 0 else 0) - 1 / logit, rel=1e-5)


@given(logit=st.floats(-1000, 1000, width=32))
def test_means_of_any_logit_lie_within_0_and_1(logit: float) -> None:
    for kind in ("bernoulli", "continuous_bernoulli", "gaussian"):
        assert 0 <= likelihood.means(kind, Pixels(torch.tensor([logit]))).item() <= 1  # type: ignore[arg-type]


@pytest.mark.parametrize("border", [1e-3, -1e-3])
def test_the_gradient_of_the_normaliser_has_no_step_where_its_series_takes_over(border: float) -> None:
    """d log C / dl = 1 / l - 1 / sinh(l), which is l / 6 near 0."""
    logits = torch.tensor([border * 0.9999, border * 1.0001], dtype=DOUBLE, requires_grad=True)
    (gradient,) = torch.autograd.grad(likelihood.log_normaliser(logits).sum(), logits)
    torch.testing.assert_close(gradient, logits.detach() / 6, rtol=1e-6, atol=0)


def test_the_gradient_at_a_logit_of_0_is_finite() -> None:
    logits = torch.zeros(1, 3, dtype=DOUBLE, requires_grad=True)
    likelihood.distortion("continuous_bernoulli", Pixels(logits), torch.full((1, 3), 0.3, dtype=DOUBLE)).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[pytest.approx(0.2)] * 3]  # sigmoid(0) - 0.3


# ---- gaussian


@pytest.mark.parametrize("lead", [(), (3,)])
def test_gaussian_per_pixel_is_torchs_normal(lead: tuple[int, ...]) -> None:
    logits, log_variance, x = draws(*lead, 4, 7), draws(*lead, 4, 7, seed=1), uniforms(*lead, 4, 7)
    expected = -Normal(torch.sigmoid(logits), torch.exp(log_variance / 2)).log_prob(x).sum(-1)
    found = likelihood.distortion("gaussian", Pixels(logits, log_variance), x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(likelihood.means("gaussian", Pixels(logits, log_variance)), torch.sigmoid(logits))


@pytest.mark.parametrize("lead", [(), (3,)])
def test_a_shared_variance_counts_once_for_every_pixel(lead: tuple[int, ...]) -> None:
    logits, log_variance, x = draws(*lead, 4, 7), draws(*lead, 1, 1, seed=1), uniforms(*lead, 4, 7)
    expected = -Normal(torch.sigmoid(logits), torch.exp(log_variance / 2)).log_prob(x).sum(-1)
    found = likelihood.distortion("gaussian", Pixels(logits, log_variance), x)
    assert found.shape == (*lead, 4)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("logit", "log_variance"), [(0.0, -8.0), (2.0, 0.0), (-3.0, 4.0)])
def test_a_gaussian_integrates_to_one_over_the_line(logit: float, log_variance: float) -> None:
    mean, deviation = torch.sigmoid(torch.tensor(logit)).item(), math.exp(log_variance / 2)
    x, weights = nodes(mean - 10 * deviation, mean + 10 * deviation)
    pixels = Pixels(*(torch.tensor([[value]], dtype=DOUBLE) for value in (logit, log_variance)))
    assert (weights * density("gaussian", pixels, x)).sum().item() == pytest.approx(1, rel=1e-9)


@given(raw=st.floats(-1e4, 1e4, width=32), dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_a_log_variance_is_never_outside_its_limits(raw: float, dtype: torch.dtype) -> None:
    found = likelihood.clamped(torch.tensor(raw, dtype=dtype)).item()
    assert MIN_LOG_VARIANCE <= found <= MAX_LOG_VARIANCE


def test_between_its_limits_a_log_variance_is_nearly_what_it_was() -> None:
    """softplus(u) - u = log(1 + e^-u): 0.13 at two above the limit, 3e-4 at eight above it."""
    raw = torch.linspace(MIN_LOG_VARIANCE + 2, MAX_LOG_VARIANCE - 1e-3, 50, dtype=DOUBLE)
    found = likelihood.clamped(raw)
    torch.testing.assert_close(found - raw, torch.log1p(torch.exp(-(raw + 8))), rtol=1e-8, atol=1e-8)
    assert (found.diff() > 0).all()


@pytest.mark.parametrize("raw", [-8.0, -9.0, -20.0, -60.0])
def test_a_log_variance_that_has_come_too_low_has_a_gradient_to_leave(raw: float) -> None:
    value = torch.tensor(raw, requires_grad=True)
    likelihood.clamped(value).backward()
    assert value.grad is not None
    assert 0 < value.grad.item() <= 0.5


@pytest.mark.parametrize("lowest", [-30.0, -12.0, -8.0])
def test_a_gaussian_never_pays_more_than_its_narrowest_for_a_miss(lowest: float) -> None:
    """The worst pixel: a miss of 1 at log variance -8 costs half of e^8, less 3.1 for the narrowness."""
    log_variance = likelihood.clamped(torch.tensor([[lowest]], dtype=DOUBLE))
    worst = likelihood.distortion(
        "gaussian", Pixels(torch.full((1, 1), 50.0, dtype=DOUBLE), log_variance), 0 * log_variance
    )
    assert worst.item() <= 0.5 * (math.log(2 * math.pi) - 8 + math.exp(8)) + 1e-9


# ---- all of them


def case(kind: str, *lead: int) -> tuple[str, Tensor, Tensor | None, Tensor]:
    variance = {"gaussian": draws(*lead, 2, 5, seed=2), "shared": draws(*lead, 1, 1, seed=2)}.get(kind)
    return kind.replace("shared", "gaussian"), 3 * draws(*lead, 2, 5), variance, uniforms(*lead, 2, 5)


each_kind = pytest.mark.parametrize("kind", ["bernoulli", "continuous_bernoulli", "gaussian", "shared"])


@each_kind
@pytest.mark.parametrize("lead", [(), (3,)])
def test_the_gradients_match_finite_differences(kind: str, lead: tuple[int, ...]) -> None:
    name, logits, log_variance, x = case(kind, *lead)
    logits[..., 0, :3] = torch.tensor([0.0, 2e-3, -5e-4], dtype=DOUBLE)  # on both sides of the series' border
    free = [tensor.requires_grad_() for tensor in (logits, log_variance) if tensor is not None]
    assert torch.autograd.gradcheck(lambda *of: likelihood.distortion(name, Pixels(*of), x), free, atol=1e-6)  # type: ignore[arg-type]


@each_kind
def test_a_trial_of_a_stack_has_the_distortion_it_has_alone(kind: str) -> None:
    name, logits, log_variance, x = case(kind, 3)
    packed = likelihood.distortion(name, Pixels(logits, log_variance), x)  # type: ignore[arg-type]
    for k in range(3):
        own = Pixels(logits[k], None if log_variance is None else log_variance[k])
        torch.testing.assert_close(packed[k], likelihood.distortion(name, own, x[k]), rtol=1e-13, atol=1e-13)  # type: ignore[arg-type]


@each_kind
def test_what_was_computed_in_bf16_is_summed_in_the_precision_it_is_cast_to(kind: str) -> None:
    name, logits, log_variance, x = case(kind)
    half = Pixels(logits.bfloat16(), None if log_variance is None else log_variance.bfloat16())
    cast = half.to(torch.float32)
    assert cast.logits.dtype == torch.float32
    assert (cast.log_variance is None) == (log_variance is None)
    if cast.log_variance is not None and half.log_variance is not None:
        assert torch.equal(cast.log_variance, half.log_variance.float())
    found = likelihood.distortion(name, cast, x.float())  # type: ignore[arg-type]
    exact = Pixels(half.logits.double(), None if half.log_variance is None else half.log_variance.double())
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found.double(), likelihood.distortion(name, exact, x.float().double()), rtol=1e-5, atol=1e-5
    )  # type: ignore[arg-type]
