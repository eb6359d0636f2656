"""Convolution of an image whose rows are shared by ranks: neighbours give each other the rows at their borders."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.parallel.exchange import SINGLE, Where
from mmm_graph.parallel.group import Pending
from mmm_graph.parallel.refuse import refuse_gradients
from mmm_graph.parallel.rows import member_rows, need_whole_image

if TYPE_CHECKING:
    from mmm_graph.parallel.sharded import Sharded


class Halo(NamedTuple):
    """Rows that an output row reads beyond the rows that belong to it: above, and below."""

    above: int
    below: int


def conv2d(
    ex: Sharded,
    layer: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: tuple[int, int],
) -> Tensor:
    """Convolution of the rows here with those of the neighbours: b c h w -> b out h/stride w/stride.

    Input rows a to b, multiples of the stride s, give output rows a/s to b/s, which read `before` rows above a and
    k - s - before below b; beyond the image they are zero. In a displaced plan the rows of the neighbours are those of
    the evaluation before (zero when there was none), and the own ones are for the next. x keeps its memory format.

    Raises:
        RunError: E721, a rank has too few rows for its neighbours, or rows that are no multiple of the stride; E723,
            x is part of a graph of gradients.
        ValueError: the convolution leaves another number of rows than h / stride.
    Source: DistriFusion, Li et al. 2024 (arXiv:2402.19481), section 4.1.
    """
    at, kernel = ex.at, weight.shape[2]
    if not at.spans:
        return SINGLE.conv2d(layer, x, weight, bias, stride, padding)
    halo = halo_of(layer, kernel, stride, padding)
    rows = member_rows(at, layer, x.shape[2])
    check_rows(layer, rows, halo, stride)
    if halo == (0, 0):
        return SINGLE.conv2d(layer, x, weight, bias, stride, padding)
    need_whole_image(at, layer, f"a {kernel}x{kernel} convolution")
    if len(at.spans) == 1:
        return SINGLE.conv2d(layer, x, weight, bias, stride, padding)
    refuse_gradients(layer, x)
    swap = start(ex, layer, x, halo)
    even = padding[0] == padding[1]
    framed = room(x, halo, (0, 0) if even else padding)
    inner = framed if even else framed[..., padding[0] : padding[0] + x.shape[3]]
    inner[:, :, halo.above : halo.above + x.shape[2]] = x
    fill(inner, halo, at, swap.wait())
    return F.conv2d(framed, weight, bias, stride, (0, padding[0] if even else 0))


def halo_of(layer: str, kernel: int, stride: int, padding: tuple[int, int]) -> Halo:
    """What a convolution reads beyond its rows.

    Raises:
        ValueError: it leaves another number of rows than h / stride.
    """
    if not kernel - stride <= sum(padding) < kernel:
        raise ValueError(
            f"{layer}: a {kernel}x{kernel} convolution of stride {stride} with zeros {padding} changes the number of "
            f"rows by more than its stride, so ranks cannot share its rows"
        )
    return Halo(padding[0], max(0, kernel - stride - padding[0]))


def check_rows(layer: str, rows: tuple[int, ...], halo: Halo, stride: int) -> None:
    """Refuse a split that the convolution cannot work on; all ranks find the same.

    Raises:
        RunError: E721.
    """
    for member, count in enumerate(rows):
        if count % stride:
            raise RunError(
                problem(
                    "E721",
                    f"{layer}: member {member} has {count} rows, no multiple of the stride {stride}",
                    hint="cut the image at multiples of the model's total stride",
                )
            )
        needed = max(halo.above if member + 1 < len(rows) else 0, halo.below if member else 0)
        if count < needed:
            raise RunError(
                problem(
                    "E721",
                    f"{layer}: member {member} has {count} rows, but its neighbours need {needed} of them",
                    hint="share the rows among fewer ranks, or make the image higher",
                )
            )


def start(ex: Sharded, layer: str, x: Tensor, halo: Halo) -> Pending[dict[int, Tensor]]:
    """Begin to exchange the rows at the borders: what brings the neighbours' rows that this evaluation reads."""
    at, height = ex.at, x.shape[2]
    up, down = at.member - 1, at.member + 1
    gives, shapes = {}, {}
    if up >= 0:
        gives[up], shapes[up] = outward(x[:, :, : halo.below]), shape_of(x, halo.above)
    if down < len(at.spans):
        gives[down], shapes[down] = outward(x[:, :, height - halo.above :]), shape_of(x, halo.below)
    # A convolution of stride 2 reads no rows from below: nothing is sent where there are none.
    gives = {member: rows for member, rows in gives.items() if rows.numel()}
    shapes = {member: shape for member, shape in shapes.items() if shape[1]}
    now = ex.groups.tokens.start_swap(gives, shapes, x)
    if not ex.config.displaced:
        return now
    before = ex.state.get(at, layer, "halo")
    ex.state.put(at, layer, "halo", now)
    if at.sync:
        return now
    return Nothing() if before is None else before


class Nothing:
    """The exchange of the evaluation before the first: no rows, which count as zero."""

    def wait(self) -> dict[int, Tensor]:
        return {}


def outward(rows: Tensor) -> Tensor:
    """Rows to give away, b h w c: what the model does to x next must not reach them."""
    return rows.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)


def shape_of(x: Tensor, rows: int) -> tuple[int, ...]:
    """b h w c of so many rows of x."""
    return x.shape[0], rows, x.shape[3], x.shape[1]


def room(x: Tensor, halo: Halo, sides: tuple[int, int]) -> Tensor:
    """Room for x, the rows of the neighbours and columns of zeros left and right, in the memory format of x."""
    b, c, h, w = x.shape
    is_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    framed = torch.empty(
        (b, c, halo.above + h + halo.below, sides[0] + w + sides[1]),
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last if is_last else torch.contiguous_format,
    )
    return framed.zero_() if any(sides) else framed


def fill(inner: Tensor, halo: Halo, at: Where, came: dict[int, Tensor]) -> None:
    """Put the rows that came, b h w c, above and below; zeros where none came."""
    height = inner.shape[2]
    edges = ((at.member - 1, 0, halo.above), (at.member + 1, height - halo.below, halo.below))
    for member, top, count in edges:
        if count:
            rows = came.get(member)
            inner[:, :, top : top + count] = 0 if rows is None else rows.permute(0, 3, 1, 2)
