"""Models between the blocks or at the parts of another: a host and its guests as one ordinary model type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from mmm_graph.graph.graph import Attached, ModelNode
from mmm_graph.registry import Facts, Method, ModelType, Part, Registry, Sharding, TextWork
from mmm_graph.spec.ports import Dim, PortType

BLOCK = re.compile(r"block(\d+)")
"""Parts that `at: blocks` counts."""


class Guest(NamedTuple):
    """An attached model and its type, as the plugin declares it."""

    at: Attached
    kind: ModelType

    @property
    def method(self) -> Method:
        """The one whose path is inserted."""
        return self.kind.methods[self.kind.attaches]

    @property
    def key(self) -> str:
        """The state key that runs through the host and the guest."""
        return next(iter(self.method.returns))

    @property
    def parts(self) -> tuple[Part, ...]:
        """Those of one copy, in the order in which they run."""
        assert self.kind.parts is not None
        return tuple(self.kind.parts(self.at.node.config))


def type_of(node: ModelNode, registry: Registry) -> ModelType:
    """What a model of a graph is: its kind, with what is attached to it; the copies of one that is attached."""
    kind = _kind(node, registry)
    if node.host:
        return _copies_type(kind, node)
    guests = tuple(Guest(at, _kind(at.node, registry)) for at in node.guests)
    return attached_type(kind, node.config, guests) if guests else kind


def attached_type(host: ModelType, config: Any, guests: Sequence[Guest]) -> ModelType:
    """The type of a model between whose blocks others stand.

    Copies are parts of their own, `xattn_0`, `xattn_1` ..., beside their blocks in the table and in every path; of a
    guest that is there once, `motion_mid` stands at the part `mid`. Methods that run through them have the inputs of
    the guests too; those that read a State have what they need in it.

    Args:
        config: of the host; it tells which methods run through blocks.
        guests: in the order in which they run where several stand at one place.
    """
    assert host.parts is not None
    host_parts, host_sharding = host.parts, host.sharding
    told = {k: _told(v, g) for g in guests for k, v in g.kind.state.items()}
    return replace(
        host,
        methods={name: _method(host, method, config, guests) for name, method in host.methods.items()},
        parts=lambda config: _table(host_parts(config), guests),
        state={**told, **host.state},
        sharding=None if host_sharding is None else lambda config: _sharding(host_sharding(config), guests),
    )


def places(at: Attached, blocks: int) -> range:
    """The blocks at which copies stand; none of a model that is there once."""
    return range(0) if at.named else range(at.offset, blocks, at.every)


def num_blocks(kind: ModelType, config: Any) -> int:
    """How many places a model has for others."""
    return sum(BLOCK.fullmatch(p.name) is not None for p in kind.parts(config)) if kind.parts else 0


def group_bounds(node: ModelNode, registry: Registry) -> list[int]:
    """Where the parts of a model's own kind begin in its table, each with what is attached to it; and where it ends."""
    own = _kind(node, registry).parts
    if own is None:
        return [0, 1]
    guests = [Guest(at, _kind(at.node, registry)) for at in node.guests]
    bounds = [0]
    for part in own(node.config):
        around = [beside for side in ("before", "after") for beside in _around(part.name, guests, side)]
        bounds.append(bounds[-1] + 1 + sum(len(found) for _, found in around))
    return bounds


def guest_parts(node: ModelNode, registry: Registry) -> frozenset[str]:
    """Names of the parts of a model that are its guests'."""
    guests = [Guest(at, _kind(at.node, registry)) for at in node.guests]
    return frozenset(name for g in guests for name in _all_named(g))


def guest_inputs(guest: Guest) -> dict[str, PortType]:
    """What a guest needs beside what runs through it."""
    return {name: port for name, port in guest.method.inputs.items() if name != guest.key}


def copy_name(guest: str, key: str) -> str:
    """Name in the host's table of a part that the guest calls by that key."""
    return f"{guest.replace('.', '_')}_{key}"


def guest_of(node: ModelNode, registry: Registry, name: str) -> tuple[str, str, Part] | None:
    """(the guest, key of the part there, the part as its kind declares it) of a part of a host that is a guest's."""
    for at in node.guests:
        found = _all_named(Guest(at, _kind(at.node, registry))).get(name)
        if found is not None:
            return at.node.name, *found
    return None


def copy_key(index: int, part: str, num_parts: int) -> str:
    """Key of a part among those of all copies: `0`, `1` ... or, where a copy has several parts, `0_name`."""
    return str(index) if num_parts == 1 else f"{index}_{part}"


def own_keys(part: Part, name: str) -> dict[str, str]:
    """State keys that belong to one copy: as its part says them -> in the host, where the part is called `name`."""
    found: dict[str, str] = {}
    for key in (*part.reads, *part.writes):
        head, _, tail = key.partition(".")
        if tail == part.name:
            found[key] = f"{head}.{name}"
    return found


def _kind(node: ModelNode, registry: Registry) -> ModelType:
    kind = registry.get(node.kind)
    assert isinstance(kind, ModelType)
    return kind


def _copies_type(kind: ModelType, node: ModelNode) -> ModelType:
    """An attached model by itself: the parts of all copies, and nothing that could be called."""
    if not node.copies:
        return replace(kind, methods={})
    parts = Guest(Attached(node), kind).parts

    def table(config: Any) -> tuple[Part, ...]:
        keys = ((copy_key(i, part.name, len(parts)), part) for i in range(node.copies) for part in parts)
        return tuple(replace(part, name=key) for key, part in keys)

    return replace(kind, methods={}, parts=table)


def _around(
    name: str, guests: Iterable[Guest], side: Literal["before", "after"]
) -> Iterator[tuple[Guest, Mapping[str, Part]]]:
    """(guest, its parts by their names in the host) of all that stand on one side of a part."""
    match = BLOCK.fullmatch(name)
    for guest in guests:
        if guest.at.side != side:
            continue
        if guest.at.named:
            yield from (
                (guest, {copy_name(guest.at.node.name, name): p}) for p in guest.parts if p.name == name
            )
        elif match is not None:
            index, rest = divmod(int(match[1]) - guest.at.offset, guest.at.every)
            if index >= 0 and not rest:
                yield guest, _named(guest, index)


def _through(names: Iterable[str], guests: Sequence[Guest]) -> Iterator[str]:
    """A path of the host with the names of what stands beside its parts in it."""
    for name in names:
        yield from (n for _, found in _around(name, guests, "before") for n in found)
        yield name
        yield from (n for _, found in _around(name, guests, "after") for n in found)


def _named(guest: Guest, index: int) -> dict[str, Part]:
    """Parts of a copy by their names in the host."""
    name, parts = guest.at.node.name, guest.parts
    return {copy_name(name, copy_key(index, part.name, len(parts))): part for part in parts}


def _all_named(guest: Guest) -> dict[str, tuple[str, Part]]:
    """Name in the host -> (key in the attached model, the part as its kind declares it), of all copies."""
    name, parts = guest.at.node.name, guest.parts
    if guest.at.named:
        return {copy_name(name, part.name): (part.name, part) for part in parts}
    keys = ((copy_key(i, part.name, len(parts)), part) for i in range(guest.at.node.copies) for part in parts)
    return {copy_name(name, key): (key, part) for key, part in keys}


def _table(own: Sequence[Part], guests: Sequence[Guest]) -> tuple[Part, ...]:
    found: list[Part] = []
    for part in own:
        found += [p for g, named in _around(part.name, guests, "before") for p in _parts(g, named, part)]
        found.append(part)
        found += [p for g, named in _around(part.name, guests, "after") for p in _parts(g, named, part)]
    return tuple(found)


def _parts(guest: Guest, named: Mapping[str, Part], beside: Part) -> Iterator[Part]:
    """Rows of the host's table, counted for as many tokens as the part that they stand at."""
    for name, part in named.items():
        own, key = own_keys(part, name), guest.key
        here, there = part.sizes.get(key, 0), beside.sizes.get(key, 0)
        scale = there / here if here and there else 1.0
        yield replace(
            part,
            name=name,
            reads=tuple(own.get(k, k) for k in part.reads),
            writes=tuple(own.get(k, k) for k in part.writes),
            flops=part.flops * scale,
            work=int(part.work * scale),
            sizes={own.get(k, k): there if k == key and there else n for k, n in part.sizes.items()},
            text=None if part.text is None else _scaled(part.text, scale),
        )


def _scaled(text: TextWork, scale: float) -> TextWork:
    return replace(
        text,
        tokens=round(text.tokens * scale),
        pairs=text.pairs * scale,
        once_flops=text.once_flops * scale,
    )


def _method(host: ModelType, method: Method, config: Any, guests: Sequence[Guest]) -> Method:
    path = method.path
    if path is None:
        return replace(method, facts=_refuse(host, guests))
    if not _passes(method, config, guests):
        return method
    goes_on = any(port.kind == "State" for port in method.inputs.values())
    have = {*method.inputs, *host.state}  # what its own parts make need not be given
    asked = {k: _told(v, g) for g in guests for k, v in guest_inputs(g).items() if k not in have}
    own = {k: v for k, v in method.inputs.items() if k not in method.alone}
    return replace(
        method,
        inputs={**own, **({} if goes_on else asked)},
        path=lambda config, call: tuple(_through(path(config, call), guests)),
    )


def _passes(method: Method, config: Any, guests: Sequence[Guest]) -> bool:
    """Whether a call runs through blocks, or parts that guests stand at; where only its own settings tell, it does."""
    assert method.path is not None
    try:
        names = method.path(config, method.config())
    except ValueError:
        return True
    stands_at = {part.name for guest in guests if guest.at.named for part in guest.parts}
    return any(BLOCK.fullmatch(name) or name in stands_at for name in names)


def _refuse(host: ModelType, guests: Sequence[Guest]) -> Any:
    names = ", ".join(guest.at.node.name for guest in guests)

    def facts(config: Any, call: Any, have: Facts) -> Mapping[str, Any]:
        raise ValueError(
            f"this method of {host.kind} is no path through parts, so that {names} would not be run"
        )

    return facts


def _told(port: PortType, guest: Guest) -> PortType:
    """A port of a guest among those of its host: `$x` is a field of the guest's config, `$xattn:x`."""

    def names(found: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"${guest.at.node.name}:{n[1:]}" if n.startswith("$") else n for n in found)

    if port.dims is None:
        return port
    return replace(port, dims=tuple(Dim(d.coef, names(d.over), names(d.under)) for d in port.dims))


def _sharding(own: Sharding, guests: Sequence[Guest]) -> Sharding:
    """What all of them can: as many heads as the least of them, and every refusal."""
    said = [g.kind.sharding(g.at.node.config) if g.kind.sharding else Sharding() for g in guests]
    refused = {axis: why for s in (*said, own) for axis, why in s.refused.items()}
    return replace(own, heads=min(own.heads, *(s.heads for s in said)), refused=refused)
