"""Which layout a checkpoint has, where each weight of ours stands in it, and what does not fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmm_graph.registry.layout import Layout, Theirs

Shapes = Mapping[str, tuple[int, ...]]
OWN = "our own"
SHOWN = 8


@dataclass(frozen=True)
class Fit:
    """A checkpoint read as one layout.

    Attributes:
        layout: its name.
        where: our name -> its place in the file, of those that are there.
        missing, unused, shapes: what does not fit, in words.
    """

    layout: str
    where: Mapping[str, Theirs]
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()

    @property
    def problems(self) -> int:
        """How many tensors do not fit."""
        return len(self.missing) + len(self.unused) + len(self.shapes)

    def describe(self) -> str:
        """All that does not fit, the first few of each sort by name."""
        lists = (("missing", self.missing), ("not used", self.unused), ("of another shape", self.shapes))
        found = "; ".join(f"{len(names)} {what} ({_some(names)})" for what, names in lists if names)
        return found if self.layout == OWN else f"read as the layout {self.layout}: {found}"


def find_fit(
    ours: Shapes, there: Shapes, *, alike: Mapping[str, Sequence[str]], layouts: Sequence[Layout], config: Any
) -> Fit:
    """The layout that fits; if none does, the one with the fewest problems.

    Args:
        ours: shape of every tensor of the model, by its name in a file of ours.
        there: shape of every tensor of the file.
        alike: all names of a tied tensor, by each of them.
        config: of the model, for layouts whose names depend on it.
    """
    own = {name: Theirs((name,)) for name in ours}
    grows = {name: rows for each in layouts if each.grows for name, rows in each.grows(config).items()}
    fits = [_fit(OWN, own, ours, there, alike, None, grows)]
    fits += [_fit(each.name, each.theirs(ours, config), ours, there, alike, each, grows) for each in layouts]
    return min(fits, key=lambda fit: fit.problems)


def _fit(
    name: str,
    rows: Mapping[str, Theirs],
    ours: Shapes,
    there: Shapes,
    alike: Mapping[str, Sequence[str]],
    layout: Layout | None,
    grows: Mapping[str, int],
) -> Fit:
    where = {n: row for n, row in rows.items() if all(their in there for their in row.names)}
    known = {their for row in rows.values() for their in row.names}
    unused = (n for n in there if n not in known and not (layout is not None and layout.ignores(n)))
    missing = (n for n in ours if not any(other in where for other in alike[n]))
    shapes = _wrong_shapes(where, ours, there, grows, exact=layout is None)
    return Fit(name, where, tuple(sorted(missing)), tuple(sorted(unused)), tuple(shapes))


def _wrong_shapes(
    where: Mapping[str, Theirs], ours: Shapes, there: Shapes, grows: Mapping[str, int], *, exact: bool
) -> Iterator[str]:
    for name, place in where.items():
        for their in place.names:
            found, whole = there[their], place.whole(ours[name])
            if name in grows and _grows(found, whole, grows[name]):
                continue
            if found != whole and (exact or not _flattens(found, whole)):
                text = f"{list(found)} in the file, {list(whole)} in the model"
                yield f"{name}: {text}" if their == name else f"{their} ({name}): {text}"


def _grows(found: tuple[int, ...], whole: tuple[int, ...], rows: int) -> bool:
    """A table without some of its last rows, so many at most."""
    return len(found) == 2 and found[1:] == whole[1:] and 0 < whole[0] - found[0] <= rows


def _flattens(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """The same numbers in the same order: with other axes after the first, or more axes of length 1 before it."""
    return _led(a) == _led(b) or (a[:1] == b[:1] and math.prod(a) == math.prod(b))


def _led(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without axes of length 1 at the start."""
    return shape[next((i for i, n in enumerate(shape) if n != 1), len(shape)) :]


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
