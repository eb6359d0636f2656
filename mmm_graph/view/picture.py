"""A laid-out drawing as data: rectangles, lines and labels with coordinates in px. The writers only print it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from mmm_graph.view.scene import Box, Edge, Item


@dataclass(frozen=True)
class Slot:
    """Where a line meets a tile: `x` from the tile's left; `name` is shown inside the tile."""

    value: str
    x: float
    name: str = ""


@dataclass(frozen=True)
class Tile:
    """An item on the page."""

    item: Item
    x: float
    y: float
    width: float
    height: float
    ins: tuple[Slot, ...] = ()
    outs: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Frame:
    """A box on the page."""

    box: Box
    x: float
    y: float
    width: float
    height: float
    depth: int


@dataclass(frozen=True)
class Wire:
    """The line of one value inside one frame: polylines with upright and level pieces, arrow tips, branch points."""

    edge: Edge | None
    x: float
    y: float
    lines: tuple[tuple[tuple[float, float], ...], ...]
    tips: tuple[tuple[float, float], ...] = ()
    dots: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Label:
    """The type of a value, centred on its line."""

    edge: Edge
    x: float
    y: float
    width: float


@dataclass(frozen=True)
class Block:
    """A box with everything in it, laid out from its own corner; `ins` and `outs` are where lines pass its frame."""

    width: float
    height: float
    ins: Mapping[str, float] = field(default_factory=dict)
    outs: Mapping[str, float] = field(default_factory=dict)
    frames: tuple[Frame, ...] = ()
    tiles: tuple[Tile, ...] = ()
    wires: tuple[Wire, ...] = ()
    labels: tuple[Label, ...] = ()

    def moved(self, dx: float, dy: float) -> Block:
        """The same, with its corner at (dx, dy)."""
        return replace(
            self,
            frames=_moved(self.frames, dx, dy),
            tiles=_moved(self.tiles, dx, dy),
            wires=_moved(self.wires, dx, dy),
            labels=_moved(self.labels, dx, dy),
        )


_T = TypeVar("_T", Frame, Tile, Wire, Label)


def _moved(things: Iterable[_T], dx: float, dy: float) -> tuple[_T, ...]:
    return tuple(replace(thing, x=thing.x + dx, y=thing.y + dy) for thing in things)
