"""Port types as text: `Kind[dims]{tag}?` <-> PortType. Grammar only; unification is in graph/unify."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

KINDS = frozenset((
    "Image", "Video", "Audio", "Mel", "Text", "Chat", "Ids", "Embeds", "Latents", "Logits", "Cond", "Mask",
    "Scalar", "Bool", "Times", "State", "Any",
))  # fmt: skip
MAX_LENGTH = 200
REST = "..."
"""In the ports of a node type: any number of axes, the same in all of its ports."""
COND_FIELDS = ("embeds", "pooled", "sizes", "mask", "label", "guidance", "resolution", "aspect")

_PORT = re.compile(
    r"\s*(?P<kind>[A-Z]\w*)(?P<many>\*)?\s*(\[(?P<dims>[^\]]*)\])?"
    r"\s*(\{(?P<tag>\$?[\w.-]*)\})?\s*(?P<opt>\?)?\s*$"
)
_TERM = re.compile(r"\s*(\$?[A-Za-z_]\w*|\d+)\s*")


@dataclass(frozen=True)
class Dim:
    """One axis length: coefficient x product of names / product of names.

    `over` and `under` hold symbols (`h`) and config references (`$width`). A plain integer has neither.
    """

    coef: Fraction = Fraction(1)
    over: tuple[str, ...] = ()
    under: tuple[str, ...] = ()

    @property
    def size(self) -> int | None:
        """The integer, when the length is known and whole."""
        known = not self.over and not self.under and self.coef.denominator == 1
        return int(self.coef) if known else None

    def __str__(self) -> str:
        top = [str(self.coef.numerator)] if self.coef.numerator != 1 or not self.over else []
        bottom = [str(self.coef.denominator)] if self.coef.denominator != 1 else []
        return "*".join([*top, *self.over]) + "".join(f"/{x}" for x in (*bottom, *self.under))


@dataclass(frozen=True)
class PortType:
    """What flows through a port. `dims` None = any shape; `many` = a list whose items differ in shape.

    A tag `$name` is, as in dims, a value of the node's config: sound of its `rate`.

    `fields` is set on a Cond port, the names it reads or offers, each with its own type; and on the State of a model
    that is made of parts, once it is compiled.
    """

    kind: str
    dims: tuple[Dim, ...] | None = None
    tag: str | None = None
    optional: bool = False
    many: bool = False
    fields: Mapping[str, PortType] | None = field(default=None, hash=False)

    def __str__(self) -> str:
        if self.fields is not None and self.kind == "Cond":
            inner = "{" + ", ".join(f"{k}: {v}" for k, v in self.fields.items()) + "}"
            return self.kind + inner + ("?" if self.optional else "")
        dims = "" if self.dims is None else "[" + ",".join(map(str, self.dims)) + "]"
        tag = "" if self.tag is None else "{" + self.tag + "}"
        return self.kind + ("*" if self.many else "") + dims + tag + ("?" if self.optional else "")


_REST = Dim(over=(REST,))


def has_rest(port: PortType) -> bool:
    """Whether it takes any number of axes."""
    return _REST in (port.dims or ())


def with_rest(port: PortType, axes: tuple[Dim, ...]) -> PortType:
    """The port with these axes in the place of `...`, if it has it."""
    if port.dims is None or not has_rest(port):
        return port
    at = port.dims.index(_REST)
    return replace(port, dims=(*port.dims[:at], *axes, *port.dims[at + 1 :]))


def parse_port(text: str | PortType, kinds: frozenset[str] = KINDS) -> PortType:
    """`"Latents[b,4,h/8,w/8]{sd15}?"` -> PortType.

    Raises:
        ValueError: not of the form Kind[dims]{tag}?, or the kind is unknown.
    """
    if isinstance(text, PortType):
        return text
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a port type has at most {MAX_LENGTH} characters, found {len(text)}")
    match = _PORT.match(text)
    if not match:
        raise ValueError(
            f"cannot read the port type {text!r}; expected Kind[dims]{{tag}}? as in Image[b,3,h,w]"
        )
    if match["kind"] not in kinds:
        raise ValueError(f"unknown kind {match['kind']!r} in {text!r}; kinds are {', '.join(sorted(kinds))}")
    dims = match["dims"]
    parsed = None if dims is None else tuple(parse_dim(d) for d in dims.split(",") if dims.strip())
    if (parsed or ()).count(_REST) > 1:
        raise ValueError(f"{text!r} has `...` more than once")
    return PortType(match["kind"], parsed, match["tag"] or None, bool(match["opt"]), bool(match["many"]))


def cond(optional: bool = False, **fields: str | PortType) -> PortType:
    """A Cond port: a record of named tensors, such as `cond(embeds="Embeds[b,t,768]", mask="Mask[b,t]?")`.

    Raises:
        ValueError: a name is none of COND_FIELDS.
    """
    for name in fields:
        if name not in COND_FIELDS:
            raise ValueError(f"Cond has no field {name!r}; fields are {', '.join(COND_FIELDS)}")
    return PortType("Cond", None, None, optional, False, {k: parse_port(v) for k, v in fields.items()})


def parse_dim(text: str) -> Dim:
    """`"h/8"`, `"2*t"`, `"$width"`, `"64"`, `"..."` -> Dim.

    Raises:
        ValueError: anything but a product or quotient of integers, symbols and $names.
    """
    if text.strip() == REST:
        return _REST
    over: list[str] = []
    under: list[str] = []
    coef, rest, divide = Fraction(1), text, False
    while True:
        match = _TERM.match(rest)
        if not match:
            raise ValueError(f"cannot read the dim {text!r}; expected a symbol, an integer, h/8 or $name")
        atom, rest = match[1], rest[match.end() :]
        if atom.isdigit():
            if len(atom) > 12 or (divide and int(atom) == 0):
                raise ValueError(f"the dim {text!r} is out of range")
            coef = coef / int(atom) if divide else coef * int(atom)
        else:
            (under if divide else over).append(atom)
        if not rest:
            return Dim(coef, tuple(over), tuple(under))
        if rest[0] not in "*/":
            raise ValueError(f"cannot read the dim {text!r}; only * and / join its terms")
        divide, rest = rest[0] == "/", rest[1:]
