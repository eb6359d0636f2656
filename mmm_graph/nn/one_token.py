"""A block of a decoder as one call of a kernel, for one token of each text: calls take longer than their sums."""

from __future__ import annotations

from torch import Tensor, nn

from mmm_graph.nn.causal import CausalAttention
from mmm_graph.nn.fused import Projections
from mmm_graph.nn.gated import GatedUnit
from mmm_graph.nn.linear import RowLinear
from mmm_graph.nn.norm import RmsNorm
from mmm_graph.nn.quantized import QuantizedLinear
from mmm_graph.nn.rotary import Turn
from mmm_graph.parallel.exchange import SINGLE
from mmm_graph.parallel.matvec import Block, Matrix, can_take, kernels


class OneToken:
    """Does what a block does whose children are norm1, attn, norm2 and mlp: x + attn(norm1(x)), x + mlp(norm2(x)).

    It computes the same as the layers do, bit for bit, where these run by kernels.
    """

    def __init__(self) -> None:
        self._made: tuple[list[int], Block | None] = ([], None)

    def __call__(
        self, owner: nn.Module, x: Tensor, rope: Turn | None, cache: Tensor, at: int
    ) -> Tensor | None:
        """b 1 d -> b 1 d, and keys and values are written; None where the layers have to do it.

        Args:
            owner: the block.
            rope, cache, at: as of `CausalAttention`; the token sees all before it, or those of the window.
        """
        if not (can_take(x, others=rope or ()) and cache.dtype is x.dtype and cache.is_contiguous()):
            return None
        kernel, block = kernels(), self._block(owner, x)
        if kernel is None or block is None:
            return None
        window = owner._modules["attn"].window  # type: ignore[union-attr]
        first = 0 if window is None else max(0, at - int(window))  # type: ignore[arg-type]
        return kernel.block(block, x, rope, cache, at, first)

    def _block(self, owner: nn.Module, x: Tensor) -> Block | None:
        """Made anew when a weight is no longer where it was."""
        kept = [
            t for layer in owner.modules() for t in (*layer._parameters.values(), *layer._buffers.values())
        ]
        places = [t.data_ptr() for t in kept if t is not None]
        if places != self._made[0]:
            self._made = (places, make_block(owner, x))
        return self._made[1]


def make_block(owner: nn.Module, x: Tensor) -> Block | None:
    """The weights of a block; None where it computes something that the kernel does not."""
    norm1, attn, norm2, mlp = (owner._modules.get(name) for name in ("norm1", "attn", "norm2", "mlp"))
    if type(norm1) is not RmsNorm or type(norm2) is not RmsNorm:
        return None
    if type(attn) is not CausalAttention or attn.qk_norm or type(mlp) is not GatedUnit or not mlp.is_silu:
        return None
    layers = (joined(attn, attn.project), single(attn.out), joined(mlp, mlp.project), single(mlp.down))
    tensors = [t for layer in layers if layer is not None for t in layer[1:] if t is not None]
    floats = [norm1.weight, norm2.weight, *(t for t in tensors if t.is_floating_point() and t.dim() != 3)]
    if (
        None in layers
        or norm1.eps is None
        or norm2.eps is None
        or not all(t.is_contiguous() for t in tensors)
    ):
        return None
    if any(t.dtype is not x.dtype for t in floats):
        return None
    places = norm1.weight.data_ptr(), norm2.weight.data_ptr()
    matrices = [Matrix.of(*layer) for layer in layers if layer is not None]
    heads = attn.num_kv_heads, attn.group, attn.head_dim
    return Block(*heads, norm1.eps, norm2.eps, *places, *matrices)


Layer = tuple[int, Tensor, Tensor | None, Tensor | None]
"""Input columns, weight or codes, scales, bias."""


def single(layer: nn.Module) -> Layer | None:
    """A linear layer that asks nobody."""
    if type(layer) is QuantizedLinear:
        return layer.in_features, layer.codes, layer.scales, layer.bias
    if type(layer) is RowLinear and layer.exchange is SINGLE:
        return layer.in_features, layer.weight, None, layer.bias
    return None


def joined(owner: nn.Module, project: Projections) -> Layer | None:
    """Projections that are one matrix."""
    layers = [owner.get_submodule(name) for name in project.names]
    if project.fused is None or not project.fused.holds(layers):  # type: ignore[arg-type]
        return None
    tensors = project.fused.tensors
    return layers[0].in_features, tensors[0], tensors[1] if len(tensors) > 1 else None, project.fused.bias  # type: ignore
