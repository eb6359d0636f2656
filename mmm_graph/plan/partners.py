"""With whom a rank exchanges in the layers of a model: messages that are in no Program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mmm_graph.graph.graph import Call
from mmm_graph.plan.axes import SPLIT_LAYERS, Axes
from mmm_graph.plan.block import Blocks
from mmm_graph.plan.cost import DTYPE_BYTES, parts_of
from mmm_graph.plan.place import Slice
from mmm_graph.plan.rows import model_type
from mmm_graph.plan.sizes import Sizes


@dataclass(frozen=True)
class Exchange:
    """What the layers of a slice exchange.

    Attributes:
        axes: along which the ranks differ, with their degrees.
        ranks: the others.
        call_bytes: keys and values that this rank sends in a call on whole images, of all branches that run as one, to
            all of them; None where more than these are exchanged, or nobody says how many there are.
    """

    rank: int
    model: str
    axes: str
    ranks: tuple[int, ...]
    call_bytes: int | None

    def dump(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def exchanges(blocks: Blocks, sizes: Sizes) -> Iterator[Exchange]:
    """Of all models and ranks."""
    for model, chain in blocks.plan.models.items():
        axes = blocks.plan.axes_of(model)
        names = ", ".join(f"{a} {n}" for a, n in axes.sizes if a in SPLIT_LAYERS and n > 1)
        for piece in chain if names else ():
            size = _call_bytes(blocks, sizes, model, piece)
            for rank, others in _groups(piece.ranks, axes):
                yield Exchange(rank, model, names, others, size)


def _groups(ranks: tuple[int, ...], axes: Axes) -> Iterator[tuple[int, tuple[int, ...]]]:
    """(rank, ranks that work with it on the same share of the same branch)."""
    places = list(zip(ranks, axes.coordinates(), strict=True))
    for rank, at in places:
        yield (
            rank,
            tuple(
                r for r, b in places if r != rank and all(at[a] == b[a] for a in at if a not in SPLIT_LAYERS)
            ),
        )


def _call_bytes(blocks: Blocks, sizes: Sizes, model: str, piece: Slice) -> int | None:
    axes, node = blocks.plan.axes_of(model), blocks.graph.models[model]
    kept = sum(
        p.kept for p in parts_of(node, model_type(blocks.graph, blocks.registry, model))[piece.a : piece.b]
    )
    call = next((n for n in blocks.graph.walk() if isinstance(n, Call) and n.model == model), None)
    if not kept or call is None or axes["ulysses"] * axes["tensor"] > 1:
        return None
    batch = -(-sizes.batch // axes["data"]) * blocks.joined(call.path)
    numbers = kept * sizes.scale(call) * batch * (axes.pieces - 1) / axes.pieces
    return int(numbers * DTYPE_BYTES[node.dtype or "f32"])
