"""`balance:` of a loss term: its weight is set so that it pulls at a part as hard as the other terms do.

Source: Esser et al. 2021 (arXiv:2012.09841), eq. 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmm_graph.train.player import Term
from mmm_graph.train.ranks import Ranks

LARGEST, TINY = 1e4, 1e-4


def balanced(
    each: Mapping[str, Tensor],
    weigh: Mapping[str, float],
    terms: Mapping[str, Term],
    models: Mapping[str, nn.Module],
    ranks: Ranks,
) -> Tensor:
    """The weighted sum of the terms of a micro-batch, on all ranks with the same weights.

    A balanced term counts its own weight times |gradient of the others| / (|its gradient| + 1e-4), at most 1e4, at the
    matrices and kernels of the part that it names.
    """
    device = next((term.device for term in each.values()), torch.device("cpu"))
    zero = torch.zeros((), device=device)
    plain = [term * weigh[name] for name, term in each.items() if weigh[name] and not terms[name].balance]
    loss = torch.stack(plain).sum() if plain else zero
    reference = loss
    for name, term in each.items():
        place = terms[name].balance
        if place is None or not weigh[name]:
            continue
        weights = part_weights(models[place[0]], place[1])
        others, own = (_norm(x, weights, ranks) for x in (reference, term))
        loss = loss + weigh[name] * (others / (own + TINY)).clamp(0.0, LARGEST) * term
    return loss


def part_weights(model: nn.Module, part: str) -> list[nn.Parameter]:
    """Trained weights of a part; those of the whole model where it has no parts.

    Of a last layer Esser et al. look at the matrix, not the bias; and torch's backward of a group norm crashes (CPU,
    channels last) where its own weights are asked for and its input is not.
    """
    owner = model.get_submodule(f"parts.{part}") if part else model
    trained = [weight for weight in owner.parameters() if weight.requires_grad]
    return [weight for weight in trained if weight.ndim > 1] or trained


def _norm(x: Tensor, weights: Sequence[nn.Parameter], ranks: Ranks) -> Tensor:
    """Of the gradient, averaged over the ranks."""
    if not x.requires_grad:
        return x.new_zeros(())
    grads = torch.autograd.grad(x, weights, retain_graph=True, allow_unused=True)
    flat = torch.cat(
        [(torch.zeros_like(w) if g is None else g).flatten() for g, w in zip(grads, weights, strict=True)]
    )
    norm: Tensor = (ranks.total(flat) / ranks.size).norm().detach()
    return norm
