"""Several projections of the same tokens as one product, while their weights stay parameters of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmm_graph.nn.linear import Linear
from mmm_graph.nn.quantized import Packed, QuantizedLinear, quantized_product
from mmm_graph.parallel.product import product

Layers = Sequence[nn.Linear | QuantizedLinear]
TENSORS: Mapping[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("weight",),
    Linear: ("weight",),
    QuantizedLinear: ("codes", "scales"),
}
"""Layers that can be joined, and what they have beside a bias."""


class Fused:
    """Weights of some linear layers as one matrix, of which their own are views."""

    def __init__(self, layers: Layers) -> None:
        self.sizes = [layer.out_features for layer in layers]
        self.names = TENSORS[type(layers[0])]
        self.tensors = [_joined(layers, name) for name in self.names]
        self.bias = None if layers[0].bias is None else _joined(layers, "bias")
        self.places = self._places(layers)

    def holds(self, layers: Layers) -> bool:
        """Whether all layers still have these weights: moving or replacing one parts them from here."""
        return self.places == self._places(layers)

    def __call__(self, x: Tensor) -> Tensor:
        if len(self.tensors) == 1:
            return product(x, self.tensors[0], self.bias)
        return quantized_product(x, Packed(*self.tensors), self.bias)

    def _places(self, layers: Layers) -> list[int]:
        # The dicts of a module are ten times as fast as its attributes, and this is asked for each token and layer.
        kept = [t for layer in layers for own in (layer._parameters, layer._buffers) for t in own.values()]
        return [tensor.data_ptr() for tensor in kept if tensor is not None]


class Projections:
    """Linear layers that read the same tokens: ... d -> ... out, for each.

    Args:
        names: of the layers, in the module that calls.
        on_cpu: `fuse` joins them on CPUs too: one token at a time, it is calls that take the time.
    """

    def __init__(self, *names: str, on_cpu: bool = False) -> None:
        self.names, self.on_cpu = names, on_cpu
        self.fused: Fused | None = None

    def __call__(self, owner: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        """What each layer makes of x; by one product where `fuse` has joined them and no gradients are wanted."""
        layers: Layers = [owner._modules[name] for name in self.names]  # type: ignore[misc]
        if self._is_joined(layers):
            assert self.fused is not None
            return torch.split_with_sizes(self.fused(x), self.fused.sizes, -1)
        return tuple(layer(x) for layer in layers)

    def together(self, owner: nn.Module, x: Tensor) -> Tensor:
        """What the layers make of x, side by side: ... d -> ... sum of all out."""
        layers: Layers = [owner._modules[name] for name in self.names]  # type: ignore[misc]
        if self._is_joined(layers):
            assert self.fused is not None
            return self.fused(x)
        return torch.cat([layer(x) for layer in layers], -1)

    def _is_joined(self, layers: Layers) -> bool:
        if self.fused is None or torch.is_grad_enabled():
            return False
        return torch.compiler.is_compiling() or self.fused.holds(layers)


def fuse(module: nn.Module, *, on_cpu: bool = False) -> None:
    """Join the projections of every layer that has some. Layers that compute something else than a product stay apart.

    Memory stays what it was, but for one layer at a time. For devices where few large products are faster; on CPUs
    they take as long (docs/decisions/027), but for a token at a time.

    Args:
        on_cpu: join only those that gain from it there.
    """
    for layer in module.modules():
        for projections in [v for v in vars(layer).values() if isinstance(v, Projections)]:
            if on_cpu and not projections.on_cpu:
                continue
            linears = [getattr(layer, name) for name in projections.names]
            if _alike(linears):
                projections.fused = Fused(linears)


def _alike(layers: Sequence[nn.Module]) -> bool:
    known = [layer for layer in layers if type(layer) in TENSORS]
    return len(known) == len(layers) and len({_form(layer) for layer in known}) == 1


def _form(layer: nn.Module) -> tuple[object, ...]:
    """What layers must have in common."""
    names = TENSORS[type(layer)]
    kept: Tensor = getattr(layer, names[0])
    return names, layer.in_features, layer.bias is None, kept.dtype, kept.device


def _joined(layers: Layers, name: str) -> Tensor:
    olds: list[Tensor] = [getattr(layer, name) for layer in layers]
    whole = torch.cat([old.detach() for old in olds])
    parts = torch.split(whole, [layer.out_features for layer in layers])
    for layer, old, part in zip(layers, olds, parts, strict=True):
        is_parameter = isinstance(old, nn.Parameter)
        setattr(layer, name, nn.Parameter(part, old.requires_grad) if is_parameter else part)
    return whole
