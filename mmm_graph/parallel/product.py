"""The product of tokens and a weight, by the fastest of torch's own kernels on this CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

HAS_SLOW_GEMM = torch.backends.cpu.get_cpu_capability() == "AVX2" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
"""Where torch's matrix product leaves a quarter of the machine unused and its 1 x 1 convolution does not.

Measured on an AMD CPU without AVX-512, one thread: 71 to 74 GF/s against 93 to 99 (docs/decisions/027).
"""
LEAST_ROWS, LEAST_WORK = 64, 1 << 24
"""Below, preparing the convolution costs more than it gains."""
MOST_COLUMNS = 1536
"""More input columns are summed in pieces: from about 2500 on the convolution falls to a third of its speed."""


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x @ weight.T + bias: ... i, o i, o -> ... o; the same sums as torch's, maybe in another order.

    float32 without autograd may run as a 1 x 1 convolution; everything else is torch.nn.functional.linear.
    """
    if not HAS_SLOW_GEMM or not _is_large(x, weight) or torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    tokens, weights = torch.split(rows, MOST_COLUMNS, 1), torch.split(weight, MOST_COLUMNS, 1)
    y = _point(tokens[0], weights[0], bias)
    for part in zip(tokens[1:], weights[1:], strict=True):
        y.add_(_point(*part, None))
    return y.view(*x.shape[:-1], len(weight))


def _point(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """r i, o i -> r o, each row as a pixel of a picture that is one pixel high."""
    pixels = rows.contiguous().view(1, 1, *rows.shape).permute(0, 3, 1, 2)  # 1 i 1 r, channels innermost
    kernel = weight.contiguous()[..., None, None]
    y = torch.mkldnn_convolution(pixels, kernel, bias, (0, 0), (1, 1), (1, 1), 1)
    return y.permute(0, 2, 3, 1).view(len(rows), -1)


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
