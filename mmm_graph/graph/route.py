"""`when:`: a whole node is skipped by one Bool, or runs for the rows where a Bool[b] is true."""

from __future__ import annotations

from dataclasses import replace

from mmm_graph.graph.context import Context
from mmm_graph.graph.graph import Link, Loop, Node, Op, Ref, links
from mmm_graph.graph.scope import Bound, Entry, Scope, Wire
from mmm_graph.graph.unify import shown
from mmm_graph.graph.wire import resolve_link
from mmm_graph.spec.graph import NodeSpec
from mmm_graph.spec.ports import Dim, PortType


def gate(
    ctx: Context, scope: Scope, name: str, spec: NodeSpec, nodes: list[Node], made: Entry
) -> tuple[Entry, list[Node]] | None:
    """Put the nodes that one written node became under its `when:`."""
    if spec.when is None:
        return made, nodes
    place = scope.place(name, "when")
    if spec.when.startswith("$params."):
        key = spec.when.removeprefix("$params.")
        if not isinstance(ctx.spec.values.get(key), bool):
            found = ctx.spec.values.get(key, "nothing")
            ctx.report("E205", f"{name}.when: expects a bool parameter, {spec.when} is {found!r}", place)
            return None
        return made, [replace(n, when=n.when or Ref("$params", key)) for n in nodes]
    flag = resolve_link(ctx, scope, spec.when, name, "when")
    if not isinstance(flag, Wire):
        return None
    if flag.type.kind not in ("Bool", "Any"):
        ctx.report("E205", f"{name}.when: expects Bool, got {shown(flag.type)} from {flag.ref}", place)
        return None
    if not flag.type.dims:
        return made, [replace(n, when=n.when or flag.ref) for n in nodes]
    return _per_element(ctx, scope, name, nodes, made, flag)


def _per_element(
    ctx: Context, scope: Scope, name: str, nodes: list[Node], made: Entry, flag: Wire
) -> tuple[Entry, list[Node]] | None:
    """Compact what enters to the rows where the flag is true; what leaves has those rows, `rows` names their owners."""
    assert flag.type.dims is not None
    path, place = scope.child(name), scope.place(name, "when")
    batch, routed = flag.type.dims[0], Dim(over=(f"{path}/when:r",))
    where = Op(
        f"{path}/when",
        {"mask": flag.ref},
        {"rows": PortType("Ids", (routed,))},
        place=place,
        kind="rows.where",
    )
    rows = Ref(where.path, "rows")
    ctx.owners[f"{path}/when:r"] = rows
    ctx.unifier.distinct.add(f"{path}/when:r")
    own = {n.path for n in nodes}
    taken: dict[Ref, Op] = {}
    for ref in dict.fromkeys(r for n in nodes for r in links(n)):
        type_ = ctx.types.get(ref)
        if (
            ref.source in own
            or type_ is None
            or not type_.dims
            or not ctx.unifier.equal(type_.dims[0], batch)
        ):
            continue
        out = replace(type_, dims=(routed, *type_.dims[1:]))
        inputs: dict[str, Link] = {"x": ref, "rows": rows}
        at = f"{path}/take.{ref}".replace("$", "")
        taken[ref] = Op(at, inputs, {"x": out}, place=place, kind="rows.take")
    if not taken:
        message = f"{name}.when: none of its inputs is known to have the batch of {shown(flag.type)}"
        ctx.report("E205", message, place, "a Bool of one value, Bool[], gates the whole node")
        return None
    swap = {ref: Ref(op.path, "x") for ref, op in taken.items()}
    inner = [_swapped(ctx, n, swap, batch, routed) for n in nodes]
    outputs = {k: _routed(ctx, b, batch, routed) for k, b in (made.outputs or {}).items()}
    outputs.setdefault("rows", Wire(rows, where.outputs["rows"]))
    return Entry(outputs), [where, *taken.values(), *inner]


def _swapped(ctx: Context, node: Node, swap: dict[Ref, Ref], batch: Dim, routed: Dim) -> Node:
    """The node reading compacted values, its outputs retyped."""

    def new(link: Link) -> Link:
        return swap.get(link, link) if isinstance(link, Ref) else tuple(swap.get(r, r) for r in link)

    changed = replace(
        node,
        inputs={k: new(v) for k, v in node.inputs.items()},
        outputs={k: _retyped(ctx, v, batch, routed) for k, v in node.outputs.items()},
    )
    for port, type_ in changed.outputs.items():
        ctx.types[Ref(node.path, port)] = type_
    if isinstance(changed, Loop):
        carry = {k: swap.get(r, r) for k, r in changed.carry.items()}
        body = tuple(_swapped(ctx, n, swap, batch, routed) for n in changed.body)
        return replace(changed, carry=carry, body=body)
    return changed


def _routed(ctx: Context, bound: Bound, batch: Dim, routed: Dim) -> Bound:
    return replace(bound, type=_retyped(ctx, bound.type, batch, routed)) if isinstance(bound, Wire) else bound


def _retyped(ctx: Context, type_: PortType, batch: Dim, routed: Dim) -> PortType:
    if type_.dims and ctx.unifier.equal(type_.dims[0], batch):
        return replace(type_, dims=(routed, *type_.dims[1:]))
    return type_
