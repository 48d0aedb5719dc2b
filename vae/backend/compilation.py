"""torch.compile for functions that are compiled anew for each shape class."""

from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo

RECOMPILES = 256  # of one function in a process; a shape class costs one, and one more for its last, smaller batch


def compiled(function: Callable[..., Any], backend: str = "inductor") -> Callable[..., Any]:
    """The function compiled as one whole graph for exactly the shapes that it is called with.

    Torch gives up after 8 shapes of one function unless it is told otherwise, and a sweep may have more.
    """
    torch._dynamo.config.recompile_limit = RECOMPILES
    torch._dynamo.config.accumulated_recompile_limit = 4 * RECOMPILES
    return torch.compile(function, fullgraph=True, dynamic=False, backend=backend)
