"""GraphSpec + Registry -> Graph: the meaning of one section of a file, or every error in it at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from mmm_graph.errors import InputError, Place, Problem, did_you_mean, warning
from mmm_graph.graph.attach import settle_guests
from mmm_graph.graph.columns import data_inputs
from mmm_graph.graph.context import Context
from mmm_graph.graph.expand import compile_nodes
from mmm_graph.graph.graph import Call, Graph, Input, Loop, Node, Op, Output, Ref, called_models
from mmm_graph.graph.models import resolve_models, solve_configs
from mmm_graph.graph.nodes import facts_of_node
from mmm_graph.graph.parallel import check_plans
from mmm_graph.graph.requires import check_requires
from mmm_graph.graph.scope import Bound, Scope, Wire
from mmm_graph.graph.section import Section, find_section
from mmm_graph.graph.unify import scoped, shown
from mmm_graph.graph.wire import connect, resolve_link
from mmm_graph.registry import Registry
from mmm_graph.spec.graph import GraphSpec, NodeSpec
from mmm_graph.spec.ports import Dim, PortType


def compile_graph(spec: GraphSpec, registry: Registry, section: str = "main") -> Graph:
    """Resolve, expand, unify, order and check one section.

    Args:
        section: "main", "train.STAGE" or "eval.NAME".

    Raises:
        InputError: with every problem found, root causes only.
    """
    ctx = Context(spec, registry)
    check_requires(ctx)
    resolve_models(ctx)
    check_plans(ctx)
    part = find_section(ctx, section)
    if part.source == "$in":
        return _compile(ctx, part, _graph_inputs(ctx))
    each = partial(compile_each, spec, registry)
    return _compile(ctx, part, data_inputs(ctx, part, each))


def compile_each(spec: GraphSpec, registry: Registry, name: str, columns: Mapping[str, PortType]) -> Graph:
    """The subgraph of an `each:`: its inputs are columns of a sample, its outputs replace them or are new.

    Raises:
        InputError: with every problem found; E825, it has models with weights, or outputs that are not of one sample.
    """
    ctx = Context(spec, registry)
    resolve_models(ctx)
    body = spec.graphs[name]
    given = {k: Input(scoped(t, "", {}), required=False) for k, t in columns.items()}
    node = NodeSpec.model_validate({"graph": name, "in": {k: f"$in.{k}" for k in body.in_ if k in columns}})
    outputs = {k: (f"each.{k}", None, None) for k in body.out}
    part = Section(
        f"each.{name}", "$in", ("graphs", name), {"each": node}, outputs, ("graphs", name, "out"), {}
    )
    graph = _compile(ctx, part, given)
    _check_each(ctx, graph, name)
    return graph


def _check_each(ctx: Context, graph: Graph, name: str) -> None:
    place = ctx.spec.place("graphs", name)
    used = {m for node in graph.walk() for m in _used_models(graph, node)}
    for model in sorted(m for m in used if ctx.model_type(graph.models[m]).weights):
        hint = "call it under the stage's `nodes:`; `cache:` keeps what a frozen model makes"
        ctx.report("E825", f"{name}: `each:` runs in workers, and {model} has weights", place, hint)
    batches = {d.over for t in graph.inputs.values() for d in (t.type.dims or ())[:1]}
    for key, output in graph.outputs.items():
        dims, at = output.type.dims, ctx.spec.place("graphs", name, "out", key)
        if not output.type.many and (not dims or dims[0].over not in batches):
            what = f"{name}: output {key!r} ({shown(output.type)}) of `each:` has not one row for each sample"
            ctx.report("E825", what, at, "its first axis must be that of the columns")
        if output.ref.port == "media_index":
            what = f"{name}: {key!r} counts the media of a whole batch, and `each:` sees one sample"
            ctx.report("E825", what, at, "call the tokenizer under the stage's `nodes:`")
    if ctx.problems:
        raise InputError(_distinct(ctx.problems))


def _used_models(graph: Graph, node: Node) -> tuple[str, ...]:
    if isinstance(node, Call):
        return called_models(graph, node)
    return tuple(node.uses.values()) if isinstance(node, Op) else ()


def _compile(ctx: Context, part: Section, inputs: Mapping[str, Input]) -> Graph:
    spec = ctx.spec
    types = {k: v.type for k, v in inputs.items()}
    ctx.unifier.distinct.update(n for t in types.values() if t.dims for n in t.dims[0].over)
    ctx.types.update({Ref(part.source, k): t for k, t in types.items()})
    ctx.tags.update({Ref(part.source, k): t.tag for k, t in types.items() if t.tag})
    words: dict[str, Mapping[str, Bound]] = {
        part.source[1:]: {k: Wire(Ref(part.source, k), t) for k, t in types.items()}
    }
    scope = Scope("", lambda *keys: spec.place(*part.where, "nodes", *keys), words)
    nodes = compile_nodes(ctx, scope, part.nodes)
    outputs = _outputs(ctx, scope, part)
    unknown = solve_configs(ctx)
    if unknown and not ctx.problems:
        _solve_from_main(ctx, part.name, unknown)
    settle_guests(ctx)
    if ctx.problems:
        raise InputError(_distinct(ctx.problems))
    graph = _finish(ctx, part, inputs, nodes, outputs)
    _check_paths(ctx, graph)
    if ctx.problems:
        raise InputError(_distinct(ctx.problems))
    return graph


def _graph_inputs(ctx: Context) -> dict[str, Input]:
    found: dict[str, Input] = {}
    for name, item in ctx.spec.inputs.items():
        type_ = ctx.written_type(item.type, "", ctx.spec.place("inputs", name))
        if type_ is None:
            continue
        default = ctx.spec.given.get(name, item.default)
        found[name] = Input(type_, default, required=item.required and default is None)
    return found


def _outputs(ctx: Context, scope: Scope, part: Section) -> dict[str, Output]:
    at = Scope(
        "", lambda name, *keys: ctx.spec.place(*part.outputs_at, name, *keys), scope.words, names=scope.names
    )
    found: dict[str, Output] = {}
    for name, (link, declared, save) in part.outputs.items():
        bound = resolve_link(ctx, at, link, name, "from")
        if bound is None:
            continue
        if not isinstance(bound, Wire):
            hint = "link one of its fields"
            ctx.report("E205", f"{name}: an output is one value, {link!r} is a Cond", at.place(name), hint)
            continue
        type_ = bound.type
        if declared is not None:
            wanted = _declared(ctx, name, declared, at.place(name, "type"))
            if wanted is None:
                continue
            if (
                connect(ctx, name, wanted, bound, at.place(name, "type") or at.place(name))
                and wanted.kind != "Any"
            ):
                type_ = wanted
        if save is not None:
            _check_saver(ctx, at, name, type_, save)
        found[name] = Output(bound.ref, type_, save)
    return found


def _declared(ctx: Context, name: str, text: str, place: Place | None) -> PortType | None:
    """The type of an output: symbols of inputs mean the same there, all others are its own."""
    shared = {
        n
        for type_ in ctx.types.values()
        for d in type_.dims or ()
        for n in (*d.over, *d.under)
        if n[0] == ":"
    }
    local = ctx.written_type(text, f"outputs/{name}", place)
    if local is None:
        return None

    def outer(names: tuple[str, ...]) -> tuple[str, ...]:
        found = (f":{n.rpartition(':')[2]}" for n in names)
        return tuple(o if o in shared else n for o, n in zip(found, names, strict=True))

    dims = (
        None if local.dims is None else tuple(Dim(d.coef, outer(d.over), outer(d.under)) for d in local.dims)
    )
    return replace(local, dims=dims)


def _check_saver(ctx: Context, scope: Scope, name: str, type_: PortType, save: Mapping[str, Any]) -> None:
    formats = ctx.registry.formats(type_.kind)
    if save.get("format") not in formats:
        place = scope.place(name, "save", "format") or scope.place(name, "save") or scope.place(name)
        hint = did_you_mean(str(save.get("format")), formats)
        ctx.report("E213", f"{name}: {type_.kind} cannot be saved as {save.get('format')!r}", place, hint)


def _solve_from_main(ctx: Context, section: str, unknown: set[tuple[str, str]]) -> None:
    """A section that does not determine a model's size takes it from the top level."""
    main = compile_graph(ctx.spec, ctx.registry).models if section != "main" and ctx.spec.nodes else {}
    for name, field in sorted(unknown):
        value = getattr(main[name].config, field) if name in main else None
        if value is not None:
            ctx.models[name] = main[name]
            continue
        model = ctx.models[name]
        assert model is not None
        message = f"{name}: {field} is neither in its config nor determined by the links"
        ctx.report("E208", message, model.place, f"say it under models.{name}.config.{field}")


def _finish(
    ctx: Context, part: Section, inputs: Mapping[str, Input], nodes: list[Node], outputs: Mapping[str, Output]
) -> Graph:
    done = tuple(_resolved(ctx, n) for n in nodes)
    typed = {k: replace(v, type=ctx.unifier.type(v.type)) for k, v in inputs.items()}
    outside = {node.path for node in done}  # of loops: what is made in one is gone after it
    known = {name: ref for name, ref in ctx.owners.items() if ref.source in outside or ref.source[0] == "$"}
    owned = {
        k: replace(v, type=ctx.unifier.type(v.type), owners=_owners(ctx, known, v.type))
        for k, v in outputs.items()
    }
    models = {k: v for k, v in ctx.models.items() if v is not None}
    names = (ctx.spec.name or "graph", part.name, part.source)
    idle = _warnings(ctx, done, owned, typed) if part.name == "main" else []
    warnings = (*ctx.warnings, *idle)
    return Graph(*names, ctx.spec.values, typed, models, done, owned, ctx.aliases, warnings)


def _resolved(ctx: Context, node: Node) -> Node:
    """The node with every dim in canonical form and its facts."""
    for port, type_ in node.outputs.items():
        _whole(ctx, f"{node.path}.{port}", type_, node)
    outputs = {k: ctx.unifier.type(v) for k, v in node.outputs.items()}
    new = replace(node, outputs=outputs, facts=facts_of_node(ctx, node))
    return replace(new, body=tuple(_resolved(ctx, n) for n in new.body)) if isinstance(new, Loop) else new


def _whole(ctx: Context, where: str, type_: PortType, node: Node) -> None:
    for dim in type_.dims or ():
        known = ctx.unifier.dim(dim)
        if not known.over and not known.under and (known.coef.denominator != 1 or known.coef < 1):
            message = f"{where}: {shown(ctx.unifier.type(type_))} has a dim of {known.coef}, not a whole number above 0"
            ctx.report("E207", message, node.place)


def _owners(ctx: Context, owners: Mapping[str, Ref], type_: PortType) -> Ref | None:
    if not type_.dims:
        return None
    first = type_.dims[0]
    return next((ref for name, ref in owners.items() if ctx.unifier.equal(first, Dim(over=(name,)))), None)


def _warnings(
    ctx: Context, nodes: tuple[Node, ...], outputs: Mapping[str, Output], inputs: Mapping[str, Input]
) -> list[Problem]:
    """For nodes and inputs that nothing reads, and for plans, which cannot be run yet."""
    used = {r.source.partition("/")[0] for r in ctx.read} | {
        o.ref.source.partition("/")[0] for o in outputs.values()
    }
    idle = dict.fromkeys(n.path.partition("/")[0] for n in nodes if n.path.partition("/")[0] not in used)
    found = [warning("W210", f"no output needs node {n!r}", ctx.spec.place("nodes", n)) for n in idle]
    unread = [k for k in inputs if Ref("$in", k) not in ctx.read]
    found += [warning("W211", f"nothing reads input {k!r}", ctx.spec.place("inputs", k)) for k in unread]
    return found


def _check_paths(ctx: Context, graph: Graph) -> None:
    """Each method's path must name parts that the model has."""
    for node in graph.walk():
        if not isinstance(node, Call):
            continue
        model = graph.models[node.model]
        kind = ctx.model_type(model)
        path = kind.methods[node.method].path
        if path is None or kind.parts is None:
            continue
        try:
            wanted = path(model.config, node.config)
            missing = set(wanted) - {p.name for p in kind.parts(model.config)}
        except ValueError as error:
            ctx.report("E212", f"{node.path}: {error}", node.place)
            continue
        if missing:
            ctx.report("E209", f"{node.path}: {model.kind} has no parts {sorted(missing)}", node.place)


def _distinct(problems: list[Problem]) -> list[Problem]:
    """In file order, each once."""
    unique = list(dict.fromkeys(problems))
    return sorted(unique, key=lambda p: (p.place.file, p.place.line, p.place.col) if p.place else ("~", 0, 0))
