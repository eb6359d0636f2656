"""What every rank holds of which model: parts, weights, and the buffers of its attention."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mmm_graph.graph.graph import Call
from mmm_graph.plan.block import Blocks
from mmm_graph.plan.cost import call_flops, parts_of, weight_bytes
from mmm_graph.plan.memory import buffer_bytes
from mmm_graph.plan.place import Plan, Slice
from mmm_graph.plan.rows import model_type
from mmm_graph.plan.sizes import Sizes


@dataclass(frozen=True)
class Holding:
    """A model, or a slice of one, on a rank.

    Attributes:
        shared: how the ranks of the slice share its work; "replicated" where they do the same.
        weight_bytes: of its parts; under `tensor` as if all of them were divided.
        flops_per_call: of this rank, for one batch element.
        buffer_bytes: keys and values kept between evaluations.
    """

    rank: int
    model: str
    kind: str
    parts: str
    shared: str
    weight_bytes: int
    flops_per_call: float
    buffer_bytes: int = 0

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
            found += [
                Holding(rank, name, graph.models[name].kind, _parts(blocks, name, piece), _shared(plan, name, piece),
                        weights // axes["tensor"], flops * work / (axes.pieces * axes["tensor"]), kept)
                for rank in piece.ranks
            ]  # fmt: skip
    return found


def _share(blocks: Blocks, name: str, piece: Slice) -> tuple[int, float]:
    """(weight bytes, share of the work) of a slice."""
    model = blocks.graph.models[name]
    kind = model_type(blocks.graph, blocks.registry, name)
    parts = parts_of(model, kind)
    own = parts if name in blocks.plan.warm_rows else parts[piece.a : piece.b]
    params, flops = sum(p.params for p in parts), sum(p.flops for p in parts)
    weights = weight_bytes(model, kind) * sum(p.params for p in own) // params if params else 0
    return weights, sum(p.flops for p in parts[piece.a : piece.b]) / flops if flops else 0.0


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
