"""Symbolic dims: a union of equations `symbol = coefficient x symbols`, solved as links are added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction

from mmm_graph.spec.ports import Dim, PortType


class Unifier:
    """Knows what each symbol equals. Symbols are made unique by their scope: `image:h`.

    `distinct` holds symbols that are never equal to one another: the batch of the inputs and those of routed rows.
    """

    def __init__(self) -> None:
        self._solved: dict[str, Dim] = {}
        self.distinct: set[str] = set()

    def dim(self, dim: Dim) -> Dim:
        """The dim with everything known put in, equal symbols cancelled, in one canonical form."""
        coef, over, under = dim.coef, list(dim.over), list(dim.under)
        out_over: list[str] = []
        out_under: list[str] = []
        for todo, other, done, flip in ((over, under, out_over, False), (under, over, out_under, True)):
            while todo:
                name = todo.pop()
                known = self._solved.get(name)
                if known is None:
                    done.append(name)
                    continue
                coef = coef / known.coef if flip else coef * known.coef
                todo.extend(known.over)
                other.extend(known.under)
        # what `under` held may have gained names from `over` and the other way round: settle again
        if over or under:
            return self.dim(Dim(coef, (*out_over, *over), (*out_under, *under)))
        for name in list(out_over):
            if name in out_under:
                out_over.remove(name)
                out_under.remove(name)
        return Dim(coef, tuple(sorted(out_over)), tuple(sorted(out_under)))

    def equal(self, a: Dim, b: Dim) -> bool:
        """Provably equal."""
        return self.dim(a) == self.dim(b)

    def unify(self, a: Dim, b: Dim) -> bool:
        """Make two dims equal; False when they cannot be. What cannot be decided is left to the run."""
        ratio = self.dim(divide(self.dim(a), self.dim(b)))
        if not ratio.over and not ratio.under:
            return ratio.coef == 1
        sides = ((ratio.over, ratio.under, False), (ratio.under, ratio.over, True))
        free = [(n, s) for s in sides for n in s[0] if s[0].count(n) == 1 and n not in s[1]]
        if free:  # solve for the innermost symbol, so that types are told in the words of the outer scopes
            name, (names, others, flip) = max(
                free, key=lambda c: (c[0][0] != "@", c[0] not in self.distinct, c[0].count("/"), len(c[0]))
            )
            rest = tuple(n for n in names if n != name)
            return self._solve(name, Dim(ratio.coef if flip else 1 / ratio.coef, others, rest))
        return True

    def _solve(self, name: str, value: Dim) -> bool:
        if not value.over and not value.under and (value.coef.denominator != 1 or value.coef < 0):
            return False
        if name in self.distinct and self.distinct.intersection((*value.over, *value.under)):
            return False
        self._solved[name] = value
        return True

    def type(self, port: PortType) -> PortType:
        """The port type with its dims in canonical form."""
        dims = None if port.dims is None else tuple(self.dim(d) for d in port.dims)
        return replace(port, dims=dims)

    def match(self, offered: PortType, wanted: PortType) -> bool:
        """Unify two types: kinds equal (or Any), the same tag (or none), the same number of dims, dims equal.

        Dims named `_` match anything. A failed match may leave earlier dims unified: its caller reports an error.
        """
        if "Any" in (offered.kind, wanted.kind):
            return True
        if offered.kind != wanted.kind or (offered.tag and wanted.tag and offered.tag != wanted.tag):
            return False
        if offered.dims is None or wanted.dims is None:
            return True
        if len(offered.dims) != len(wanted.dims):
            return False
        return all(self.unify(a, b) for a, b in zip(offered.dims, wanted.dims, strict=True))


def divide(a: Dim, b: Dim) -> Dim:
    """a / b, not simplified."""
    return Dim(a.coef / b.coef if b.coef else Fraction(-1), (*a.over, *b.under), (*a.under, *b.over))


def scoped(port: PortType, scope: str, known: Mapping[str, Dim]) -> PortType:
    """A port type of a node type, as seen by one node: symbols made local, `$x` replaced by what `known` says.

    Raises:
        KeyError: a `$x` that is not known.
    """
    if port.fields is not None:
        return replace(port, fields={k: scoped(v, scope, known) for k, v in port.fields.items()})
    if port.tag is not None and port.tag.startswith("$"):
        port = replace(port, tag=str(known[port.tag[1:]]))
    if port.dims is None:
        return port
    return replace(port, dims=tuple(_scope_dim(d, scope, known, i) for i, d in enumerate(port.dims)))


def _scope_dim(dim: Dim, scope: str, known: Mapping[str, Dim], index: int) -> Dim:
    result = Dim(dim.coef)
    for names, flip in ((dim.over, False), (dim.under, True)):
        for name in names:
            if name.startswith("$"):
                term = known[name[1:]]
            else:
                term = Dim(over=(f"{scope}:{name}{index if name == '_' else ''}",))
            result = divide(result, term) if flip else divide(result, divide(Dim(), term))
    return result


def apart(port: PortType, index: int) -> PortType:
    """The type of one item of a list, whose dims named `_` are not those of the other items."""
    if port.dims is None:
        return port

    def own(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{n}.{index}" if n.rpartition(":")[2].startswith("_") else n for n in names)

    return replace(port, dims=tuple(Dim(d.coef, own(d.over), own(d.under)) for d in port.dims))


def shown(port: PortType) -> str:
    """A type as a user would write it: scopes are dropped from symbols."""
    if port.dims is None:
        return str(port)
    short = tuple(Dim(d.coef, _short(d.over), _short(d.under)) for d in port.dims)
    return str(replace(port, dims=short))


def _short(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(n.rpartition(":")[2] for n in names)
