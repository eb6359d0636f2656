"""What layers may not ask of ranks that share them."""

from __future__ import annotations

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem


def refuse_masks(layer: str, mask: Tensor | None, causal: bool) -> None:
    """Masks say which token sees which; ranks that hold some of the tokens do not know the others'.

    Raises:
        RunError: E721, there is a mask or causality.
    """
    if mask is not None or causal:
        what = "causal attention" if causal else "a mask over keys"
        hint = "give this model none of patch, ulysses, ring and patches; it can be spread by tensor, data, cfg or pipe"
        raise RunError(problem("E721", f"{layer} has {what}, but its tokens are on several ranks", hint=hint))


def refuse_gradients(layer: str, x: Tensor) -> None:
    """Gradients do not come back from other ranks.

    Raises:
        RunError: E723, x is part of a graph of gradients.
    """
    if x.requires_grad and torch.is_grad_enabled():
        hint = "train with this model whole on each rank, or run it under torch.no_grad()"
        what = f"{layer} is shared with other ranks, through which gradients do not flow"
        raise RunError(problem("E723", what, hint=hint))
