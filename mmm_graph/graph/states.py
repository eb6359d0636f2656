"""The state of a model that is made of parts: one port of a method, one value for each part that keeps something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mmm_graph.graph.graph import ModelNode
from mmm_graph.registry import Method, ModelType
from mmm_graph.registry.node_type import Ports
from mmm_graph.spec.ports import PortType


def with_states(ports: Ports, method: Method, kind: ModelType, model: ModelNode) -> Mapping[str, PortType]:
    """Ports of a method, each `State` among them as a record of what the parts write under its name.

    A decoder whose blocks write `cache.block0`, `cache.block1` ... thus hands a port `cache: State` from one call to
    the next in pieces that stay on the ranks of their blocks. Their tag is the model's name: no other model reads them.
    """
    if method.path is None or kind.parts is None:
        return ports
    written = [key for part in kind.parts(model.config) for key in part.writes]
    found = dict(ports)
    for name, port in ports.items():
        inner = [key[len(name) + 1 :] for key in written if key.startswith(f"{name}.")]
        if port.kind == "State" and inner:
            piece = PortType("State", tag=model.name)
            found[name] = replace(port, fields=dict.fromkeys(inner, piece))
    return found
