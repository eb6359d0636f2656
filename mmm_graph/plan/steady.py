"""Which values of a loop are alike in every turn, so that only their first message has to say what it is."""

from __future__ import annotations

from mmm_graph.graph.graph import Call, Node, Ref
from mmm_graph.plan.block import Block, Blocks, Step
from mmm_graph.plan.flow import Scope
from mmm_graph.plan.ops import Value
from mmm_graph.plan.rows import IMAGES, model_type
from mmm_graph.spec.ports import PortType

FIXED = IMAGES | {"Scalar", "Bool", "State", "Times", "Audio", "Mel"}
"""Kinds that keep their shape from turn to turn; a list of ids may grow."""


class Steady:
    """Tells whether a value has the same shape, dtype and presence in all turns of its loop."""

    def __init__(self, blocks: Blocks) -> None:
        self.flow, self.blocks = blocks.flow, blocks
        self._paths: dict[str, bool] = {}
        self.names: frozenset[str] = frozenset(self._names(blocks.main))

    def __call__(self, value: Value) -> bool:
        return value.name in self.names

    def _names(self, block: Block) -> set[str]:
        found: set[str] = set()
        for entry in block.entries:
            if not isinstance(entry, Step):
                found |= self._names(entry.block)
            elif entry.path in self.flow.sites and self._path(entry.path):
                found.update(name for _, name in entry.writes)
        return found

    def _path(self, path: str) -> bool:
        if path not in self._paths:
            self._paths[path] = True  # what goes round through a carry is settled by its other inputs
            self._paths[path] = self._find(path)
        return self._paths[path]

    def _find(self, path: str) -> bool:
        site = self.flow.sites[path]
        if not site.scope or any(scope for _, scope in self.flow.conditions(path)):
            return False
        if not self._keeps_shape(site.node):
            return False
        return all(self._input(ref, scope) for _, ref, scope in self.flow.inputs(path))

    def _keeps_shape(self, node: Node) -> bool:
        if isinstance(node, Call):
            kind = model_type(self.blocks.graph, self.blocks.registry, node.model)
            if kind.methods[node.method].path is not None:
                return True
        return all(_is_fixed(t) for t in node.outputs.values())

    def _input(self, ref: Ref, scope: Scope) -> bool:
        home = self.flow.home(ref, scope) if ref.source != "$each" else ()
        if not home:
            return True
        if ref.source == "$carry":
            return _is_fixed(self.flow.type(ref, scope))
        return self._path(ref.source) if len(home) == len(scope) else True


def _is_fixed(type_: PortType | None) -> bool:
    return type_ is not None and type_.kind in FIXED and not type_.many
