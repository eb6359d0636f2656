import pytest
import torch
import torch.nn.functional as F

from mmm_graph.parallel.partial import Merged, partial_attention, plain_attention

CLOSE = {torch.float64: 1e-13, torch.float32: 2e-6, torch.bfloat16: 2e-2, torch.float16: 2e-3}


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def qkv(dtype, queries=7, keys=11, width=8, device="cpu"):
    """Laid out b l n k in memory, as layers give them."""
    q = torch.randn(2, queries, 3, width, dtype=torch.float64)
    k, v = torch.randn(2, 2, keys, 3, width, dtype=torch.float64)
    return tuple(x.transpose(1, 2).to(device, dtype) for x in (q, k, v))


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("width", [8, 5])
@pytest.mark.parametrize("device", DEVICES)
def test_the_fused_kernel_agrees_with_matrix_products(dtype, width, device):
    q, k, v = qkv(dtype, width=width, device=device)
    (out, weight), (plain, plain_weight) = partial_attention(q, k, v), plain_attention(q, k, v)
    assert out.dtype == plain.dtype == dtype
    assert weight.dtype == plain_weight.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(out, plain, rtol=0, atol=CLOSE[dtype])
    torch.testing.assert_close(weight, plain_weight, rtol=0, atol=max(CLOSE[dtype], 1e-6))


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("sizes", [(11,), (5, 6), (1, 9, 1)])
@pytest.mark.parametrize("device", DEVICES)
def test_parts_merge_to_the_whole(dtype, sizes, device):
    q, k, v = qkv(dtype, device=device)
    merged = Merged(q)
    for part in zip(k.split(sizes, 2), v.split(sizes, 2), strict=True):
        merged.add(*part)
    assert merged.result().dtype == dtype
    whole = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
    torch.testing.assert_close(merged.result().double(), whole, rtol=0, atol=CLOSE[dtype])


def test_scores_far_apart_neither_overflow_nor_vanish():
    q, k, v = (x * 1 for x in qkv(torch.float32))
    k[:, :, 5:] *= 500
    merged = Merged(q)
    for part in zip(k.split((5, 6), 2), v.split((5, 6), 2), strict=True):
        merged.add(*part)
    whole = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
    torch.testing.assert_close(merged.result().double(), whole, rtol=0, atol=1e-4)
