"""`quantize:` of a model: each weight of a linear layer is packed when it is read, so that none is there twice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_graph.graph.graph import ModelNode
from mmm_graph.nn.quantized import QuantizedLinear, quantizable, quantize_layer


def quantizer(
    module: nn.Module, node: ModelNode, device: torch.device, dtype: torch.dtype | None
) -> Callable[[str, Tensor], bool]:
    """What takes the weights of linear layers, by their names in the module, and puts quantized layers there.

    Args:
        dtype: of the model; None = that of each layer.

    Raises:
        RunError: when it is called: E635, numbers that are infinite or NaN.
    """
    how = node.quantize
    layers = dict(quantizable(module)) if how is not None else {}

    def take(name: str, value: Tensor) -> bool:
        layer, _, leaf = name.rpartition(".")
        if how is None or leaf != "weight" or layer not in layers:
            return False
        if isinstance(module.get_submodule(layer), QuantizedLinear):
            return True  # a tied weight comes once for each of its names
        try:
            quantize_layer(module, layer, value.to(device), how, dtype or layers[layer].weight.dtype)
        except ValueError as error:
            what = f"weights of {node.name}: {name} cannot be quantized: {error}"
            raise RunError(
                problem("E635", what, node.place, "leave out `quantize:`, or fetch the file again")
            ) from error
        return True

    return take


def quantize_built(module: nn.Module, node: ModelNode) -> None:
    """Quantize a module that has its weights already.

    Raises:
        RunError: E635.
    """
    layers = [name for name, _ in quantizable(module)] if node.quantize is not None else []
    for name in layers:
        weight = module.get_submodule(name).get_parameter("weight")
        quantizer(module, node, weight.device, None)(f"{name}.weight", weight)
