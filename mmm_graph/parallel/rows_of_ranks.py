"""All rows of a batch that is spread over the ranks, with autograd: for losses that compare samples."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mmm_graph.errors import RunError, problem

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.bool)
MAX_AXES = 6


def rows_of_ranks(
    x: Tensor | None, device: torch.device, group: dist.ProcessGroup | None = None
) -> tuple[Tensor | None, slice]:
    """Concatenate the rows of all ranks, in their order.

    A rank without rows joins too, so that ranks which lack a modality do not stay away from the others. The gradient
    of the result is summed over the ranks: where each has a loss of its own, their mean is what is trained.

    Args:
        x: [b, ...], this rank's rows; None = it has none. Numbers of rows may differ, the other axes may not.
        device: of the rows.
        group: default: all ranks.

    Returns:
        Rows of all ranks (None: no rank has any), and which of them are this rank's.

    Raises:
        RunError: E863, rows differ in more than their number; on every rank.
    """
    heads = _heads(x, group)
    counts = [int(head[0]) for head in heads]
    rank = dist.get_rank(group)
    _check(heads)
    start = sum(counts[:rank])
    own = slice(start, start + counts[rank])
    if not any(counts):
        return None, own
    if x is None:
        _, dtype, axes, is_trained, *sizes = heads[next(i for i, n in enumerate(counts) if n)].tolist()
        x = torch.zeros((0, *sizes[: axes - 1]), dtype=DTYPES[dtype], device=device)
        x.requires_grad_(bool(is_trained))  # backward is a meeting of all ranks as well
    found: Tensor = _Gather.apply(x, counts, own, group)  # type: ignore[no-untyped-call]
    return found, own


def _heads(x: Tensor | None, group: dist.ProcessGroup | None) -> list[Tensor]:
    """Of every rank: rows, dtype, number of axes, whether it needs a gradient, and the lengths of the other axes."""
    head = torch.zeros(4 + MAX_AXES, dtype=torch.int64)
    if x is not None:
        said = [len(x), DTYPES.index(x.dtype), x.dim(), int(x.requires_grad), *x.shape[1:]]
        head[: len(said)] = torch.tensor(said)
    heads = [torch.empty_like(head) for _ in range(dist.get_world_size(group))]
    dist.all_gather(heads, head, group=group)
    return heads


def _check(heads: list[Tensor]) -> None:
    said = {rank: head[1:].tolist() for rank, head in enumerate(heads) if head[0]}
    first = next(iter(said.values()), None)
    other = next((rank for rank, own in said.items() if own != first), None)
    if first is None or other is None:
        return
    one, two = (f"{DTYPES[own[0]]} {own[3 : 2 + own[1]]}" for own in (first, said[other]))
    what = f"rows of the ranks do not fit together: rank {next(iter(said))} has {one}, rank {other} {two}"
    hint = "texts of one length are gathered only: set `pad: max_length` of the tokenizer"
    raise RunError(problem("E863", what, hint=hint))


class _Gather(torch.autograd.Function):
    """Rows of all ranks; backward: the sum of their gradients, cut to our rows."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, counts: list[int], own: slice, group: dist.ProcessGroup | None
    ) -> Tensor:
        ctx.own, ctx.group = own, group
        most = max(counts)
        padded = x.new_zeros((most, *x.shape[1:]))  # backends gather pieces of one size
        padded[: len(x)] = x
        pieces = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(pieces, padded, group=group)
        return torch.cat([piece[:n] for piece, n in zip(pieces, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        grad = grad.contiguous().clone()
        dist.all_reduce(grad, group=ctx.group)
        return grad[ctx.own], None, None, None
