"""vae/model/inputs.py: scaled, binarised, corrupted, by the image and by nothing around it."""

import math
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.material.splitmix import uniform
from vae.config import Binarize, Noise
from vae.model import inputs

DOUBLE = torch.float64
D = 50  # pixels
N = 4_000  # images; 200,000 pixels


def grey(value: int, n: int = N) -> Tensor:
    return torch.full((n, D), value, dtype=torch.uint8)


def pictures(n: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (n, D), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def target(pixels: Tensor, binarize: Binarize, key: int = 3, images: Tensor | None = None) -> Tensor:
    places = torch.arange(len(pixels)) if images is None else images
    return inputs.target(pixels, binarize, torch.tensor(key), places, DOUBLE)


def corrupted(x: Tensor, noise: Noise, factor: float, key: int = 3, images: Tensor | None = None) -> Tensor:
    places = torch.arange(len(x)) if images is None else images
    return inputs.corrupted(x, noise, torch.tensor(factor, dtype=x.dtype), torch.tensor(key), places)


def test_grey_values_become_numbers_between_0_and_1() -> None:
    assert inputs.as_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == [0.0, pytest.approx(0.2), 1.0]
    assert inputs.as_float(torch.tensor([51], dtype=torch.uint8), torch.float64).item() == 51 / 255


def test_without_binarisation_the_target_is_the_grey_value() -> None:
    pixels = pictures(5)
    assert torch.equal(target(pixels, "none"), pixels.double() / 255)


def test_the_threshold_is_one_half() -> None:
    """127 / 255 is below one half, 128 / 255 above."""
    pixels = torch.tensor([[0, 1, 127, 128, 254, 255]], dtype=torch.uint8)
    assert target(pixels, "threshold").tolist() == [[0, 0, 0, 1, 1, 1]]


def test_a_stochastic_pixel_is_0_or_1_and_black_and_white_stay_so() -> None:
    assert set(target(pictures(50), "stochastic").unique().tolist()) == {0.0, 1.0}
    assert not target(grey(0), "stochastic").any()
    assert target(grey(255), "stochastic").all()


@pytest.mark.parametrize("value", [1, 51, 128, 250])
def test_the_mean_of_stochastic_pixels_is_the_grey_value(value: int) -> None:
    """Of n draws a share p has standard deviation sqrt(p (1 - p) / n)."""
    p = value / 255
    share = target(grey(value), "stochastic").mean().item()
    assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / (N * D))


def test_a_stochastic_pixel_is_1_where_the_draw_of_its_place_is_below_its_grey_value() -> None:
    pixels, key = pictures(4), 2**61 + 5
    images = torch.tensor([9, 0, 54_999, 3])
    found = target(pixels, "stochastic", key, images)
    for row, image in enumerate(images.tolist()):
        for pixel in range(D):
            assert found[row, pixel] == (uniform(key, image * D + pixel) < pixels[row, pixel].item() / 255)


@pytest.mark.parametrize("factor", [0.05, 0.3, 0.9])
def test_salt_and_pepper_hits_the_share_of_pixels_it_is_told_to_and_each_kind_equally(factor: float) -> None:
    """Mid-grey pixels tell what was hit; the rest is as it was."""
    x = target(grey(128), "none")
    found = corrupted(x, "salt_pepper", factor)
    for value in (0.0, 1.0):
        share = (found == value).double().mean().item()
        assert abs(share - factor / 2) < 5 * math.sqrt(factor / 2 * (1 - factor / 2) / (N * D))
    assert torch.equal(found[(found != 0) & (found != 1)].unique(), x[0, :1])


@pytest.mark.parametrize("factor", [0.02, 0.05, 0.1])
def test_gaussian_noise_has_the_standard_deviation_it_is_told_to_have(factor: float) -> None:
    """From mid-grey the cuts are 5 of them away. Over n pixels its estimate varies by factor / sqrt(2 n)."""
    x = target(grey(128), "none")
    added = corrupted(x, "gaussian", factor) - x
    assert abs(added.std().item() - factor) < 5 * factor / math.sqrt(2 * N * D)
    assert abs(added.mean().item()) < 5 * factor / math.sqrt(N * D)


@pytest.mark.parametrize(("value", "end"), [(0, 0.0), (255, 1.0)])
def test_gaussian_noise_is_cut_at_black_and_at_white(value: int, end: float) -> None:
    """Half of the noise on a black pixel points below it."""
    found = corrupted(target(grey(value), "none"), "gaussian", 0.1)
    assert abs((found == end).double().mean().item() - 0.5) < 5 * 0.5 / math.sqrt(N * D)


@given(
    noise=st.sampled_from(get_args(Noise)),
    binarize=st.sampled_from(get_args(Binarize)),
    factor=st.floats(0, 1),
    key=st.integers(0, 2**63 - 1),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_what_a_model_sees_lies_between_0_and_1(
    noise: Noise, binarize: Binarize, factor: float, key: int, dtype: torch.dtype
) -> None:
    images = torch.arange(8)
    x = inputs.target(pictures(8), binarize, torch.tensor(key), images, dtype)
    seen = inputs.corrupted(x, noise, torch.tensor(factor, dtype=dtype), torch.tensor(key), images)
    assert x.dtype == seen.dtype == dtype
    assert seen.min() >= 0
    assert seen.max() <= 1


@pytest.mark.parametrize("noise", ["gaussian", "salt_pepper"])
def test_noise_of_factor_0_changes_nothing_and_no_noise_ignores_the_factor(noise: Noise) -> None:
    x = target(pictures(20), "none")
    assert torch.equal(corrupted(x, noise, 0.0), x)
    assert torch.equal(corrupted(x, "none", 1.0), x)
    assert not torch.equal(corrupted(x, noise, 0.3), x)


def seen(pixels: Tensor, way: str, key: int, images: Tensor, factor: float = 0.3) -> Tensor:
    """Binarised or corrupted, whatever draws a number per pixel."""
    if way == "stochastic":
        return target(pixels, "stochastic", key, images)
    return corrupted(target(pixels, "none"), way, factor, key, images)  # type: ignore[arg-type]


each_way = pytest.mark.parametrize("way", ["stochastic", "gaussian", "salt_pepper"])


@each_way
@given(data=st.data())
def test_what_happens_to_an_image_does_not_depend_on_its_batch(way: str, data: Any) -> None:
    pixels = pictures(30)
    whole = seen(pixels, way, 11, torch.arange(30))
    batch = torch.tensor(data.draw(st.lists(st.integers(0, 29), min_size=1, max_size=12)))
    assert torch.equal(seen(pixels[batch], way, 11, batch), whole[batch])


@each_way
def test_what_happens_to_an_image_does_not_depend_on_the_trials_beside_it(way: str) -> None:
    """Three trials at once, each with its own key, factor and order, in whatever slot."""
    pixels, keys, factors = pictures(30), torch.tensor([5, 6, 7]), torch.tensor([0.1, 0.9, 0.4], dtype=DOUBLE)
    order = torch.stack([torch.randperm(30, generator=torch.Generator().manual_seed(seed)) for seed in range(3)])
    for slots in ([0, 1, 2], [2, 0, 1]):
        key, factor, images = keys[slots], factors[slots], order[slots]
        if way == "stochastic":
            packed = inputs.target(pixels[images], "stochastic", key, images, DOUBLE)
        else:
            packed = inputs.corrupted(pixels[images].double() / 255, way, factor, key, images)  # type: ignore[arg-type]
        for slot, trial in enumerate(slots):
            alone = seen(pixels[order[trial]], way, int(keys[trial]), order[trial], factors[trial].item())
            assert torch.equal(packed[slot], alone)


@each_way
def test_another_key_and_another_place_draw_differently(way: str) -> None:
    """An image of mid-grey at two places, and at one place with two keys."""
    first, second = seen(grey(128, 2), way, 1, torch.arange(2))
    other = seen(grey(128, 2), way, 2, torch.arange(2))[0]
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)


@given(n_pixels=st.integers(1, 784), images=st.lists(st.integers(0, 70_000), min_size=2, max_size=2, unique=True))
def test_no_two_pixels_of_a_split_share_a_place(n_pixels: int, images: list[int]) -> None:
    places = inputs.pixel_places(torch.tensor(images), n_pixels)
    assert places.shape == (2, n_pixels)
    assert len(places.unique()) == 2 * n_pixels
