"""`--stats`: which models a run has loaded, and the most memory that it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from mmm_graph.cli.app import emit
from mmm_graph.cli.units import show_bytes

if TYPE_CHECKING:
    from mmm_graph.api.session import Session


def tell_stats(session: Session, as_json: bool) -> None:
    """Print it, of all processes of the plan: each of them calls this, the first one speaks.

    Memory is that of tensors on an accelerator, else of the whole process, PyTorch included.
    """
    from mmm_graph.train.speed import peak_bytes

    own = {"weights": session.resident(), "peak": peak_bytes(session.device)}
    world = session.world
    ranks = [own] if world is None else world.gather(own)
    if world is not None and world.rank:
        return
    nodes, kinds = session.graph.models, session.registry.models
    there = {name for rank in ranks for name in rank["weights"]}
    left = [name for name, node in nodes.items() if kinds[node.kind].weights and name not in there]
    if as_json:
        emit("stats", ranks=ranks, not_loaded=left)
        return
    for line in lines(ranks, left):
        click.echo(line)


def lines(ranks: Sequence[Mapping[str, Any]], left: Sequence[str]) -> Iterator[str]:
    """As people read it: for each process what it holds, at last what nobody needed."""
    for number, rank in enumerate(ranks):
        who = f"rank {number}: " if len(ranks) > 1 else ""
        held = [f"{name} {show_bytes(size)}" for name, size in rank["weights"].items()]
        total = show_bytes(sum(rank["weights"].values()))
        yield f"{who}loaded {total} of weights: {', '.join(held) or 'none'}"
        if rank["peak"] is not None:
            yield f"{who}peak of memory: {show_bytes(rank['peak'])}"
    if left:
        yield f"not loaded: {', '.join(left)}"
