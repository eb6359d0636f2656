"""What every rank holds of which model: parts, weights, and the buffers of its attention."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmm_graph.graph.attached import guest_parts
from mmm_graph.graph.graph import Call
from mmm_graph.plan.block import Blocks
from mmm_graph.plan.cost import bytes_of, call_flops, parts_of
from mmm_graph.plan.memory import Resident, buffer_bytes
from mmm_graph.plan.offload import uses_of
from mmm_graph.plan.place import Plan, Slice
from mmm_graph.plan.rows import model_type
from mmm_graph.plan.sizes import Sizes
from mmm_graph.registry.part import Part


@dataclass(frozen=True)
class Holding:
    """A model, or a slice of one, on a rank.

    Attributes:
        shared: how the ranks of the slice share its work; "replicated" where they do the same.
        weight_bytes: of its parts; under `tensor` as if all of them were divided.
        flops_per_call: of this rank, for one batch element.
        buffer_bytes: keys and values kept between evaluations.
        offload: how its weights come and go; "" where they stay.
        at_once_bytes: of its weights, at most, on the device.
    """

    rank: int
    model: str
    kind: str
    parts: str
    shared: str
    weight_bytes: int
    flops_per_call: float
    buffer_bytes: int = 0
    offload: str = ""
    at_once_bytes: int = 0

    def dump(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def holdings(blocks: Blocks, sizes: Sizes, requests: int = 1) -> list[Holding]:
    """What every rank holds, in the order of the file. A slice counts the bytes of its own parts.

    Args:
        requests: how many are in flight.
    """
    plan, graph = blocks.plan, blocks.graph
    found: list[Holding] = []
    for name, chain in plan.models.items():
        flops = max(
            (_flops(n, blocks) for n in graph.walk() if isinstance(n, Call) and n.model == name), default=0.0
        )
        for piece in chain:
            weights, work = _share(blocks, name, piece)
            axes = plan.axes_of(name)
            kept = buffer_bytes(blocks, sizes, name, piece, requests)
            how, at_once = _offloaded(blocks, name, piece, weights)
            found += [
                Holding(rank, name, graph.models[name].kind, _parts(blocks, name, piece), _shared(plan, name, piece),
                        weights // axes["tensor"], flops * work / (axes.pieces * axes["tensor"]), kept,
                        how, at_once // axes["tensor"])
                for rank in piece.ranks
            ]  # fmt: skip
    return found


def resident(blocks: Blocks, held: Iterable[Holding], rank: int) -> Resident:
    """What of a rank's weights is on its device, and when."""
    mine = [h for h in held if h.rank == rank]
    coming: dict[str, int] = {}
    for h in mine:
        if h.offload:
            coming[h.model] = coming.get(h.model, 0) + h.at_once_bytes
    always = sum(h.weight_bytes for h in mine if not h.offload)
    buffers = sum(h.buffer_bytes for h in mine)
    return Resident(always, coming, buffers, uses_of(blocks.flow, blocks.plan.offload))


def _offloaded(blocks: Blocks, name: str, piece: Slice, weights: int) -> tuple[str, int]:
    """(how in words, most bytes at once): by block there is room for so many of the heaviest part; guests stay."""
    said = blocks.plan.offload.get(name)
    if said is None:
        return "", weights
    words = f"offloaded by {said.by}, from {said.from_}"
    if said.by == "model":
        return words, weights
    model = blocks.graph.models[name]
    guests = guest_parts(model, blocks.registry)
    parts = _own(blocks, name, piece)
    own = [bytes_of(model, [part]) for part in parts if part.name not in guests]
    most = max(own) * min(said.ahead + 1, len(own))
    most += bytes_of(model, [part for part in parts if part.name in guests])
    return f"{words}, {said.ahead} ahead", most


def _own(blocks: Blocks, name: str, piece: Slice) -> Sequence[Part]:
    """Parts whose weights a slice has."""
    parts = parts_of(blocks.graph.models[name], model_type(blocks.graph, blocks.registry, name))
    return parts if name in blocks.plan.warm_rows else parts[piece.a : piece.b]


def _share(blocks: Blocks, name: str, piece: Slice) -> tuple[int, float]:
    """(weight bytes, share of the work) of a slice."""
    model = blocks.graph.models[name]
    kind = model_type(blocks.graph, blocks.registry, name)
    parts = parts_of(model, kind)
    own = _own(blocks, name, piece)
    flops = sum(p.flops for p in parts)
    return bytes_of(model, own), sum(p.flops for p in parts[piece.a : piece.b]) / flops if flops else 0.0


def _parts(blocks: Blocks, name: str, piece: Slice) -> str:
    own = parts_of(blocks.graph.models[name], model_type(blocks.graph, blocks.registry, name))[
        piece.a : piece.b
    ]
    return own[0].name if len(own) == 1 else f"{own[0].name}..{own[-1].name}"


def _shared(plan: Plan, name: str, piece: Slice) -> str:
    axes = [f"{axis} {n}" for axis, n in plan.axes_of(name).sizes if n > 1]
    if plan.axes_of(name).displaced:
        axes.append("displaced")
    if name in plan.warm_rows:
        axes.append("all weights, for the warm-up")
    if len(piece.ranks) > 1 and not plan.axes_of(name).sizes:
        axes.append("replicated")
    return ", ".join(axes)


def _flops(node: Call, blocks: Blocks) -> float:
    return call_flops(
        node, blocks.graph.models[node.model], model_type(blocks.graph, blocks.registry, node.model)
    )
