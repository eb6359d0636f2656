"""The inputs of one node: each link resolved, its type unified with the port's, Cond records flattened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmm_graph.errors import did_you_mean
from mmm_graph.graph.context import Context
from mmm_graph.graph.graph import Link
from mmm_graph.graph.scope import Bound, LinkError, Poison, Record, Scope, Wire, as_record
from mmm_graph.graph.unify import apart, shown
from mmm_graph.spec.ports import COND_FIELDS, PortType


def bind_inputs(
    ctx: Context, scope: Scope, name: str, ports: Mapping[str, PortType], given: Mapping[str, Any]
) -> dict[str, Link] | None:
    """Links of one node, by flattened port name; None when something is wrong or poisoned (already reported).

    Args:
        ports: the node type's inputs with this node's symbols.
        given: the node's `in:` as written.
    """
    bound = resolve_inputs(ctx, scope, name, ports, given)
    good = bound is not None
    inputs: dict[str, Link] = {}
    for port, wanted in ports.items():
        if port in given:
            value = (bound or {}).get(port)
            good &= value is not None and _bind(ctx, scope, (name, port), wanted, value, inputs)
        elif not wanted.optional:
            place = scope.place(name, "in") or scope.place(name)
            ctx.report(
                "E204", f"{name}: input {port!r} ({shown(wanted)}) is not linked", place, "add it under `in:`"
            )
            good = False
    return inputs if good else None


def resolve_inputs(
    ctx: Context, scope: Scope, name: str, ports: Mapping[str, PortType], given: Mapping[str, Any]
) -> dict[str, Bound | tuple[Bound, ...]] | None:
    """What each entry of `in:` means; None when one is no port, means nothing (both reported) or is poisoned."""
    out: dict[str, Bound | tuple[Bound, ...]] = {}
    good = True
    for port, link in given.items():
        if port not in ports:
            place = scope.place(name, "in", port, "@key")
            ctx.report("E203", f"{name}.{port}: there is no such input", place, did_you_mean(port, ports))
            good = False
        value = _resolve(ctx, scope, link, (name, "in", port))
        good &= value is not None
        if value is not None:
            out[port] = value
    return out if good else None


def resolve_link(ctx: Context, scope: Scope, text: Any, *keys: str | int) -> Bound | None:
    """One link; None when it means nothing (reported) or is poisoned."""
    if not isinstance(text, str):
        ctx.report(
            "E202", f"{'.'.join(map(str, keys))}: expects one link, found {text!r:.60}", scope.place(*keys)
        )
        return None
    try:
        bound = scope.resolve(text)
    except LinkError as error:
        ctx.report(error.code, error.message, scope.place(*keys), error.hint)
        return None
    if isinstance(bound, Poison):
        return None
    wires = bound.fields.values() if isinstance(bound, Record) else (bound,)
    ctx.read.update(w.ref for w in wires)
    return bound


def _resolve(
    ctx: Context, scope: Scope, link: Any, keys: tuple[str, ...]
) -> Bound | tuple[Bound, ...] | None:
    if isinstance(link, str):
        return resolve_link(ctx, scope, link, *keys)
    if isinstance(link, Mapping):
        fields = {k: resolve_link(ctx, scope, v, *keys, k) for k, v in link.items()}
        wires = {k: v for k, v in fields.items() if isinstance(v, Wire)}
        unknown = [k for k in link if k not in COND_FIELDS]
        for field in unknown:
            hint = did_you_mean(field, COND_FIELDS)
            ctx.report(
                "E203", f"{'.'.join(keys)}: Cond has no field {field!r}", scope.place(*keys, field), hint
            )
        return Record(wires) if len(wires) == len(link) and not unknown else None
    items = [resolve_link(ctx, scope, v, *keys, i) for i, v in enumerate(link)]
    return tuple(v for v in items if v is not None) if all(v is not None for v in items) else None


def _bind(
    ctx: Context, scope: Scope, at: tuple[str, str], wanted: PortType, value: Any, inputs: dict[str, Link]
) -> bool:
    name, port = at
    place = scope.place(name, "in", port)
    if wanted.kind == "Cond":
        if isinstance(value, tuple):
            ctx.report("E205", f"{name}.{port}: expects one Cond, found a list of links", place)
            return False
        return _bind_record(ctx, scope, at, wanted, as_record(value), inputs)
    if isinstance(value, Record) and wanted.fields is not None:
        return _bind_record(ctx, scope, at, wanted, value, inputs)
    if isinstance(value, Record):
        have = ", ".join(value.fields)
        hint = f"link one of its fields ({have}) or a port of its node"
        what = "State" if all(w.type.kind == "State" for w in value.fields.values()) else "Cond"
        ctx.report("E205", f"{name}.{port}: expects {shown(wanted)}, got a {what} of {have}", place, hint)
        return False
    if isinstance(value, tuple):
        if not wanted.many:
            message = f"{name}.{port}: expects one {shown(wanted)}, found a list of links"
            ctx.report("E205", message, place, "this port is not variadic")
            return False
        item = replace(wanted, many=False)
        inputs[port] = tuple(w.ref for w in value)
        found = [connect(ctx, f"{name}.{port}", apart(item, i), w, place) for i, w in enumerate(value)]
        return all(found)
    inputs[port] = value.ref
    return connect(ctx, f"{name}.{port}", wanted, value, place)


def _bind_record(
    ctx: Context, scope: Scope, at: tuple[str, str], wanted: PortType, record: Record, inputs: dict[str, Link]
) -> bool:
    name, port = at
    place = scope.place(name, "in", port)
    fields = wanted.fields
    if fields is None:
        inputs.update({f"{port}.{k}": w.ref for k, w in record.fields.items()})
        return True
    good = True
    for field, type_ in fields.items():
        if field in record.fields:
            wire = record.fields[field]
            inputs[f"{port}.{field}"] = wire.ref
            good &= connect(ctx, f"{name}.{port}.{field}", type_, wire, place)
        elif not type_.optional:
            have = ", ".join(record.fields)
            ctx.report(
                "E204",
                f"{name}.{port}: reads {field!r} ({shown(type_)}), but the {wanted.kind} has {have}",
                place,
            )
            good = False
    return good


def connect(ctx: Context, where: str, wanted: PortType, wire: Wire, place: Any) -> bool:
    """Unify an edge; report both ends when it cannot be."""
    ctx.ask(wanted)
    offered = ctx.unifier.type(wire.type)
    expected = ctx.unifier.type(wanted)
    if ctx.unifier.match(wire.type, wanted):
        return True
    message = f"{where}: expects {shown(expected)}, got {shown(offered)} from {wire.ref}"
    ctx.report("E205", message, place, _why(offered, expected))
    return False


def _why(offered: PortType, wanted: PortType) -> str:
    if offered.kind != wanted.kind:
        return f"{offered.kind} is not {wanted.kind}: a node between the two has to turn one into the other"
    if offered.tag and wanted.tag and offered.tag != wanted.tag:
        return f"values of {offered.tag!r} do not mean the same as values of {wanted.tag!r}"
    if offered.dims is not None and wanted.dims is not None and len(offered.dims) != len(wanted.dims):
        return f"{len(offered.dims)} dims against {len(wanted.dims)}"
    return "the sizes do not agree"
