"""Which values of a loop are alike in every turn, and from which turn on: one message has to say what they are."""

from __future__ import annotations

from mmm_graph.graph.graph import Loop, Node, Ref
from mmm_graph.plan.block import Block, Blocks, Step
from mmm_graph.plan.flow import OUTER, Scope, loop_sources
from mmm_graph.plan.ops import Value
from mmm_graph.plan.presence import Presence, declared, of_all, sizes_in
from mmm_graph.plan.rows import IMAGES
from mmm_graph.spec.ports import PortType

FIXED = IMAGES | {"Scalar", "Bool", "State", "Times", "Audio", "Mel"}
"""Kinds that keep their shape from turn to turn; a list of ids may grow."""


class Steady:
    """Tells whether a value has the same shape, dtype and presence in this turn and in all that follow.

    Attributes:
        names: of values that have, with the first such turn of each loop around them.
    """

    def __init__(self, blocks: Blocks) -> None:
        self.flow, self.blocks = blocks.flow, blocks
        self.presence = Presence(blocks.flow, blocks.registry, blocks.needs.carry)
        self._paths: dict[str, bool] = {}
        self.names = self._names(blocks.main)

    def __call__(self, value: Value) -> bool:
        first = self.names.get(value.name)
        return first is not None and all(i >= n for i, n in zip(value.step, first, strict=False))

    def _names(self, block: Block) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for entry in block.entries:
            if not isinstance(entry, Step):
                found |= self._names(entry.block)
            elif entry.path in self.flow.sites and self._path(entry.path):
                turns = [self.presence.settled(loop.path) for loop in self.flow.sites[entry.path].scope]
                known = tuple(n for n in turns if n is not None)
                found.update({name: known for _, name in entry.writes} if len(known) == len(turns) else {})
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
        if isinstance(site.node, Loop) or not self._keeps_shape(site.node):
            return False
        return all(self._input(ref, scope) for _, ref, scope in self.flow.inputs(path))

    def _keeps_shape(self, node: Node) -> bool:
        """Its outputs are always there, of kinds whose sizes are those of its inputs: nothing is routed or grows."""
        inputs, returns, is_path = declared(node, self.blocks.graph, self.blocks.registry)
        known = of_all(inputs)
        fixed = (
            _is_fixed(t) and not t.optional and sizes_in(t.dims or ()) <= known for t in returns.values()
        )
        return is_path or all(fixed)

    def _input(self, ref: Ref, scope: Scope) -> bool:
        if ref.source in ("$each", *OUTER):
            return True
        home = self.flow.home(ref, scope)
        if not home:
            return True
        if ref.source == "$carry":
            return _is_fixed(self.flow.type(ref, scope))
        node = self.flow.sites[ref.source].node
        if isinstance(node, Loop):  # its last turn, of which there is always the same number
            inside = ref.port not in node.collect and node.until is None
            return inside and all(self._input(r, s) for r, s in loop_sources(node, ref.port, home))
        return self._path(ref.source)


def _is_fixed(type_: PortType | None) -> bool:
    return type_ is not None and type_.kind in FIXED and not type_.many
