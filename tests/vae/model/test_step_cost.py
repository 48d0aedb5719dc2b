"""vae/model/step_cost.py: its bytes are those of the products of a real step, and the times those of issue 9."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vae.config import TrialConfig
from vae.model.shape_class import ShapeClass
from vae.model.step_cost import ADAM_NUMBERS, LAUNCH_SECONDS, step_bytes, step_seconds
from vae.training.pack import Pack

N_PIXELS, N_SLOTS = 36, 3


class CountedProducts(TorchDispatchMode):
    """Adds up the numbers that matrix products read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.__name__.partition(".")[0] in ("bmm", "baddbmm"):
            self.numbers += result.numel() + sum(factor.numel() for factor in args[-2:])
        return result


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hidden_layers": 3},
        {"mode": "autoencoder", "likelihood": "gaussian"},
        {"mode": "decoder_only", "likelihood": "gaussian", "variance": "shared"},
        {"precision": "float64", "hidden_units": 70},
    ],
    ids=str,
)
def test_the_bytes_of_the_model_are_those_counted_in_a_step(changes: dict[str, Any]) -> None:
    config = TrialConfig.model_validate({"hidden_units": 64, "latent_size": 8, "batch_size": 16, **changes})
    shape, images = ShapeClass.of(config), torch.zeros(16, N_PIXELS, dtype=torch.uint8)
    pack = Pack(images, images[:1], shape=shape, n_slots=N_SLOTS)
    pack.join(config)
    pack.stack.adam.activate([])
    with CountedProducts() as counted:
        pack.stack.train([0])
    n_parameters = sum(parameter.numel() for parameter in pack.stack.network.parameters()) / N_SLOTS
    number = 8 if config.precision == "float64" else 4
    image = 16 * N_PIXELS * (1 + number)
    expected = number * (counted.numbers / N_SLOTS + ADAM_NUMBERS * n_parameters) + image
    assert step_bytes(shape, N_PIXELS) == pytest.approx(expected, rel=0.01)


def test_a_lane_of_the_textbook_vae_moves_the_bytes_that_the_roofline_says() -> None:
    """Issue 9: 30.8 MB a step of 784-400-20, of which Adam is 18.3; 430 steps at 4.1 TB/s are 310 trial-epochs/s."""
    alone = ShapeClass.alone(TrialConfig(hidden_units=400, latent_size=20))
    assert step_bytes(alone, 784) == pytest.approx(30.8e6, rel=0.02)
    assert ADAM_NUMBERS * 4 * alone.config.n_parameters(784) == pytest.approx(18.3e6, rel=0.01)
    assert 64 / (430 * step_seconds(alone, 64, 784)) == pytest.approx(310, rel=0.02)


WIDTHS = range(64, 513, 64)  # of beta_study's lanes, equally many of each
TABLE = {  # issue 9: microseconds a step of all lanes, the classes in turns
    (32, (512,)): 309,
    (32, (256, 512)): 232,
    (32, (64, 128, 256, 512)): 305,
    (64, (512,)): 618,
    (64, (256, 512)): 464,
    (64, (64, 128, 256, 512)): 487,
    (16, (512,)): 155,
    (16, (256, 512)): 127,
    (16, (64, 128, 256, 512)): 227,
}


@pytest.mark.parametrize(("n_lanes", "widths"), TABLE, ids=str)
def test_the_times_of_a_step_are_those_of_the_issues_table(n_lanes: int, widths: tuple[int, ...]) -> None:
    seconds = 0.0
    for narrower, width in zip((0, *widths), widths, strict=False):
        share = sum(narrower < units <= width for units in WIDTHS) / len(WIDTHS)
        shape = ShapeClass.alone(TrialConfig(hidden_units=width, latent_size=40))
        seconds += step_seconds(shape, share * n_lanes, 784)
    assert 1e6 * seconds == pytest.approx(TABLE[n_lanes, widths], rel=0.04)


def test_a_step_takes_no_less_than_its_launches_and_nothing_without_trials() -> None:
    shape = ShapeClass.alone(TrialConfig(hidden_units=16))
    assert step_seconds(shape, 1, 784) == LAUNCH_SECONDS
    assert step_seconds(shape, 0, 784) == 0
