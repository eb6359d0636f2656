"""Initialisations that several families share."""

from __future__ import annotations

from torch import nn


def zero(layer: nn.Module) -> None:
    """Set all parameters of a layer to zero, so that the residual branch it ends starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def xavier(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases in every linear layer of `module`."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
