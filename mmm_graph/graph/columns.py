"""The columns of a section's data: those of one source, of several in turn, or of several side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from mmm_graph.errors import InputError, did_you_mean
from mmm_graph.graph.context import Context
from mmm_graph.graph.graph import Graph, Input, Ref
from mmm_graph.graph.scope import Scope
from mmm_graph.graph.section import Section
from mmm_graph.graph.unify import scoped
from mmm_graph.registry import DataType
from mmm_graph.spec.graph import DataSpec, NodeSpec
from mmm_graph.spec.ports import Dim, PortType, parse_port

Columns = dict[str, PortType]
CompileEach = Callable[[str, Mapping[str, PortType]], Graph]
"""(name of a subgraph, columns) -> the graph that runs for each sample."""
ROUTED = re.compile(r"r(_\w+)?")
"""Batch axes of columns that samples may lack."""


def data_inputs(ctx: Context, part: Section, compile_each: CompileEach) -> dict[str, Input]:
    """Columns of the data as inputs: `image`, or `source.image` when the nodes read each source for itself.

    A column whose batch axis is `r` has rows for those samples that have it, and `image.rows` names them.
    """
    each = {
        name: source_columns(ctx, part.where, name, spec, compile_each) for name, spec in part.data.items()
    }
    offered = {name: columns for name, columns in each.items() if columns is not None}
    if len(offered) < len(part.data):
        return {}
    if list(offered) == [""]:
        return _inputs(ctx, offered[""], "")
    if is_beside(part):
        found: dict[str, Input] = {}
        for name, columns in offered.items():
            found |= _inputs(ctx, columns, name)
        return found
    merged = _merged(ctx, part, offered)
    return {} if merged is None else _inputs(ctx, merged, "")


def source_columns(
    ctx: Context, where: tuple[str, ...], name: str, spec: DataSpec, compile_each: CompileEach
) -> Columns | None:
    """Types of the columns of one source, after its `each` and its packing; None when wrong (reported)."""
    keys = (*where, "data", *([name] if name else []))
    scope = Scope("", lambda *more: ctx.spec.place(*keys, *more))
    kind = ctx.lookup(spec.op, "data kind", ctx.registry.data, scope.place("op"))
    if not isinstance(kind, DataType):
        return None
    config = ctx.config(kind.config, spec.config, scope, "config")
    if config is None:
        return None
    columns = {k: parse_port(v, ctx.registry.known_port_kinds) for k, v in kind.columns(config).items()}
    if spec.each is not None:
        if spec.each not in ctx.spec.graphs:
            hint = did_you_mean(spec.each, ctx.spec.graphs)
            ctx.report("E209", f"`each:`: there is no subgraph {spec.each!r}", scope.place("each"), hint)
            return None
        try:
            columns |= each_columns(compile_each(spec.each, columns))
        except InputError as error:
            ctx.problems += [p for p in error.problems if p not in ctx.problems]
            return None
    if spec.pack is not None:
        packed = packed_columns(columns)
        if packed is None:
            what = (
                "`pack:` needs Ids[b,t] columns of one length symbol, such as ids that `each:` makes of texts"
            )
            ctx.report("E827", what, scope.place("pack"), "tokenise in `each:`")
        return packed
    return columns


def is_beside(part: Section) -> bool:
    """Whether the nodes name the source of a column: `$data.laion.image`."""
    return any(text.startswith(f"$data.{name}.") for text in _links(part) for name in part.data)


def is_routed(type_: PortType) -> bool:
    """Whether samples may lack the column: its batch axis is `r`, or `r_` and a name."""
    over = type_.dims[0].over if type_.dims else ()
    return len(over) == 1 and ROUTED.fullmatch(over[0]) is not None and not type_.many


def each_columns(graph: Graph) -> Columns:
    """Outputs of the graph of an `each:` as columns; symbols keep their last names where these differ."""
    dims_of = [d for item in graph.inputs.values() for d in item.type.dims or ()]
    names = {n: n.rpartition(":")[2] for d in dims_of for n in (*d.over, *d.under)}

    def short(full: tuple[str, ...]) -> tuple[str, ...]:
        for name in full:
            last = name.rpartition(":")[2]
            names.setdefault(name, last if last not in names.values() else f"{last}{len(names)}")
        return tuple(names[name] for name in full)

    found = {}
    for name, output in graph.outputs.items():
        dims = output.type.dims
        plain = None if dims is None else tuple(Dim(d.coef, short(d.over), short(d.under)) for d in dims)
        found[name] = replace(output.type, dims=plain)
    return found


def packed_columns(columns: Columns) -> Columns | None:
    """Columns of samples laid end to end, and the mask and positions that keep them apart; None: there is no length."""
    lengths = {t.dims[1] for t in columns.values() if _is_tokens(t) and t.dims is not None}
    if len(lengths) != 1:
        return None
    (length,) = lengths
    packed = {k: t for k, t in columns.items() if t.dims and len(t.dims) > 1 and t.dims[1] == length}
    batch = Dim(over=("b",))
    more = {name: PortType("Ids", (batch, length)) for name in ("documents", "positions")}
    more["mask"] = PortType("Mask", (batch, length))
    return {**packed, **more}


def _is_tokens(type_: PortType) -> bool:
    dims = type_.dims or ()
    return type_.kind == "Ids" and len(dims) == 2 and dims[1].size is None and not is_routed(type_)


def _inputs(ctx: Context, columns: Columns, source: str) -> dict[str, Input]:
    """Inputs named `source.column`, with the owners of those that samples may lack."""
    prefix, scope = f"{source}." if source else "", f"$data{source}"
    found: dict[str, Input] = {}
    for column, type_ in columns.items():
        own = scoped(type_, scope, {})
        if is_routed(type_):
            assert own.dims is not None
            rows = PortType("Ids", own.dims[:1], optional=True)
            found[f"{prefix}{column}.rows"] = Input(rows)
            ctx.owners.setdefault(own.dims[0].over[0], Ref("$data", f"{prefix}{column}.rows"))
            own = replace(own, optional=True)
        found[prefix + column] = Input(own)
    return found


def _merged(ctx: Context, part: Section, offered: Mapping[str, Columns]) -> Columns | None:
    """The columns of a mixture: one that a source lacks becomes one that samples may lack."""
    merged: Columns = {}
    good = True
    for source, columns in offered.items():
        for name, type_ in columns.items():
            first = merged.setdefault(name, type_)
            if replace(first, optional=False) != replace(type_, optional=False):
                place = ctx.spec.place(*part.where, "data", source)
                hint = f"make them alike, or read each source for itself: $data.{source}.{name}"
                what = f"column {name!r} is {type_} in {source} and {first} in another source of the mixture"
                ctx.report("E826", what, place, hint)
                good = False
    for name, type_ in merged.items():
        lacking = [source for source, columns in offered.items() if name not in columns]
        if lacking and not is_routed(type_) and not type_.many and type_.dims:
            rows = Dim(over=("_".join(["r", *lacking]),))  # alike for all columns that these sources lack
            merged[name] = replace(type_, dims=(rows, *type_.dims[1:]))
    if set(merged) & set(offered):
        name = min(set(merged) & set(offered))
        what = f"{name!r} is a source of the data and a column of another"
        ctx.report("E826", what, ctx.spec.place(*part.where, "data", name), "call the source something else")
        good = False
    return merged if good else None


def _links(part: Section) -> Iterator[str]:
    """Every text in the nodes and outputs of a section that may be a link."""
    yield from (link for link, _, _ in part.outputs.values())
    for node in part.nodes.values():
        yield from _texts(node)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, NodeSpec):
        yield from _texts(value.model_dump())
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
