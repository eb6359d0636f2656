"""A `loop:`: turns, typed carry, body, outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mmm_graph.errors import InputError
from mmm_graph.graph.context import Context
from mmm_graph.graph.graph import Loop, Node, Ref
from mmm_graph.graph.scope import Bound, Scope, Wire
from mmm_graph.graph.unify import shown
from mmm_graph.graph.wire import connect, resolve_link
from mmm_graph.spec.graph import LoopSpec, NodeSpec
from mmm_graph.spec.params import substitute
from mmm_graph.spec.ports import Dim, PortType

Compile = Callable[[Context, Scope, Mapping[str, NodeSpec]], list[Node]]


def compile_loop(
    ctx: Context, scope: Scope, name: str, spec: NodeSpec, compile_nodes: Compile
) -> Loop | None:
    """Compile a loop with its body; None when something in it was refused."""
    assert spec.loop is not None
    before = len(ctx.problems)
    loop, path = spec.loop, scope.child(name)
    count, limit = _turns(ctx, scope, name, loop)
    carry = _wires(ctx, scope, (name, "loop", "carry"), loop.carry)
    inner = _body_scope(ctx, scope, name, loop, carry)
    body = compile_nodes(ctx, inner, loop.nodes)
    at_end = Scope(
        path, lambda *keys: scope.place(*keys), inner.words, scope.models, scope, scope.inside, inner.names
    )
    following = _next(ctx, at_end, name, loop, carry)
    out = _wires(ctx, at_end, (name, "loop", "out"), loop.out)
    collect, collected = _collect(ctx, at_end, name, loop, (path, count))
    until = resolve_link(ctx, at_end, loop.until, name, "loop", "until") if loop.until else None
    if isinstance(until, Wire):
        connect(ctx, f"{name}.until", PortType("Bool"), until, scope.place(name, "loop", "until"))
    preview = _preview(ctx, at_end, name, loop)
    types = (
        {k: w.type for k, w in out.items()}
        | collected
        | {k: w.type for k, w in carry.items() if k not in out}
    )
    if not types:
        ctx.report(
            "E211", f"{name}: the loop has no output", scope.place(name, "loop"), "add `out:` or `carry:`"
        )
    if len(ctx.problems) > before or any(e.outputs is None for e in inner.names.values()):
        return None
    return Loop(
        path,
        {},
        types,
        None,
        {},
        scope.place(name),
        count,
        limit,
        tuple(loop.each),
        until.ref if isinstance(until, Wire) else None,
        {k: w.ref for k, w in carry.items()},
        {k: w.ref for k, w in following.items()},
        tuple(body),
        {k: w.ref for k, w in out.items()},
        collect,
        tuple(loop.stream),
        preview,
    )


def _body_scope(ctx: Context, scope: Scope, name: str, loop: LoopSpec, carry: Mapping[str, Wire]) -> Scope:
    """What the body can name: its own nodes, `$carry`, `$each` and everything around it."""
    each: dict[str, Bound] = {k: Wire(Ref("$each", k), PortType("Scalar", ())) for k in loop.each}
    carried: dict[str, Bound] = {k: Wire(Ref("$carry", k), w.type) for k, w in carry.items()}
    for key, wire in carry.items():
        ctx.facts[Ref("$carry", key)] = ctx.facts.get(wire.ref, {})
        if wire.ref in ctx.tags:
            ctx.tags[Ref("$carry", key)] = ctx.tags[wire.ref]
    words = {"carry": carried, "each": each}
    place = lambda *keys: scope.place(name, "loop", "nodes", *keys)  # noqa: E731
    return Scope(scope.child(name), place, words, scope.models, scope, scope.inside)


def _turns(ctx: Context, scope: Scope, name: str, loop: LoopSpec) -> tuple[int | None, int | None]:
    """(known number of turns, most turns of an until loop)."""
    place = scope.place(name, "loop")
    counts: dict[str, Any] = {}
    for key, link in loop.each.items():
        bound = resolve_link(ctx, scope, link, name, "loop", "each", key)
        if isinstance(bound, Wire):
            counts[key] = ctx.facts.get(bound.ref, {}).get("count")
            if not isinstance(counts[key], int):
                where = scope.place(name, "loop", "each", key)
                message = f"{name}: the number of turns of {link!r} is not known before running"
                ctx.report("E211", message, where, "use a port whose node type declares a count, or `max:`")
    if len(set(counts.values())) > 1:
        ctx.report("E211", f"{name}: `each` disagrees on the number of turns: {counts}", place)
    count = next((c for c in counts.values() if isinstance(c, int)), None)
    if loop.max is None:
        return count, None
    try:
        limit = substitute(loop.max, ctx.spec.values, lambda path: scope.place(name, "loop", "max"))
    except InputError as error:
        ctx.problems.extend(error.problems)
        return count, None
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        ctx.report("E211", f"{name}: max must be an integer of at least 1, found {limit!r}", place)
        return count, None
    return (limit, None) if loop.until is None and count is None else (count, limit)


def _next(
    ctx: Context, scope: Scope, name: str, loop: LoopSpec, carry: Mapping[str, Wire]
) -> dict[str, Wire]:
    following = _wires(ctx, scope, (name, "loop", "next"), loop.next)
    for key, wire in following.items():
        if key in carry:
            place = scope.place(name, "loop", "next", key)
            connect(ctx, f"{name}.next.{key}", replace(carry[key].type, optional=False), wire, place)
    return following


def _collect(
    ctx: Context, scope: Scope, name: str, loop: LoopSpec, at: tuple[str, int | None]
) -> tuple[dict[str, tuple[Ref, int]], dict[str, PortType]]:
    path, count = at
    refs: dict[str, tuple[Ref, int]] = {}
    types: dict[str, PortType] = {}
    for key, item in loop.collect.items():
        bound = resolve_link(ctx, scope, item.from_, name, "loop", "collect", key, "from")
        if not isinstance(bound, Wire):
            continue
        dims = bound.type.dims
        if dims is None or not 0 <= item.axis < len(dims):
            message = f"{name}.collect.{key}: axis {item.axis} is not an axis of {shown(bound.type)}"
            ctx.report("E211", message, scope.place(name, "loop", "collect", key))
            continue
        one = dims[item.axis]
        many = (
            Dim(one.coef * count, one.over, one.under) if count is not None else Dim(over=(f"{path}:{key}",))
        )
        types[key] = replace(bound.type, dims=(*dims[: item.axis], many, *dims[item.axis + 1 :]))
        refs[key] = (bound.ref, item.axis)
    return refs, types


def _preview(ctx: Context, scope: Scope, name: str, loop: LoopSpec) -> tuple[Ref, int] | None:
    if loop.preview is None:
        return None
    bound = resolve_link(ctx, scope, loop.preview.from_, name, "loop", "preview", "from")
    return (bound.ref, loop.preview.every) if isinstance(bound, Wire) else None


def _wires(ctx: Context, scope: Scope, keys: tuple[str, ...], links: Mapping[str, str]) -> dict[str, Wire]:
    found: dict[str, Wire] = {}
    for key, text in links.items():
        bound = resolve_link(ctx, scope, text, *keys, key)
        if isinstance(bound, Wire):
            found[key] = bound
        elif bound is not None:
            where = ".".join((*keys, key))
            ctx.report(
                "E211",
                f"{where}: a Cond cannot be carried; link its fields one by one",
                scope.place(*keys, key),
            )
    return found
