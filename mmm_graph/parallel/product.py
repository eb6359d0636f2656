"""The product of tokens and a weight, by the fastest kernel on this CPU: torch's, or for few tokens one of our own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmm_graph.parallel.few_rows import can_take, kernels

HAS_SLOW_GEMM = torch.backends.cpu.get_cpu_capability() == "AVX2" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
"""Where torch's matrix product leaves a quarter of the machine unused and its 1 x 1 convolution does not.

Measured on an AMD CPU without AVX-512, one thread: 71 to 74 GF/s against 93 to 99 (docs/decisions/027). Its product of
bfloat16 makes 7 GF/s there.
"""
LEAST_ROWS, LEAST_WORK = 64, 1 << 24
"""Below, preparing the convolution costs more than it gains."""
LEAST_NUMBERS = 1 << 14
"""Of a weight, for the kernel of few tokens: below, calling it takes longer than the product."""
CHUNK_NUMBERS = 1 << 22
"""Of a weight that is made float32, at a time."""
MOST_COLUMNS = 1536
"""More input columns are summed in pieces: from about 2500 on the convolution falls to a third of its speed."""


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x @ weight.T + bias: ... i, o i, o -> ... o; the same sums as torch's, maybe in another order.

    Without autograd, a few rows of float32 or bfloat16 may run by the kernel of few_rows.py, many of float32 as a 1 x 1
    convolution, and many of a half type in float32; everything else is torch.nn.functional.linear.
    """
    if weight.numel() >= LEAST_NUMBERS and weight.dtype is x.dtype and can_take(x, weight, (bias,)):
        kernel = kernels()
        if kernel is not None:
            return kernel.rows(x, weight, bias)
    if not HAS_SLOW_GEMM or torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    if _is_half(x, weight):
        return wide_product(x, weight, bias)
    if not _is_large(x, weight):
        return F.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    tokens, weights = torch.split(rows, MOST_COLUMNS, 1), torch.split(weight, MOST_COLUMNS, 1)
    y = _point(tokens[0], weights[0], bias)
    for part in zip(tokens[1:], weights[1:], strict=True):
        y.add_(_point(*part, None))
    return y.view(*x.shape[:-1], len(weight))


def wide_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`product` in float32, rounded once to the dtype of x; of the weight, some rows at a time are there as float32."""
    rows, step = x.float(), max(1, CHUNK_NUMBERS // weight.shape[1])
    biases = (None,) * len(weight) if bias is None else torch.split(bias.float(), step)
    parts = zip(torch.split(weight, step), biases, strict=False)
    found = [product(rows, part.float(), some).to(x.dtype) for part, some in parts]
    return found[0] if len(found) == 1 else torch.cat(found, -1)


def _point(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """r i, o i -> r o, each row as a pixel of a picture that is one pixel high."""
    pixels = rows.contiguous().view(1, 1, *rows.shape).permute(0, 3, 1, 2)  # 1 i 1 r, channels innermost
    kernel = weight.contiguous()[..., None, None]
    y = torch.mkldnn_convolution(pixels, kernel, bias, (0, 0), (1, 1), (1, 1), 1)
    return y.permute(0, 2, 3, 1).view(len(rows), -1)


def _is_half(x: Tensor, weight: Tensor) -> bool:
    """Where torch's product of bfloat16 or float16 is many times slower than that of float32."""
    return (
        x.dtype in (torch.bfloat16, torch.float16)
        and weight.dtype is x.dtype
        and x.device.type == "cpu"
        and x.numel() > x.shape[-1]
        and weight.numel() >= LEAST_NUMBERS
        and not torch.is_grad_enabled()
    )


def _is_large(x: Tensor, weight: Tensor) -> bool:
    rows = x.numel() // x.shape[-1] if x.shape[-1] else 0
    return (
        rows >= LEAST_ROWS
        and rows * weight.numel() >= LEAST_WORK
        and x.device.type == "cpu"
        and x.dtype is torch.float32
        and weight.dtype is torch.float32
        and not torch.is_grad_enabled()
    )
