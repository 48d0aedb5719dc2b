"""The words of an error where a GPU has no memory left."""

from tuning.workers.gpu_memory import out_of_memory
from vae.config import TrialConfig
from vae.model.shape_class import ShapeClass

SHAPE = ShapeClass.of(TrialConfig(hidden_units=500, latent_size=20, batch_size=256, hidden_layers=2))
GIB = 2**30


def test_it_names_the_configuration_and_the_pack_that_would_fit() -> None:
    assert out_of_memory(SHAPE, 32, GIB, 20 * GIB) == (
        "out of GPU memory: 32 at a time of batch_size 256, hidden_units up to 512, hidden_layers 2, "
        "latent_size up to 64 take about 32.0 GiB of 20.0 GiB; --pack 18 would fit"  # 0.9 x 20
    )


def test_it_says_where_not_even_one_fits() -> None:
    assert out_of_memory(SHAPE, 4, 30 * GIB, 20 * GIB).endswith(
        "take about 120.0 GiB of 20.0 GiB; not one fits: try a smaller batch_size or hidden_units"
    )


def test_it_says_where_the_gpu_is_shared_with_others() -> None:
    assert out_of_memory(SHAPE, 4, GIB, 20 * GIB).endswith("of 20.0 GiB; other processes use the rest")
