"""Size of an item's rectangle, and where its lines enter and leave, given their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmm_graph.view.metrics import BODY, SMALL, TITLE, shorten, text_width
from mmm_graph.view.picture import Slot, Tile
from mmm_graph.view.scene import Edge, Item

BOLD = 1.06
"""How much wider titles are than plain text."""
NAMES = 12.0
"""Height of the row of port names inside a tile."""

PILLS = ("input", "output", "carry", "each", "next")


def make_tile(item: Item, ins: Sequence[tuple[Edge, str]], outs: Sequence[Edge]) -> Tile:
    """A tile at (0, 0) that is wide enough for its words and for the labels on its lines.

    Args:
        item: what is drawn.
        ins: (value, names of the ports that read it), from left to right.
        outs: values that leave, from left to right.
    """
    pill = item.shape in PILLS
    in_names = [(e.key, "" if pill or len(ins) < 2 else port) for e, port in ins]
    out_names = [(e.key, "" if pill or len(outs) < 2 else e.port) for e in outs]
    need_in = [slot_width("", name) for _, name in in_names]
    need_out = [slot_width(e.label, name) for e, (_, name) in zip(outs, out_names, strict=True)]
    text = max(text_width(item.title, TITLE) * BOLD, text_width(shorten(item.subtitle, 30), BODY))
    width = max(text + 22, sum(need_in) + 8, sum(need_out) + 8, 44 if pill else 84)
    lines = (20 if pill else 24) + (15 if item.subtitle else 0)
    height = lines + (NAMES if has_names(in_names) else 0) + (NAMES if has_names(out_names) else 0)
    if item.shape == "carry" and len(in_names) == 1:
        return Tile(
            item,
            0,
            0,
            width,
            height,
            (Slot(in_names[0][0], width / 2 - 7),),
            _slots(out_names, need_out, width),
        )
    return Tile(
        item, 0, 0, width, height, _slots(in_names, need_in, width), _slots(out_names, need_out, width)
    )


def slot_width(label: str, name: str = "") -> float:
    """Room that one line needs: for the label on it and its port's name."""
    return max(14.0, label_width(label) + 6, text_width(name, SMALL) + 8)


def label_width(label: str) -> float:
    """Width of the label on a line; 0 if there is none."""
    return text_width(label, SMALL) + 6 if label else 0.0


def has_names(slots: Sequence[tuple[str, str]]) -> bool:
    """Whether any slot shows its port's name."""
    return any(name for _, name in slots)


def _slots(names: Sequence[tuple[str, str]], need: Sequence[float], width: float) -> tuple[Slot, ...]:
    spare = (width - sum(need)) / max(len(need), 1)
    x, slots = 0.0, []
    for (value, name), room in zip(names, need, strict=True):
        slots.append(Slot(value, x + (room + spare) / 2, name))
        x += room + spare
    return tuple(slots)


def offsets(slots: Sequence[Slot]) -> Mapping[str, float]:
    """Value -> x of its slot."""
    return {slot.value: slot.x for slot in slots}
