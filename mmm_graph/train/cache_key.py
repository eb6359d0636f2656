"""Content keys of cached values: of the way in which a value is made, and of the sample that it is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.graph.graph import Attached, Call, Graph, Link, ModelNode, Node, Op, Ref, called_models, links
from mmm_graph.registry import Registry
from mmm_graph.runtime import Built
from mmm_graph.train.loader import Batch
from mmm_graph.train.reach import nodes_behind

FORMAT = "mmm_graph cache 1"


def value_keys(
    graph: Graph, values: Sequence[Ref], registry: Registry, built: Mapping[str, Built], precision: str
) -> dict[str, str]:
    """Value -> 32 hex digits that agree where the same nodes with the same configs and weights make it.

    Names of nodes and models are left out: stages with the same frozen models share what is kept.

    Args:
        precision: in which the stage computes.
    """
    weights = {
        model: _weights_digest(built[model])
        for ref in values
        for node in nodes_behind(graph, [ref])
        for model in _models(node, graph)
    }
    return {str(ref): _digest(_recipe(graph, ref, registry, weights, precision)) for ref in values}


def columns_behind(graph: Graph, ref: Ref) -> tuple[str, ...]:
    """Columns of the data that a value is made of."""
    read = [ref, *(link for node in nodes_behind(graph, [ref]) for link in links(node))]
    return tuple(sorted({link.port for link in read if link.source == graph.source}))


def sample_digests(batch: Batch, columns: Sequence[str], rows: int | None = None) -> list[bytes]:
    """What each sample of a batch is: a hash over its columns.

    Args:
        rows: of columns that not every sample has: so many; None: one for each sample.
    """
    return [
        hashlib.blake2b(b"".join(_content(batch.values[c], i) for c in columns), digest_size=16).digest()
        for i in range(len(batch.indices) if rows is None else rows)
    ]


def _content(column: Any, row: int) -> bytes:
    if column is None:
        return b"none"
    value = column[row]
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)} ".encode() + _hash(value)
    return hashlib.blake2b(repr(value).encode(), digest_size=16).digest()


def _hash(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return hashlib.blake2b(flat.view(torch.uint8).numpy().data, digest_size=16).digest()


def _weights_digest(built: Built) -> str:
    """Of what is loaded now, whatever file or stage it came from; of a model without weights: of its files."""
    if not isinstance(built.object, nn.Module):
        return built.fingerprint
    whole = hashlib.blake2b(digest_size=16)
    for name, tensor in built.object.state_dict().items():
        if isinstance(tensor, Tensor):
            whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode() + _hash(tensor))
    return whole.hexdigest()


def _recipe(
    graph: Graph, ref: Ref, registry: Registry, weights: Mapping[str, str], precision: str
) -> dict[str, Any]:
    nodes = nodes_behind(graph, [ref])
    place = {node.path: str(number) for number, node in enumerate(nodes)} | {graph.source: "$data"}
    made = [_told(node, graph, registry, weights, place) for node in nodes]
    return {"format": FORMAT, "precision": precision, "nodes": made, "value": [place[ref.source], ref.port]}


def _told(
    node: Node, graph: Graph, registry: Registry, weights: Mapping[str, str], place: Mapping[str, str]
) -> dict[str, Any]:
    """A node without its name: what it does, with what, and where its inputs come from."""
    models = {model: graph.models[model] for model in _models(node, graph)}
    told: dict[str, Any] = {
        "in": {port: _linked(link, place) for port, link in sorted(node.inputs.items())},
        "models": [
            [m.kind, m.config.model_dump_json(), m.dtype, m.quantize, _attached(m), weights[name]]
            for name, m in models.items()
        ],
        "versions": [_version(registry, kind) for kind in sorted({m.kind for m in models.values()})],
    }
    if isinstance(node, Call):
        told |= {"method": node.method, "config": node.config.model_dump_json() if node.config else ""}
    elif isinstance(node, Op):
        told |= {"op": node.kind, "config": node.config.model_dump_json() if node.config else ""}
        told |= {"uses": list(node.uses), "version": _version(registry, node.kind)}
    return told


def _attached(model: ModelNode) -> list[object]:
    """What stands beside the weights: scales of LoRAs, places of other models."""
    return [*(x.scale for x in model.attach), *(_at(x) for x in model.guests)]


def _at(guest: Attached) -> list[object]:
    return ["parts", guest.side] if guest.named else [guest.every, guest.offset, guest.side]


def _linked(link: Link, place: Mapping[str, str]) -> list[list[str]]:
    refs = link if isinstance(link, tuple) else (link,)
    return [[place.get(ref.source, ref.source), ref.port] for ref in refs]


def _models(node: Node, graph: Graph) -> list[str]:
    called = list(called_models(graph, node)) if isinstance(node, Call) else []
    return [*called, *(node.uses.values() if isinstance(node, Op) else ())]


def _version(registry: Registry, kind: str) -> str:
    """Of the plugin that has the kind."""
    return next((f"{p.distribution} {p.version}" for p in registry.plugins if kind in p.kinds), "")


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()
