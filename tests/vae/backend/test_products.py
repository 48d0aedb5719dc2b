"""vae/backend/products.py."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from vae.backend import products


def relative_error(n_rows: int, n_inner: int, n_columns: int) -> float:
    """Against float64; bfloat16 keeps 8 bits, so a product rounded to it is off by about 2e-3."""
    draw = torch.Generator().manual_seed(1)
    a, b = torch.rand(n_rows, n_inner, generator=draw), torch.rand(n_inner, n_columns, generator=draw)
    exact = a.double() @ b.double()
    return (((a @ b).double() - exact).abs() / exact).max().item()


SHAPES = [(128, 784, 400), (128, 400, 784), (400, 128, 784), (128, 400, 20), (128, 20, 400), (7, 784, 1), (1, 64, 32)]


@pytest.mark.parametrize("shape", SHAPES)
def test_products_of_every_shape_a_training_step_has_stay_float32(shape: tuple[int, int, int]) -> None:
    products.prefer_onednn()
    assert relative_error(*shape) < 1e-5


def test_stacked_products_stay_float32() -> None:
    products.prefer_onednn()
    draw = torch.Generator().manual_seed(1)
    a, b, c = (torch.rand(shape, generator=draw) for shape in ((4, 128, 400), (4, 400, 300), (4, 1, 300)))
    exact = torch.baddbmm(c.double(), a.double(), b.double())
    assert ((torch.baddbmm(c, a, b).double() - exact).abs() / exact).max() < 1e-5


def test_the_switch_is_on_exactly_where_it_says_so() -> None:
    preferred = products.prefer_onednn()
    assert torch.backends.mkldnn.matmul.fp32_precision == ("bf16" if preferred else "none")


def test_a_processor_that_rounds_to_bfloat16_keeps_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """As oneDNN does on AMX: the probe sees products of rounded factors."""
    true_product = Tensor.__matmul__

    def rounded(a: Tensor, b: Tensor) -> Tensor:
        if a.dtype == torch.float32 and torch.backends.mkldnn.matmul.fp32_precision == "bf16":
            return true_product(a.bfloat16().float(), b.bfloat16().float())
        return true_product(a, b)

    monkeypatch.setattr(Tensor, "__matmul__", rounded)
    assert not products.prefer_onednn()
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_a_gpu_may_be_told_to_keep_float32_for_a_while_and_both_of_torchs_switches_can_be_read() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        products.prefer_tensor_cores()
        with products.without_tensor_cores():
            assert not torch.backends.cuda.matmul.allow_tf32
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.backends.cuda.matmul.allow_tf32
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def test_a_torch_without_the_switch_goes_on_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends, "mkldnn", SimpleNamespace(is_available=lambda: True))
    assert not products.prefer_onednn()
