"""Float32 matrix products: on a CPU through oneDNN where that is exact, on a GPU on its tensor cores."""

import torch

N_ROWS, N_INNER, N_COLUMNS = 128, 784, 400
FLOAT32_ERROR = 1e-5  # relative; a product in float32 is off by about 1e-6 here, one rounded to bfloat16 by 3e-3


def prefer_onednn() -> bool:
    """Send this process's float32 products through oneDNN if it keeps them float32; True if it does.

    torch calls the switch 'bf16', and on a CPU with AMX oneDNN does round to bfloat16 then. Elsewhere
    the products stay float32 and are twice as fast as the default BLAS (0.33 against 0.73 ms for
    128 x 784 x 400, one thread of an AMD EPYC, 2026-11-21). So it is tried once against float64.
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
    """Let a GPU round the factors of float32 products to TF32 (10 bits of mantissa), as usual for training.

    The sums stay float32; `precision: float64` is not touched. The older switch is for torch before 2.9.
    """
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        torch.backends.cuda.matmul.fp32_precision = "tf32"
    else:
        torch.backends.cuda.matmul.allow_tf32 = True


def prefer_fast_products(device: str) -> None:
    """What is fast and right for float32 products on this device ("cpu" or "cuda"), for this process."""
    if device == "cuda":
        prefer_tensor_cores()
    prefer_onednn()


def _products_are_float32() -> bool:
    draw = torch.Generator().manual_seed(0)
    a = torch.rand(N_ROWS, N_INNER, generator=draw)
    b = torch.rand(N_INNER, N_COLUMNS, generator=draw)
    exact = a.double() @ b.double()
    return bool((((a @ b).double() - exact).abs() / exact).max() < FLOAT32_ERROR)
