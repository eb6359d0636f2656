"""`attach: [{model: ...}]` -> guests of a model node: what may be attached to what, and where."""

from __future__ import annotations

from dataclasses import replace

from mmm_graph.errors import did_you_mean
from mmm_graph.graph.attached import Guest, guest_inputs, num_blocks, places
from mmm_graph.graph.context import Context, Known
from mmm_graph.graph.graph import Attached, ModelNode
from mmm_graph.graph.unify import scoped, shown
from mmm_graph.registry import ModelType
from mmm_graph.spec.graph import AttachSpec
from mmm_graph.spec.ports import PortType

PLACES = ("blocks", "parts")


def attach_models(ctx: Context) -> None:
    """Give the nodes in ctx.models their guests, and the guests the name of their host; report what cannot be."""
    for name, spec in ctx.spec.models.items():
        for index, item in enumerate(spec.attach):
            host, guest = ctx.models.get(name), ctx.models.get(item.model or "")
            if item.model is None or host is None:
                continue
            if item.model not in ctx.models:
                hint = did_you_mean(item.model, ctx.models)
                _report(ctx, "E209", name, index, f"there is no model {item.model!r}", "model", hint)
            if guest is None or not _attach(ctx, host, guest, index, item):
                ctx.models[name] = None


def settle_guests(ctx: Context) -> None:
    """Put the solved configs of guests into their hosts, and count their copies; report places that are not there."""
    for name, host in list(ctx.models.items()):
        if host is None or not host.guests:
            continue
        own = ctx.registry.models[host.kind]
        blocks = num_blocks(own, host.config)
        guests = []
        for at in host.guests:
            node = ctx.models[at.node.name]
            if node is None:  # reported where it is wrong
                continue
            if at.named:
                _check_parts(ctx, host, own, Guest(replace(at, node=node), ctx.registry.models[node.kind]))
            else:
                _check_places(ctx, name, at, blocks)
            _check_path(ctx, name, Guest(replace(at, node=node), ctx.registry.models[node.kind]))
            guest = ctx.models[node.name] = replace(node, copies=len(places(at, blocks)))
            guests.append(replace(at, node=guest))
        ctx.models[name] = replace(host, guests=tuple(guests))


def _check_places(ctx: Context, host: str, at: Attached, blocks: int) -> None:
    guest = at.node.name
    if not blocks:
        message = f"{host}: it has no parts named block0, block1 ..., between which {guest} could stand"
        ctx.report("E217", message, at.place, "attach it to another model")
    elif max(at.offset, at.every - 1) >= blocks:
        message = (
            f"{host}: every: {at.every} and offset: {at.offset} of {guest} are beyond its {blocks} blocks"
        )
        ctx.report("E216", message, at.place, f"blocks are counted from 0 to {blocks - 1}")


def _check_parts(ctx: Context, host: ModelNode, own: ModelType, guest: Guest) -> None:
    """Every part of the guest has one of the host to stand at, and finds there what it reads."""
    assert own.parts is not None
    table = own.parts(host.config)
    there = {part.name: index for index, part in enumerate(table)}
    name, needed = guest.at.node.name, guest.method.inputs
    for part in guest.parts:
        if part.name not in there:
            message = f"{host.name}: it has no part {part.name!r}, at which that part of {name} could stand"
            hint = f"its parts are {', '.join(there)}; the configs of both must agree"
            ctx.report("E216", message, guest.at.place, hint)
            return
        before = table[: there[part.name] + (guest.at.side == "after")]
        written = {key for one in before for key in one.writes}
        given = {key for key in needed if key not in own.state}
        lacks = [k for k in part.reads if k not in written and k not in given and "." not in k]
        if lacks:
            message = f"{host.name}: nothing in it makes {lacks[0]!r}, which {part.name} of {name} reads"
            ctx.report("E217", message, guest.at.place, "attach it to another kind of model")
            return


def _check_path(ctx: Context, host: str, guest: Guest) -> None:
    node, path = guest.at.node, guest.method.path
    assert path is not None
    if tuple(path(node.config, guest.method.config())) != tuple(part.name for part in guest.parts):
        method = f"{guest.kind.kind}.{guest.kind.attaches}"
        message = f"{host}: {method} does not run through all parts of {node.name} in order"
        ctx.report("E217", message, guest.at.place, "only whole models are attached")


def _refused(
    host: ModelNode, guest: ModelNode, own: ModelType, kind: ModelType, item: AttachSpec
) -> tuple[str, str, str, str] | None:
    """(code, message, key, hint) of the first thing that is against it."""
    if item.at not in PLACES:
        found = "is missing" if item.at is None else f"is {item.at!r}"
        return "E216", f"`at:` of {guest.name} {found}", "at", "write `at: blocks`, or `at: parts`"
    if item.at == "parts" and (item.every, item.offset) != (1, 0):
        message = f"{guest.name} stands at the parts that it names, so that there is nothing to count"
        return "E216", message, "every" if item.every != 1 else "offset", "leave `every` and `offset` out"
    if not kind.attaches:
        message = f"{guest.name} ({kind.kind}) cannot stand between the blocks of another model"
        return "E217", message, "model", "such models say so in `mmm nodes describe`"
    key = Guest(Attached(guest), kind).key
    if own.parts is None or key not in own.state:
        message = f"{host.name} ({own.kind}) has no blocks with a state {key!r} between them for {guest.name}"
        return "E217", message, "model", "attach it to a model made of parts named block0, block1 ..."
    if guest.name == host.name or guest.guests or host.host:
        chain = guest.name if guest.guests or guest.name == host.name else host.name
        message = f"{chain} cannot be attached and have models attached to it"
        return "E218", message, "model", "attach all of them to one model"
    if guest.host:
        message = f"{guest.name} is attached to {guest.host} already"
        return "E218", message, "model", "a second place needs a model of its own: copy it under another name"
    if guest.offload:
        message = f"{guest.name} is attached to {host.name}, so that it cannot be offloaded"
        return "E525", message, "model", f"leave its `offload` out; that of {host.name} leaves it where it is"
    return None


def _attach(ctx: Context, host: ModelNode, guest: ModelNode, index: int, item: AttachSpec) -> bool:
    """Note it in both nodes; False after reporting what is against it."""
    own, kind = ctx.registry.models[host.kind], ctx.registry.models[guest.kind]
    refused = _refused(host, guest, own, kind, item)
    if refused is not None:
        code, message, key, hint = refused
        _report(ctx, code, host.name, index, message, key, hint)
        return False
    node = replace(guest, host=host.name, dtype=guest.dtype or host.dtype)
    place = ctx.spec.place("models", host.name, "attach", index)
    named = item.at == "parts"
    side = "after" if named and "side" not in item.model_fields_set else item.side
    made = Guest(Attached(node, item.every, item.offset, side, place, named), kind)
    ctx.models[guest.name] = node
    ctx.models[host.name] = replace(host, guests=(*host.guests, made.at))
    return _check_inputs(ctx, host, made, index) and _check_key(ctx, host, made, index)


def _check_key(ctx: Context, host: ModelNode, guest: Guest, index: int) -> bool:
    """Unify what runs through the host with what the guest works on."""
    node, own = guest.at.node, ctx.registry.models[host.kind].state[guest.key]
    offered = scoped(own, f"{host.name}/attach{index}", Known(host.name, None, host))
    wanted = scoped(guest.method.inputs[guest.key], f"{node.name}/attach", Known(node.name, None, node))
    for port in (offered, wanted):
        ctx.ask(port)
    same = ctx.unifier.match(offered, wanted)
    if not same:
        found, expected = (shown(ctx.unifier.type(port)) for port in (offered, wanted))
        message = f"{node.name} works on {guest.key}: {expected}, but that of {host.name} is {found}"
        _report(ctx, "E217", host.name, index, message, "model", "their configs must agree")
    return same


def _check_inputs(ctx: Context, host: ModelNode, guest: Guest, index: int) -> bool:
    """Two guests may share an input if it is the same thing for both."""
    for at in host.guests:
        mine, theirs = guest_inputs(guest), guest_inputs(Guest(at, ctx.registry.models[at.node.kind]))
        twice = [k for k in mine if k in theirs and _sizes(mine[k]) | _sizes(theirs[k])]
        if twice:
            message = f"{guest.at.node.name} and {at.node.name} both have an input {twice[0]!r}, of sizes of their own"
            _report(ctx, "E217", host.name, index, message, "model", "attach one of them")
            return False
    return True


def _sizes(port: PortType) -> set[str]:
    return {n for d in port.dims or () for n in (*d.over, *d.under) if n.startswith("$")}


def _report(ctx: Context, code: str, host: str, index: int, message: str, key: str, hint: str) -> None:
    place = ctx.spec.place("models", host, "attach", index, key)
    ctx.report(code, f"{host}: {message}", place, hint)
