"""Random numbers keyed by what they are for, so that they do not depend on batch, order, device or ranks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Draw = Callable[[torch.Generator], Tensor]
Element = int | tuple[int, ...]
"""Number of a row in the batch; of a row that is not the first one of its element, with which one it is."""


@dataclass(frozen=True)
class Noise:
    """A source of random tensors for one call of one node; row r belongs to batch element `elements[r]`.

    The same key gives the same numbers, so a second draw of one kind in one call needs another `name`.

    Attributes:
        seeds: run seed of each row, or one for all.
        path: path of the node that draws.
        elements: number of each row in the request's batch; routing may leave some out, or make several of one: the
            first of them has the number of its element, the others (number, 1), (number, 2) and so on.
        index: index in each enclosing loop, outermost first.
        window: (a, b, whole): the call works on rows a to b of so many. What has rows (two axes or more) is drawn for
            the whole and cut, so that an image does not depend on how many ranks made it.

    Raises:
        ValueError: neither one seed nor as many as rows.
    """

    seeds: tuple[int, ...]
    path: str
    elements: tuple[Element, ...]
    index: tuple[int, ...] = ()
    window: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        if len(self.seeds) not in (1, len(self.elements)):
            raise ValueError(
                f"{len(self.seeds)} seeds for {len(self.elements)} elements; give one, or one each"
            )

    def normal(
        self,
        shape: Sequence[int],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        name: str = "",
    ) -> Tensor:
        """Standard normal numbers, [b, *shape]: drawn in float32 on the CPU, then cast and moved."""
        draw: Draw = lambda g: self._cut(shape, lambda size: torch.randn(size, generator=g))  # noqa: E731
        return self._draw(f"normal/{name}", draw, shape).to(device, dtype)

    def uniform(
        self,
        shape: Sequence[int] = (),
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        name: str = "",
    ) -> Tensor:
        """Numbers in [0, 1), [b, *shape]."""
        draw: Draw = lambda g: self._cut(shape, lambda size: torch.rand(size, generator=g))  # noqa: E731
        return self._draw(f"uniform/{name}", draw, shape).to(device, dtype)

    def integers(
        self, high: int, shape: Sequence[int] = (), *, device: torch.device | str = "cpu", name: str = ""
    ) -> Tensor:
        """Whole numbers in [0, high), int64, [b, *shape]."""
        draw: Draw = lambda g: self._cut(shape, lambda size: torch.randint(high, size, generator=g))  # noqa: E731
        return self._draw(f"integers/{name}", draw, shape, torch.int64).to(device)

    def _cut(self, shape: Sequence[int], draw: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
        """What is drawn for the whole, cut to the window; rows are the last axis but one."""
        if self.window is None or len(shape) < 2:
            return draw(tuple(shape))
        start, stop, whole = self.window
        rows = shape[-2]
        scaled = whole * rows // (stop - start)
        drawn = draw((*shape[:-2], scaled, shape[-1]))
        return drawn.narrow(-2, start * rows // (stop - start), rows)

    def _draw(
        self, name: str, draw: Draw, shape: Sequence[int], dtype: torch.dtype = torch.float32
    ) -> Tensor:
        seeds = self.seeds * len(self.elements) if len(self.seeds) == 1 else self.seeds
        generator = torch.Generator()
        rows = [
            draw(generator.manual_seed(self._key(seed, element, name)))
            for seed, element in zip(seeds, self.elements, strict=True)
        ]
        return torch.stack(rows) if rows else torch.empty((0, *shape), dtype=dtype)

    def _key(self, seed: int, element: Element, name: str) -> int:
        own = tuple(map(int, element)) if isinstance(element, tuple) else int(element)
        text = repr((int(seed), self.path, own, tuple(map(int, self.index)), name))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
