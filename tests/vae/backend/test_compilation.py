"""Many shape classes compile, in one process."""

from collections.abc import Iterator

import pytest
import torch

from vae.backend.compilation import compiled
from vae.config import TrialConfig
from vae.model.shape_class import ShapeClass
from vae.training.pack import Pack

N_CLASSES = 10  # torch's own limit is 8


@pytest.fixture(autouse=True)
def as_in_a_new_process() -> Iterator[None]:
    """With torch's own limits and nothing compiled yet."""
    config = torch._dynamo.config
    before = config.recompile_limit, config.accumulated_recompile_limit
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
    config.recompile_limit, config.accumulated_recompile_limit = before


@pytest.mark.slow
def test_more_shape_classes_compile_than_torch_allows_by_itself() -> None:
    """Traced without the code generator, which a machine without a GPU need not have."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 16), dtype=torch.uint8, generator=draw)
    for number in range(N_CLASSES):
        config = TrialConfig(hidden_units=64 * (number + 1), latent_size=2, batch_size=8, precision="float64")
        pack = Pack(images, images, shape=ShapeClass.of(config), n_slots=2)
        pack.epoch([pack.join(config)])
        loop = pack.stack.loop
        batch = loop.order[:, :8], loop.noise[:, :8], torch.tensor(8)
        plain, ours = loop.losses(*batch), compiled(loop.losses, backend="aot_eager")(*batch)
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
