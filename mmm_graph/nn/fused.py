"""Several projections of the same tokens as one product, while their weights stay parameters of their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmm_graph.nn.linear import Linear
from mmm_graph.parallel.product import product


class Fused:
    """Weights of some linear layers as one matrix, of which their own are views."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self.sizes = [layer.out_features for layer in layers]
        self.weight = _joined(layers, "weight")
        self.bias = None if layers[0].bias is None else _joined(layers, "bias")
        self.places = _places(layers)

    def holds(self, layers: Sequence[nn.Linear]) -> bool:
        """Whether all layers still have these weights: moving or replacing one parts them from here."""
        return self.places == _places(layers)

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        return torch.split(product(x, self.weight, self.bias), self.sizes, -1)


class Projections:
    """Linear layers that read the same tokens: ... d -> ... out, for each.

    Args:
        names: of the layers, in the module that calls.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self.fused: Fused | None = None

    def __call__(self, owner: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        """What each layer makes of x; by one product where `fuse` has joined them and no gradients are wanted."""
        layers = [getattr(owner, name) for name in self.names]
        if self.fused is None or torch.is_grad_enabled():
            return tuple(layer(x) for layer in layers)
        if torch.compiler.is_compiling() or self.fused.holds(layers):
            return self.fused(x)
        return tuple(layer(x) for layer in layers)


def fuse(module: nn.Module) -> None:
    """Join the projections of every layer that has some. Layers that compute something else than a product stay apart.

    Memory stays what it was, but for one layer at a time. For devices where few large products are faster; on CPUs
    they take as long (docs/decisions/027).
    """
    for layer in module.modules():
        for projections in [v for v in vars(layer).values() if isinstance(v, Projections)]:
            linears = [getattr(layer, name) for name in projections.names]
            if _alike(linears):
                projections.fused = Fused(linears)


def _alike(layers: Sequence[nn.Module]) -> bool:
    plain = [layer for layer in layers if type(layer) in (nn.Linear, Linear)]
    forms = {(p.in_features, p.bias is None, p.weight.dtype, p.weight.device) for p in plain}
    return len(plain) == len(layers) and len(forms) == 1


def _places(layers: Sequence[nn.Linear]) -> list[int]:
    return [p.data_ptr() for layer in layers for p in (layer.weight, layer.bias) if p is not None]


def _joined(layers: Sequence[nn.Linear], name: str) -> Tensor:
    whole = torch.cat([layer.get_parameter(name).detach() for layer in layers])
    for layer, part in zip(layers, torch.split(whole, [layer.out_features for layer in layers]), strict=True):
        trains = layer.get_parameter(name).requires_grad
        setattr(layer, name, nn.Parameter(part, requires_grad=trains))
    return whole
