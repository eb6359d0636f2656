"""Nodes as written: calls, ops, subgraph instances and loops."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mmm_graph.spec.base import (
    Count,
    DottedName,
    InLink,
    Items,
    Link,
    Name,
    PortName,
    Spec,
    TypeText,
    When,
    refuse,
    short_form,
)

Form = Literal["call", "op", "graph", "loop"]
FORMS: tuple[Form, ...] = ("call", "op", "graph", "loop")
_ALLOWED = {
    "call": ("in", "config"),
    "op": ("in", "config", "use"),
    "graph": ("in", "use"),
    "loop": (),
}


class CollectSpec(Spec):
    """A value of every turn, concatenated along `axis`."""

    from_: Link = Field(alias="from")
    axis: int = 0


class PreviewSpec(Spec):
    """A value of the body shown every n turns."""

    from_: Link = Field(alias="from")
    every: int = Field(1, ge=1)


class LoopSpec(Spec):
    """A body that runs once per item of `each`, or at most `max` times `until` a Bool of the body is true."""

    each: dict[Name, Link] = Field(default_factory=dict)
    max: Count | None = None
    until: Link | None = None
    carry: dict[Name, Link] = Field(default_factory=dict)
    nodes: dict[Name, NodeSpec]
    next: dict[Name, Link] = Field(default_factory=dict)
    out: dict[PortName, Link] = Field(default_factory=dict)
    collect: dict[PortName, Annotated[CollectSpec, short_form("from")]] = Field(default_factory=dict)
    stream: Items[PortName] = ()
    preview: Annotated[PreviewSpec, short_form("from")] | None = None

    @model_validator(mode="after")
    def _check(self) -> LoopSpec:
        if not self.each and self.max is None:
            raise refuse(
                "E115", "a loop needs `each:` or `max:`", "write `each: {i: node.port}` or `max: 100`"
            )
        for name in self.carry:
            if name not in self.next:
                hint = "say under `next:` which value of the body the next turn gets"
                raise refuse("E115", f"the carry {name!r} has no next value", hint, ("carry", name))
        for name in self.next:
            if name not in self.carry:
                hint = "give its first value under `carry:`"
                raise refuse("E115", f"`next:` names {name!r}, which is not carried", hint, ("next", name))
        for i, name in enumerate(self.stream):
            if name not in self.collect:
                raise refuse(
                    "E115", f"`stream:` names {name!r}, which is not under `collect:`", "", ("stream", i)
                )
        return self


class NodeSpec(Spec):
    """One node: exactly one of `call` (model.method), `op` (kind), `graph` (subgraph) and `loop`."""

    call: str | None = None
    op: str | None = None
    graph: DottedName | None = None
    loop: LoopSpec | None = None
    in_: dict[PortName, InLink] = Field(default_factory=dict, alias="in")
    config: dict[str, Any] = Field(default_factory=dict)
    use: dict[PortName, DottedName] = Field(default_factory=dict)
    when: When | None = None

    @property
    def form(self) -> Form:
        """Which of the four it is."""
        return next(form for form in FORMS if getattr(self, form) is not None)

    @model_validator(mode="after")
    def _check(self) -> NodeSpec:
        forms = [form for form in FORMS if getattr(self, form) is not None]
        if len(forms) != 1:
            found = " and ".join(f"`{form}:`" for form in forms) or "none of them"
            at = (forms[1],) if forms else ()
            raise refuse(
                "E114", f"a node has one of `call:`, `op:`, `graph:`, `loop:`; found {found}", "", at
            )
        given = {
            field.alias or name
            for name, field in type(self).model_fields.items()
            if name in self.model_fields_set
        }
        for key in ("in", "config", "use"):
            if key in given and key not in _ALLOWED[forms[0]]:
                raise refuse(
                    "E114", f"a node with `{forms[0]}:` has no `{key}:`", _ELSEWHERE[forms[0]], (key,)
                )
        return self


_ELSEWHERE = {
    "call": "`use:` belongs to `op:` and `graph:`",
    "op": "",
    "graph": "a subgraph has no config of its own; its nodes read `$params.x`",
    "loop": "the nodes of the body read outer nodes by name; first values go under `carry:`",
}


class SubgraphSpec(Spec):
    """A graph with inputs, used by `{graph: name}`; `models` are names that an instance binds with `use:`."""

    in_: dict[PortName, TypeText] = Field(default_factory=dict, alias="in")
    models: Items[Name] = ()
    nodes: dict[Name, NodeSpec]
    out: dict[PortName, Link]
