"""Attention over some of the keys, with what it takes to merge it with attention over others."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.backends.cuda import SDPAParams, can_use_efficient_attention, can_use_flash_attention

aten = torch.ops.aten


def partial_attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax attention, and the logarithm of the sum of its weights: b n l k (x3) -> b n l k, b n l.

    The logarithm is float32, or float64 if q is. Fused kernels give it where there is one for this device and dtype.
    """
    if q.device.type == "cpu":
        out, weight = aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)
        return out, weight
    if q.device.type == "cuda":
        needs = SDPAParams(q, k, v, None, 0.0, False, False)
        if can_use_flash_attention(needs):
            out, weight = aten._scaled_dot_product_flash_attention(q, k, v)[:2]
            return out, weight
        if can_use_efficient_attention(needs):
            out, weight = aten._scaled_dot_product_efficient_attention(q, k, v, None, True)[:2]
            return out, weight[..., : q.shape[2]]  # the kernel rounds the length up
    return plain_attention(q, k, v)


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """`partial_attention` by matrix products: it holds the scores of all pairs."""
    wide = torch.promote_types(q.dtype, torch.float32)
    scores = q.to(wide) @ k.to(wide).transpose(-1, -2) / math.sqrt(q.shape[-1])
    weight = scores.logsumexp(dim=-1)
    out = torch.exp(scores - weight[..., None]) @ v.to(wide)
    return out.to(q.dtype), weight


class Merged:
    """Attention over all the keys that were added, chunk by chunk (online softmax, float32 or better)."""

    def __init__(self, q: Tensor) -> None:
        self.q = q
        self.out: Tensor | None = None
        self.weight = q.new_empty(0)

    def add(self, k: Tensor, v: Tensor) -> None:
        """Attend to some more keys, b n l k."""
        out, weight = partial_attention(self.q, k, v)
        out = out.to(weight.dtype)
        if self.out is None:
            self.out, self.weight = out, weight
            return
        # With a = log of the sum of the weights so far and b = that of the new ones, the new part counts
        # exp(b) / (exp(a) + exp(b)) = sigmoid(b - a).
        self.out = torch.lerp(self.out, out, torch.sigmoid(weight - self.weight)[..., None])
        self.weight = torch.logaddexp(self.weight, weight)

    def result(self) -> Tensor:
        """b n l k, in the dtype of q."""
        assert self.out is not None, "nothing was added"
        return self.out.to(self.q.dtype)
