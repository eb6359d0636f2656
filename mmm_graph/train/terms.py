"""What the terms of a loss can train, and which values of a stage say how much of the text is learnt."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_graph.errors import InputError, Place, Problem, problem
from mmm_graph.graph.graph import Call, Graph, Op, called_models, walk
from mmm_graph.spec.training import LossSpec
from mmm_graph.train.reach import needed_nodes, nodes_behind

SUPERVISED = "supervised"
"""Port of ops: the share of tokens whose label is learnt."""


def check_terms(
    graph: Graph,
    terms: Mapping[str, LossSpec],
    trained: frozenset[str],
    stage: str,
    places: Mapping[str, Place | None],
) -> None:
    """Every term with a weight must have something to train behind it.

    Raises:
        InputError: E818, all models behind a term are frozen.
    """
    found: list[Problem] = []
    for name, term in terms.items():
        behind = _models_behind(graph, name)
        if term.weight and not behind & trained:
            which = f"{', '.join(sorted(behind))}, frozen here" if behind else "no model"
            what = f"stage {stage}: the loss {name!r} can train nothing: what is behind it is {which}"
            hint = "add a model to `train:`, or give the loss the weight 0 to only watch it"
            found.append(problem("E818", what, places[name], hint))
    if found:
        raise InputError(found)


def _models_behind(graph: Graph, output: str) -> set[str]:
    if output not in graph.outputs:
        return set()
    out = graph.outputs[output]
    models: set[str] = set()
    for node in walk(nodes_behind(graph, [ref for ref in (out.ref, out.owners) if ref])):
        if isinstance(node, Call):
            models.update(called_models(graph, node))
        elif isinstance(node, Op):
            models.update(node.uses.values())
    return models


def share_name(value: str) -> str:
    """What such a value is called in logs: `supervised.ce` of `ce.supervised`."""
    return f"{SUPERVISED}.{value.removesuffix(f'.{SUPERVISED}')}"


def supervised_shares(graph: Graph) -> tuple[str, ...]:
    """Values such as `ce.supervised` of the ops that are losses, or that losses are made of."""
    ops = [node for node in needed_nodes(graph) if isinstance(node, Op)]
    return tuple(f"{node.path}.{SUPERVISED}" for node in ops if SUPERVISED in node.outputs)
