"""A block of a decoder as one call of a kernel, for one token of each text: calls take longer than their sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmm_graph.nn.causal import CausalAttention
from mmm_graph.nn.fused import Projections
from mmm_graph.nn.gated import GatedUnit
from mmm_graph.nn.linear import RowLinear
from mmm_graph.nn.norm import RmsNorm
from mmm_graph.nn.quantized import SCALE, QuantizedLinear
from mmm_graph.nn.rotary import Turn
from mmm_graph.parallel.exchange import SINGLE
from mmm_graph.parallel.few_rows import Block, Matrix, can_take, kernels
from mmm_graph.parallel.product import LEAST_NUMBERS


class OneToken:
    """Does what a block does whose children are norm1, attn, norm2 and mlp: x + attn(norm1(x)), x + mlp(norm2(x)).

    It computes the same as the layers do, bit for bit, and only where these run by kernels.

    Args:
        window: of the attention.
    """

    def __init__(self, window: int | None = None) -> None:
        self.window = window
        self._found = Found((), (), (), [])
        self._made: Block | None = None

    def __call__(
        self, owner: nn.Module, x: Tensor, rope: Turn | None, cache: Tensor, at: int
    ) -> Tensor | None:
        """b 1 d -> b 1 d, and keys and values are written; None where the layers have to do it.

        Args:
            owner: the block.
            rope, cache, at: as of `CausalAttention`; the token sees all before it.
        """
        if not (can_take(x, others=rope or ()) and cache.dtype is x.dtype and cache.is_contiguous()):
            return None
        kernel, block = kernels(), self._block(owner, x)
        if kernel is None or block is None:
            return None
        first = 0 if self.window is None else max(0, at - self.window)
        return kernel.block(block, x, rope, cache, at, first)

    def _block(self, owner: nn.Module, x: Tensor) -> Block | None:
        """Made anew when a layer was replaced, or a weight is no longer where it was."""
        if not self._found.holds():
            self._found, self._made = find(owner), make_block(owner)
        return self._made if self._found.dtype is x.dtype else None


class Found(NamedTuple):
    """What the block was made of: looked at for each token, so by the dicts of modules, which are fast.

    Attributes:
        children: of modules, and what was in them.
        rows: layers that may ask other ranks.
        own: parameters and buffers of modules.
        places: of their tensors.
        dtype: of the norms.
    """

    children: tuple[tuple[Mapping[str, nn.Module | None], tuple[nn.Module | None, ...]], ...]
    rows: tuple[RowLinear, ...]
    own: tuple[Mapping[str, Tensor | None], ...]
    places: list[int]
    dtype: torch.dtype | None = None

    def holds(self) -> bool:
        """Whether it is all as it was; never of nothing."""
        return (
            bool(self.own)
            and self.places == places(self.own)
            and all(layer.exchange is SINGLE for layer in self.rows)
            and all(tuple(now.values()) == then for now, then in self.children)
        )


def find(owner: nn.Module) -> Found:
    """The modules of a block, and where their weights are."""
    children = tuple((m._modules, tuple(m._modules.values())) for m in owner.modules() if m._modules)
    own: list[Mapping[str, Tensor | None]] = [
        d for m in owner.modules() for d in (m._parameters, m._buffers) if d
    ]
    rows = tuple(m for m in owner.modules() if isinstance(m, RowLinear))
    norm = getattr(owner, "norm1", None)
    dtype = norm.weight.dtype if isinstance(norm, RmsNorm) else None
    return Found(children, rows, tuple(own), places(own), dtype)


def places(own: Iterable[Mapping[str, Tensor | None]]) -> list[int]:
    """Where the tensors are."""
    return [tensor.data_ptr() for tensors in own for tensor in tensors.values() if tensor is not None]


def make_block(owner: nn.Module) -> Block | None:
    """The weights of a block; None where it computes something that the kernel does not."""
    norm1, attn, norm2, mlp = (owner._modules.get(name) for name in ("norm1", "attn", "norm2", "mlp"))
    if type(norm1) is not RmsNorm or type(norm2) is not RmsNorm:
        return None
    if type(attn) is not CausalAttention or attn.qk_norm or type(mlp) is not GatedUnit or not mlp.is_silu:
        return None
    layers = (joined(attn, attn.project), single(attn.out), joined(mlp, mlp.project), single(mlp.down))
    found = [layer for layer in layers if layer is not None and fits(layer, norm1.weight)]
    norms = [norm.weight for norm in (norm1, norm2)]
    if len(found) < len(layers) or norm1.eps is None or norm2.eps is None:
        return None
    if any(weight is None or weight.dtype is not norms[0].dtype for weight in norms):
        return None
    heads = attn.num_kv_heads, attn.group, attn.head_dim
    scales = [weight.data_ptr() for weight in norms]
    return Block(*heads, norm1.eps, norm2.eps, *scales, *(Matrix.of(*layer) for layer in found))


class Layer(NamedTuple):
    """Input columns; the weight, or its codes and scales; a bias."""

    width: int
    weight: Tensor
    scales: Tensor | None
    bias: Tensor | None


def fits(layer: Layer, like: Tensor) -> bool:
    """Whether the kernel reads its tensors as they are, and the layer's product would run by it too."""
    of_rows = [layer.bias, layer.weight if layer.scales is None else None]
    tensors = [t for t in layer[1:] if isinstance(t, Tensor)]
    if layer.scales is not None and layer.scales.dtype is not SCALE:
        return False
    if layer.scales is None and layer.weight.numel() < LEAST_NUMBERS:
        return False
    return all(t is None or t.dtype is like.dtype for t in of_rows) and all(
        t.is_contiguous() for t in tensors
    )


def single(layer: nn.Module) -> Layer | None:
    """A linear layer that asks nobody."""
    if type(layer) is QuantizedLinear:
        return Layer(layer.in_features, layer.codes, layer.scales, layer.bias)
    if type(layer) is RowLinear and layer.exchange is SINGLE:
        return Layer(layer.in_features, layer.weight, None, layer.bias)
    return None


def joined(owner: nn.Module, project: Projections) -> Layer | None:
    """Projections that are one matrix."""
    layers: list[Any] = [owner.get_submodule(name) for name in project.names]
    if project.fused is None or not project.fused.holds(layers):
        return None
    weight, *scales = project.fused.tensors
    return Layer(layers[0].in_features, weight, scales[0] if scales else None, project.fused.bias)
