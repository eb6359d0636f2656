"""Cutting values into pieces and joining pieces: rows of images, shares of a batch; a sampler's state likewise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from mmm_graph.nn.noise import Element
from mmm_graph.parallel.shares import shares
from mmm_graph.plan.ops import WHOLE, At, Fn, Share
from mmm_graph.runtime.arguments import Values
from mmm_graph.runtime.bound import Bound
from mmm_graph.runtime.values import Absent

IMAGE_AXES = 3
"""A tensor of a state with at least so many axes is like the latents; a smaller one is a constant."""


class _All(frozenset[str]):
    """Contains every key."""

    def __contains__(self, key: object) -> bool:
        return True


EVERY_KEY = _All()


def copy(fn: Fn) -> Bound:
    """("copy", "cut", a, b): rows of a piece; ("copy", "take", k, n): a share of a batch; ("copy", "join", "rows")
    or ("copy", "join", "batch"): pieces in their order. What is absent stays so, for the same reason."""
    form, *rest = fn[1:]
    if form == "join":
        return _raw(_join_rows if rest[0] == "rows" else _join_batch, some=rest[0] == "batch")
    first, second = (int(str(n)) for n in rest)
    if form == "cut":
        return _raw(lambda values: _each(values[0], lambda x: _cut(x, first, second)))
    return _raw(lambda values: take(values[0], (first, second)))


def _raw(work: Callable[[list[Any]], Any], *, some: bool = False) -> Bound:
    """Work on values that are there; `some`: without those that are not, if there are others."""

    def run(args: Values, at: At) -> Mapping[str, Any]:
        absent = [value for value in args.values() if type(value) is Absent]
        there = [value for value in args.values() if type(value) is not Absent]
        return {"x": absent[0] if absent and not (some and there) else work(there)}

    return Bound(run, ports=frozenset("x"), raw=True)


def bounds(num: int, share: Share) -> tuple[int, int]:
    """Elements of a share of a batch: as even as they can be, the larger shares first."""
    return shares(num, share[1])[share[0]]


def shared_keys(
    seeds: tuple[int, ...], elements: tuple[Element, ...], share: Share
) -> tuple[tuple[int, ...], tuple[Element, ...]]:
    """The keys of the noise of a share."""
    if share == WHOLE:
        return seeds, elements
    first, last = bounds(len(elements), share)
    return (seeds if len(seeds) == 1 else seeds[first:last]), elements[first:last]


def take(value: Any, share: Share) -> Any:
    """A share of a batch: of tensors and lists along their first axis."""
    if isinstance(value, Mapping):
        return _each(value, lambda x: take(x, share))
    first, last = bounds(len(value), share)
    return value[first:last]


def join(values: list[Any], axis: int) -> Any:
    """Concatenate tensors or lists; numbers become a tensor. None when there are none."""
    if not values:
        return None
    if isinstance(values[0], Tensor):
        return torch.cat(values, axis) if values[0].dim() else torch.stack(values)
    if isinstance(values[0], list | tuple):
        return [item for value in values for item in value]
    return torch.as_tensor(values)


def _cut(x: Tensor, first: int, last: int) -> Tensor:
    """Rows of an image, stored as the image is."""
    channels_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    rows = x.narrow(-2, first, last - first)
    return rows.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def _join_rows(values: list[Any]) -> Any:
    return _zip(values, lambda xs: torch.cat(xs, -2))


def _join_batch(values: list[Any]) -> Any:
    if values and isinstance(values[0], Mapping):
        return _zip(values, lambda xs: torch.cat(xs, 0))
    return join(values, 0)


def _each(value: Any, work: Callable[[Any], Any]) -> Any:
    """Do it to a tensor, or to those of a state that are like the latents."""
    if isinstance(value, Mapping):
        return {k: work(v) if _is_image(v) else v for k, v in value.items()}
    return work(value)


def _zip(values: list[Any], work: Callable[[list[Tensor]], Tensor]) -> Any:
    if isinstance(values[0], Mapping):
        return {k: work([v[k] for v in values]) if _is_image(x) else x for k, x in values[0].items()}
    return work(values)


def _is_image(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() >= IMAGE_AXES
