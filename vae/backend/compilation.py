"""torch.compile for functions that are compiled anew for each shape class."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch._dynamo
from torch import Tensor

RECOMPILES = 256  # of one function in a process; a shape class costs one
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def compiled(function: Callable[..., Any], backend: str = "inductor") -> Callable[..., Any]:
    """The function compiled as one whole graph for exactly the shapes that it is called with, and for any number along
    the dimensions that were marked with `any_number`.

    Torch gives up after 8 shapes of one function unless it is told otherwise, and a sweep may have more.
    """
    config = torch._dynamo.config
    config.recompile_limit = RECOMPILES
    config.accumulated_recompile_limit = 4 * RECOMPILES
    # A marked dimension of a parameter stays fixed unless torch is told otherwise, too.
    config.force_parameter_static_shapes = False
    config.force_nn_module_property_static_shapes = False
    with suppress(OSError):  # without a home directory torch keeps the code in a place of its own
        kept_code().mkdir(parents=True, exist_ok=True)
        os.environ.setdefault(CACHE_VARIABLE, str(kept_code()))
    return torch.compile(function, fullgraph=True, dynamic=False, backend=backend)


def any_number(tensors: Iterable[Tensor], dim: int) -> None:
    """The sizes along this dimension may change without another compilation: the slots of a pack, which grows."""
    for tensor in tensors:
        torch._dynamo.maybe_mark_dynamic(tensor, dim)


def kept_code() -> Path:
    """Where generated code is kept between sweeps: torch's own place is emptied when the machine starts."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vae-sweep" / "inductor"
