"""One call or op: its type, config, inputs and outputs -> a compiled node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmm_graph.errors import did_you_mean
from mmm_graph.graph.context import Context, Known
from mmm_graph.graph.graph import Call, Link, ModelNode, Node, Op, Ref
from mmm_graph.graph.rest import opened
from mmm_graph.graph.scope import Bound, Entry, Record, Scope, Wire
from mmm_graph.graph.states import with_states
from mmm_graph.graph.unify import scoped
from mmm_graph.graph.wire import bind_inputs
from mmm_graph.registry import Method, OpType
from mmm_graph.spec.graph import NodeSpec
from mmm_graph.spec.ports import PortType


def compile_call(ctx: Context, scope: Scope, name: str, spec: NodeSpec) -> Call | None:
    """`{call: model.method, in, config}`; None when it was refused."""
    found = _find_method(ctx, scope, name, str(spec.call))
    if found is None:
        return None
    model, method_name, method = found
    config = ctx.config(method.config, spec.config, scope, name, "config")
    if config is None:
        return None
    path = scope.child(name)
    known = Known(path, config, model)
    asks, returns = (
        _scoped(with_states(ports, method, ctx.model_type(model), model), path, known, model)
        for ports in opened(scope, spec.in_, method.inputs, method.returns)
    )
    inputs = bind_inputs(ctx, scope, name, asks, spec.in_)
    if inputs is None:
        return None
    outputs = _outputs(ctx, inputs, returns)
    node = Call(path, inputs, outputs, None, {}, scope.place(name), model.name, method_name, config)
    facts = method.facts
    if facts is not None and not _facts(ctx, scope, node, lambda have: facts(model.config, config, have)):
        return None
    return node


def compile_op(ctx: Context, scope: Scope, name: str, spec: NodeSpec, kind: OpType) -> Op | None:
    """`{op: kind, in, config, use}`; None when it was refused."""
    config = ctx.config(kind.config, spec.config, scope, name, "config")
    used = find_used(ctx, scope, name, kind.uses, spec.use)
    if config is None or used is None:
        return None
    path = scope.child(name)
    ports = opened(scope, spec.in_, kind.inputs, kind.returns)
    asks, returns = (_scoped(found, path, Known(path, config)) for found in ports)
    inputs = bind_inputs(ctx, scope, name, asks, spec.in_)
    if inputs is None:
        return None
    outputs = _outputs(ctx, inputs, returns)
    names = {role: model.name for role, model in used.items()}
    node = Op(path, inputs, outputs, None, {}, scope.place(name), kind.kind, config, names)
    _note_owners(ctx, node)
    facts, configs = kind.facts, {role: model.config for role, model in used.items()}
    if facts is not None and not _facts(ctx, scope, node, lambda have: facts(config, configs, have)):
        return None
    return node


def _note_owners(ctx: Context, node: Op) -> None:
    """Rows that an op made of others, such as one for each signal, are saved under those that they belong to."""
    rows = node.outputs.get("rows")
    if rows is not None and rows.kind == "Ids" and rows.dims is not None and len(rows.dims) == 1:
        for symbol in rows.dims[0].over[:1]:
            ctx.owners.setdefault(symbol, Ref(node.path, "rows"))


def find_used(
    ctx: Context, scope: Scope, name: str, roles: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, ModelNode] | None:
    """The models of `use:`, by role; None when one is missing (without a `?`), unknown or of the wrong role."""
    found: dict[str, ModelNode] = {}
    good = True
    for role in given:
        if role not in roles:
            place = scope.place(name, "use", role, "@key")
            ctx.report("E209", f"{name}: uses no {role!r}", place, did_you_mean(role, roles))
            good = False
    for role, accepted in roles.items():
        accepted, optional = accepted.rstrip("?"), accepted.endswith("?")
        if role not in given:
            if optional:
                continue
            place = scope.place(name, "use") or scope.place(name)
            ctx.report("E209", f"{name}: needs a {accepted} for {role!r}", place, f"add use: {{{role}: ...}}")
            good = False
            continue
        model = find_model(ctx, scope, given[role], name, "use", role)
        if model is None:
            good = False
        elif model.kind.partition(".")[0] != accepted:
            place = scope.place(name, "use", role)
            ctx.report(
                "E209", f"{name}: {role!r} needs a {accepted}, {model.name!r} is a {model.kind}", place
            )
            good = False
        else:
            found[role] = model
    return found if good else None


def find_model(ctx: Context, scope: Scope, name: str, *keys: str) -> ModelNode | None:
    """A model by the name it has in this scope; None when unknown (reported) or poisoned."""
    full = scope.model(name)
    if full not in ctx.models:
        hint = did_you_mean(name, {*ctx.models, *scope.models})
        ctx.report("E209", f"{keys[0]}: there is no model {name!r}", scope.place(*keys), hint)
        return None
    ctx.used_models.add(full)
    found = ctx.models[full]
    if found is not None and found.host:
        message = f"{name} stands between the blocks of {found.host}, so that nothing else can use it"
        ctx.report("E218", message, scope.place(*keys), f"call {found.host}")
        return None
    return found


def entry(ctx: Context, node: Node) -> Entry:
    """What links to this node can read; flattened Cond outputs become records again."""
    ctx.types.update({Ref(node.path, k): v for k, v in node.outputs.items()})
    ctx.tags.update({Ref(node.path, k): v.tag for k, v in node.outputs.items() if v.tag})
    outputs: dict[str, Bound] = {}
    records: dict[str, dict[str, Wire]] = {}
    for port, type_ in node.outputs.items():
        head, _, field = port.partition(".")
        wire = Wire(Ref(node.path, port), type_)
        if field:
            records.setdefault(head, {})[field] = wire
            outputs[head] = Record(records[head])
        else:
            outputs[port] = wire
    return Entry(outputs)


def _find_method(ctx: Context, scope: Scope, name: str, text: str) -> tuple[ModelNode, str, Method] | None:
    head, _, tail = text.rpartition(".")
    local, method_name = (
        (text, "") if scope.model(text) in ctx.models else (head or text, tail if head else "")
    )
    model = find_model(ctx, scope, local, name, "call")
    if model is None:
        return None
    methods = ctx.model_type(model).methods
    if not methods:
        ctx.report(
            "E209",
            f"{name}: {model.kind} cannot be called",
            scope.place(name, "call"),
            "hand it over by `use:`",
        )
        return None
    method_name = method_name or next(iter(methods))
    if method_name not in methods:
        hint = did_you_mean(method_name, methods)
        ctx.report(
            "E209", f"{name}: {model.kind} has no method {method_name!r}", scope.place(name, "call"), hint
        )
        return None
    return model, method_name, methods[method_name]


def _scoped(
    ports: Mapping[str, PortType], path: str, known: Known, model: ModelNode | None = None
) -> dict[str, PortType]:
    local = {k: scoped(v, path, known) for k, v in ports.items()}
    if model is None or model.space is None:
        return local
    tagged = {
        k: replace(v, tag=model.space) for k, v in local.items() if v.kind == "Latents" and v.tag is None
    }
    return local | tagged


def _outputs(
    ctx: Context, inputs: Mapping[str, Link], returns: Mapping[str, PortType]
) -> dict[str, PortType]:
    """Flattened outputs; untagged latents carry on the tag of the latents that went in."""
    flat: dict[str, PortType] = {}
    for port, type_ in returns.items():
        if type_.fields is None:
            flat[port] = type_
        else:
            flat.update({f"{port}.{k}": v for k, v in type_.fields.items()})
    for type_ in flat.values():
        ctx.ask(type_)
    refs = [r for link in inputs.values() for r in ((link,) if isinstance(link, Ref) else link)]
    tag = next((ctx.tags[r] for r in refs if r in ctx.tags), None)
    latents = {k: replace(v, tag=tag) for k, v in flat.items() if v.kind == "Latents" and v.tag is None}
    return flat | latents


def _facts(ctx: Context, scope: Scope, node: Node, function: Any) -> bool:
    have = ctx.facts_of(node.inputs)
    try:
        found: Mapping[str, Any] = function(have)
    except ValueError as error:
        ctx.report("E212", f"{node.path}: {error}", node.place)
        return False
    for key, value in found.items():
        port, _, fact = key.rpartition(".")
        ctx.facts.setdefault(Ref(node.path, port), {})[fact] = value
    return True


def facts_of_node(ctx: Context, node: Node) -> dict[str, Any]:
    """Facts of a node's outputs as `port.name`, and those of the node itself as `name`."""
    ports = {p: ctx.facts.get(Ref(node.path, p), {}) for p in (*node.outputs, "")}
    return {f"{p}.{k}" if p else k: v for p, facts in ports.items() for k, v in facts.items()}
