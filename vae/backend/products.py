"""Matrix products in float32 (BLAS): by oneDNN on a CPU where that is exact, on the tensor cores of a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

N_ROWS, N_INNER, N_COLUMNS = 128, 784, 400
FLOAT32_ERROR = 1e-5  # relative; a product in float32 is off by about 1e-6 here, one rounded to bfloat16 by 3e-3


def prefer_onednn() -> bool:
    """Let oneDNN compute this process's float32 products, if it keeps them float32; True if it does.

    It is twice as fast as the default BLAS. torch calls the switch 'bf16', and on a CPU with AMX oneDNN does round the
    factors to bfloat16 then. So one product is compared with the same in float64.
    """
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    if matmul is None or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    matmul.fp32_precision = "bf16"
    if _products_are_float32():
        return True
    matmul.fp32_precision = "none"
    return False


def prefer_tensor_cores() -> None:
    """Let a GPU round the factors of float32 products to TF32 (10 bits of mantissa), as is usual for training.

    The sums stay float32, and float64 trials are not affected. Of torch's two switches this is the older one: after
    the newer one (fp32_precision), reading the older one raises an error.
    """
    torch.backends.cuda.matmul.allow_tf32 = True


@contextmanager
def without_tensor_cores() -> Iterator[None]:
    """Within, a GPU computes float32 products in float32: what ranks trials is what a CPU would say of them."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def prefer_fast_products(device: str) -> None:
    """Set this process up for fast float32 products on this device, "cpu" or "cuda"."""
    if device == "cuda":
        prefer_tensor_cores()
    prefer_onednn()


def _products_are_float32() -> bool:
    draw = torch.Generator().manual_seed(0)
    a = torch.rand(N_ROWS, N_INNER, generator=draw)
    b = torch.rand(N_INNER, N_COLUMNS, generator=draw)
    exact = a.double() @ b.double()
    return bool((((a @ b).double() - exact).abs() / exact).max() < FLOAT32_ERROR)
