"""Linear layers whose weights are kept as whole numbers of 8 or 4 bits and computed with in the dtype of the tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmm_graph.nn.linear import Linear, Logits, RowLinear
from mmm_graph.parallel import product as products
from mmm_graph.parallel.few_rows import can_take, kernels

GROUP = 32
"""Input columns that share a scale and a least value, of 4-bit numbers."""
MOST_INT8, MOST_INT4 = 127, 15
SCALE = torch.bfloat16
PLAIN = (nn.Linear, Linear, Logits, RowLinear)
"""Classes that are quantized; one derived from them may do something else with its weight."""


class Packed(NamedTuple):
    """A weight [o, i].

    Attributes:
        codes: int8 [o, i]; or uint8 [o, i/2], in which each 32 columns are 16 bytes: their low halves are the first 16
            columns, the high halves the others.
        scales: bfloat16: [o], what an int8 code is multiplied by; or [o, i/32, 2], what a 4-bit code is multiplied by,
            and what is added.
    """

    codes: Tensor
    scales: Tensor

    def weight(self) -> Tensor:
        """The numbers that it stands for, float32 [o, i], by plain torch."""
        if self.codes.dtype is torch.int8:
            return self.codes.float() * self.scales.float()[:, None]
        pairs = self.codes.view(len(self.codes), -1, GROUP // 2)  # o g 16
        numbers = torch.cat([pairs & 15, pairs >> 4], -1).float()
        scale, least = self.scales.float().chunk(2, -1)  # o g 1
        return (numbers * scale + least).flatten(1)

    def rows(self, first: int, last: int) -> Packed:
        """Some of its rows, as views."""
        return Packed(self.codes[first:last], self.scales[first:last])


def pack_int8(weight: Tensor) -> Packed:
    """One scale for each row, so that its largest number is 127: the error of a weight is at most half a scale.

    Scales are rounded to bfloat16 before they are used, so that does not add to the error.
    """
    wide = weight.float()
    scale = (wide.abs().amax(1) / MOST_INT8).to(SCALE)
    codes = (wide / scale.float().clamp_min(TINY)[:, None]).round_().clamp_(-MOST_INT8, MOST_INT8)
    return Packed(codes.to(torch.int8), scale)


def pack_int4(weight: Tensor) -> Packed:
    """16 numbers from the least to the largest of each 32 columns: the error is about half the distance of two at most.

    Source: type Q4_1 of GGML, with other scales.
    """
    groups = weight.float().reshape(len(weight), -1, GROUP)  # o g 32
    least = groups.amin(-1, keepdim=True).to(SCALE)
    scale = ((groups.amax(-1, keepdim=True) - least.float()) / MOST_INT4).to(SCALE)
    numbers = (groups - least.float()) / scale.float().clamp_min(TINY)
    numbers = numbers.round_().clamp_(0, MOST_INT4).to(torch.uint8)
    low, high = numbers.chunk(2, -1)
    return Packed((low | high << 4).flatten(1), torch.cat([scale, least], -1))


TINY = torch.finfo(torch.float32).tiny

PACKERS: Mapping[str, Callable[[Tensor], Packed]] = {"int8": pack_int8, "int4": pack_int4}


def pack(weight: Tensor, how: str) -> Packed:
    """A weight [o, i] of any floating dtype as "int8" or "int4"; as int8 where i is no multiple of 32.

    Raises:
        ValueError: a number is infinite or NaN.
    """
    if not torch.isfinite(weight).all():
        raise ValueError("it has numbers that are infinite or NaN")
    return PACKERS["int8" if weight.shape[1] % GROUP else how](weight)


def quantized_product(x: Tensor, packed: Packed, bias: Tensor | None) -> Tensor:
    """x times the weight, plus bias: ... i -> ... o in the dtype of x.

    A few rows on a CPU are multiplied by the weight as it is kept, by the kernel of parallel/few_rows.py; for more, and
    on other devices, it is unpacked, some of its rows at a time.
    """
    takes = (
        can_take(x, packed.codes, (bias,)) and packed.scales.dtype is SCALE and packed.scales.is_contiguous()
    )
    kernel = kernels() if takes else None
    if kernel is not None:
        return kernel.rows(x, packed.codes, bias, packed.scales)
    out_dim, width = len(packed.codes), x.shape[-1]
    step = max(1, products.CHUNK_NUMBERS // width)
    dtype = torch.float32 if x.device.type == "cpu" and products.HAS_SLOW_GEMM else x.dtype
    rows, bias, parts = x.to(dtype), None if bias is None else bias.to(dtype), []
    for first in range(0, out_dim, step):
        weight = unpack(packed.rows(first, first + step), width).to(dtype)
        part = products.product(rows, weight, None if bias is None else bias[first : first + step])
        parts.append(part.to(x.dtype))
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def unpack(packed: Packed, width: int) -> Tensor:
    """`Packed.weight`, by the fastest that this device has."""
    codes, scales = packed
    is_plain = codes.device.type == "cpu" and scales.dtype is SCALE and not torch.compiler.is_compiling()
    kernel = kernels() if is_plain else None
    return packed.weight() if kernel is None else kernel.unpack(codes, scales, width)


class QuantizedLinear(nn.Module):
    """A linear layer with a packed weight: ... d -> ... out. It cannot be trained; gradients reach its input.

    Args:
        packed: its weight.
        bias: stays what it was.
        dtype: of the weight before.
    """

    codes: Tensor
    scales: Tensor
    bias: Tensor | None

    def __init__(self, packed: Packed, bias: nn.Parameter | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.out_features, self.dtype = len(packed.codes), dtype
        self.in_features = packed.codes.shape[1] * (2 if packed.codes.dtype is torch.uint8 else 1)
        self.register_buffer("codes", packed.codes)
        self.register_buffer("scales", packed.scales)
        self.register_parameter("bias", bias)

    @property
    def packed(self) -> Packed:
        """Its weight as it is kept."""
        return Packed(self.codes, self.scales)

    @property
    def weight(self) -> Tensor:
        """What the packed weight stands for, made anew at every call: for those who only look at it."""
        return unpack(self.packed, self.in_features).to(self.dtype)

    def forward(self, input: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """`dtype`: in which it is computed, as of `RowLinear`; None = that of the input."""
        if dtype is None:
            return quantized_product(input, self.packed, self.bias)
        return quantized_product(
            input.to(dtype), self.packed, None if self.bias is None else self.bias.to(dtype)
        )


def quantizable(module: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Names and layers whose weights are quantized: every linear one, that of the logits too; no embedding or norm."""
    return ((name, layer) for name, layer in module.named_modules() if type(layer) in PLAIN)


def quantize_layer(module: nn.Module, name: str, weight: Tensor, how: str, dtype: torch.dtype) -> None:
    """Put a quantized layer in the place of a linear one, with its bias.

    Args:
        weight: whose numbers it gets, on the device where they are to be.
        how: as of `pack`; a layer that makes logits is int8 whatever it says.
        dtype: in which `weight` of the new layer is seen.

    Raises:
        ValueError: as of `pack`.
    """
    old = module.get_submodule(name)
    bias = old.get_parameter("bias") if old.bias is not None else None
    new = QuantizedLinear(pack(weight.detach(), "int8" if type(old) is Logits else how), bias, dtype)
    path, _, leaf = name.rpartition(".")
    module.get_submodule(path)._modules[leaf] = new.train(old.training)
