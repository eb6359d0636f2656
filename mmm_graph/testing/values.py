"""Port types -> sizes, random values of those sizes, and a judgement of what came out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from mmm_graph.config import Config
from mmm_graph.nn.sampler import Times
from mmm_graph.registry.node_type import Ports
from mmm_graph.spec.ports import Dim, PortType, with_rest

SIZES: Mapping[str, int] = {
    **{"b": 2, "t": 6, "l": 8, "f": 2, "c": 4, "h": 16, "w": 24, "d": 16},
    **{"n": 2, "k": 8, "v": 8, "s": 4, "m": 2, "r": 2},
}
OTHER = 7
"""Size of a symbol that is not in the legend."""


@dataclass
class Sizes:
    """What each symbol of one call stands for: chosen for the inputs, found for the outputs."""

    configs: tuple[Config, ...]
    known: dict[str, int] = field(default_factory=dict)

    def choose(self, ports: Ports, wanted: Mapping[str, int], given: Mapping[str, Any]) -> None:
        """Fix every symbol of the inputs: as wanted, as the given values have it, or as the legend says.

        What the legend says is rounded up to a multiple of what it is divided by.
        """
        self.known.update(wanted)
        for name, value in given.items():
            is_list = isinstance(value, list)
            for item in value if is_list else [value]:
                if name in ports and isinstance(item, Tensor):
                    self.match(item_of(ports[name]) if is_list else ports[name], tuple(item.shape))
            if (
                is_list
                and name in ports
                and ports[name].dims
                and item_of(ports[name]).dims != ports[name].dims
            ):
                self.known.setdefault("m", len(value))
        steps: dict[str, int] = {}
        for dim in (d for port in flat(ports.values()) for d in _dims(port)):
            under = [s for n in dim.under if n[0] == "$" and (s := self._size(n))]
            for name in (n for n in (*dim.over, *dim.under) if n[0] not in "$_"):
                steps[name] = math.lcm(steps.get(name, 1), math.prod(under, start=dim.coef.denominator))
        for name, step in steps.items():
            self.known.setdefault(name, _multiple(SIZES.get(name, OTHER), step))

    def value(self, dim: Dim) -> Fraction | None:
        """The length, or None if a symbol is not known yet."""
        result = dim.coef
        for names, power in ((dim.over, 1), (dim.under, -1)):
            for name in names:
                size = self._size(name)
                if not size:
                    return None
                result *= Fraction(size) ** power
        return result

    def shape(self, port: PortType) -> tuple[int, ...]:
        """The shape of an input.

        Raises:
            ValueError: a length is not whole, or names a config field that is not set.
        """
        values = [self.value(d) for d in _dims(port)]
        if any(v is None or v.denominator != 1 for v in values):
            raise ValueError(f"cannot size {port} with {self.known}; pass dims={{...}} or config={{...}}")
        return tuple(int(v) for v in values if v is not None)

    def match(self, port: PortType, shape: tuple[int, ...]) -> str:
        """ "" when the shape agrees with the type, else what is wrong; unknown symbols are found from it."""
        if port.dims is None:
            return ""
        dims = _dims(port)
        if len(shape) != len(dims):
            return f"has the shape {list(shape)}, which is not of the form {port}"
        for dim, size in zip(dims, shape, strict=True):
            free = [n for n in (*dim.over, *dim.under) if not self._size(n) and n != "_"]
            if len(free) == 1 and free[0] in dim.over and not free[0].startswith("$"):
                known = self.value(Dim(dim.coef, tuple(n for n in dim.over if n != free[0]), dim.under))
                ratio = Fraction(size) / known if known else Fraction(0)
                if ratio.denominator == 1 and ratio > 0:
                    self.known[free[0]] = int(ratio)
            value = self.value(dim)
            if value is not None and value != size:
                given = ", ".join(f"{k}={v}" for k, v in sorted(self.known.items()))
                return f"has the shape {list(shape)}; {port} says {value} where it has {size} ({given})"
        return ""

    def _size(self, name: str) -> int | None:
        if name.startswith("$"):
            values = (getattr(config, name[1:], None) for config in self.configs)
            asked = (v(self.configs[-1]) if callable(v) else v for v in values)
            return next((v for v in asked if v is not None), None)
        return self.known.get(name)


def _multiple(size: int, step: int) -> int:
    return math.ceil(size / step) * step


def _dims(port: PortType) -> tuple[Dim, ...]:
    """Axes that are named; what takes any number beside them is tried without."""
    return with_rest(port, ()).dims or ()


def flat(ports: Iterable[PortType]) -> Iterable[PortType]:
    """The ports, a Cond replaced by its fields."""
    for port in ports:
        yield from flat(port.fields.values()) if port.fields is not None else (port,)


def draw_inputs(ports: Ports, sizes: Sizes, given: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """A value for every input: the given ones, and random ones of the declared kind and shape.

    Raises:
        ValueError: a kind for which nothing can be made up.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = {n: _draw(n, p, sizes, generator) for n, p in _there(ports, sizes) if n not in given}
    return {n: given[n] if n in given else drawn[n] for n in ports if n in given or n in drawn}


def _there(ports: Ports, sizes: Sizes) -> list[tuple[str, PortType]]:
    """All but optional ports whose width the config leaves open: an instance without that input."""
    dims = {n: [sizes.value(d) for d in _dims(p)] for n, p in ports.items()}
    return [(n, p) for n, p in ports.items() if not (p.optional and None in dims[n])]


def _draw(name: str, port: PortType, sizes: Sizes, generator: torch.Generator) -> Any:
    if port.fields is not None:
        return {k: _draw(f"{name}.{k}", p, sizes, generator) for k, p in _there(port.fields, sizes)}
    if port.many:
        count = sizes.known.get("m", SIZES["m"])
        return [_draw(name, item_of(port), sizes, generator) for _ in range(count)]
    batch = sizes.known.get("b", SIZES["b"])
    shape = (batch, SIZES["d"]) if port.dims is None else sizes.shape(port)
    if port.kind == "Text":
        return [f"text number {i}" for i in range(shape[0] if shape else batch)]
    if port.kind == "Times":
        return cosine_times(SIZES["s"])
    if port.kind == "Ids":
        high = sizes.known.get("v", SIZES["v"])
        return torch.randint(high, shape, generator=generator)
    if port.kind in ("Mask", "Bool"):
        return torch.arange(math.prod(shape)).reshape(shape) % 4 != 3
    if port.kind in ("Image", "Video", "Scalar"):
        return torch.rand(shape, generator=generator)
    if port.kind == "Audio":
        return torch.rand(shape, generator=generator) * 2 - 1
    if port.kind in ("Chat", "State"):
        raise ValueError(
            f"cannot make up a {port.kind} for the input {name!r}; pass values={{{name!r}: ...}}"
        )
    return torch.randn(shape, generator=generator)


def item_of(port: PortType) -> PortType:
    """What one item of a list is. A first axis `m` counts the items; any other is theirs."""
    dims = port.dims
    return replace(port, many=False, dims=dims[1:] if dims and dims[0].over == ("m",) else dims)


def cosine_times(steps: int) -> Times:
    """Levels alpha = cos, sigma = sin of an angle from nearly pi / 2 down to 0: the last is clean."""
    angle = torch.linspace(1.55, 0.0, steps + 1, dtype=torch.float64)
    sigma = torch.sin(angle)
    return Times(angle[:-1] * 600, torch.cos(angle), sigma, "epsilon")


def check_value(name: str, port: PortType, value: Any, sizes: Sizes) -> str:
    """ "" when an output is what its port says, else what is wrong."""
    if value is None:
        return "" if port.optional else f"{name} is None, but {port} is not optional"
    if port.fields is not None:
        return _check_cond(name, port, value, sizes)
    if port.many:
        if not isinstance(value, list):
            return f"{name} is {type(value).__name__}; {port} is a list of tensors"
        one = item_of(port)
        return next(
            (e for v in value if (e := check_value(name, one, v, Sizes(sizes.configs, {**sizes.known})))), ""
        )
    if port.kind == "Text":
        fine = isinstance(value, list) and all(isinstance(v, str) for v in value)
        return "" if fine else f"{name} is {type(value).__name__}; Text is a list of strings"
    if port.kind == "Times":
        return "" if isinstance(value, Times) else f"{name} is {type(value).__name__}, not nn.sampler.Times"
    if not isinstance(value, Tensor):
        plain = port.kind in ("Scalar", "Bool") and not port.dims and isinstance(value, int | float)
        loose = plain or port.kind in ("Any", "State", "Chat")
        return "" if loose else f"{name} is {type(value).__name__}, not a tensor"
    return _check_tensor(name, port, value, sizes)


def _check_cond(name: str, port: PortType, value: Any, sizes: Sizes) -> str:
    fields = port.fields or {}
    if not isinstance(value, Mapping):
        return f"{name} is {type(value).__name__}; a Cond is a dict of {', '.join(fields)}"
    return next(
        (e for k, p in fields.items() if (e := check_value(f"{name}.{k}", p, value.get(k), sizes))), ""
    )


def _check_tensor(name: str, port: PortType, value: Tensor, sizes: Sizes) -> str:
    wrong = sizes.match(port, tuple(value.shape))
    if wrong:
        return f"{name} {wrong}"
    whole = not value.is_floating_point() and value.dtype != torch.bool
    if port.kind == "Ids" and not whole:
        return f"{name} is {value.dtype}; Ids are whole numbers"
    if port.kind == "Mask" and not value.is_floating_point() and value.dtype != torch.bool:
        return f"{name} is {value.dtype}; a Mask is bool, True = attend (or a float weight)"
    if port.kind in ("Image", "Latents", "Embeds", "Logits", "Audio", "Mel", "Video") and whole:
        return f"{name} is {value.dtype}; {port.kind} is floating point"
    never = (
        value.eq(float("-inf")) if port.kind == "Logits" else torch.zeros((), dtype=torch.bool)
    )  # is never picked
    if value.is_floating_point() and not bool((torch.isfinite(value) | never).all()):
        return f"{name} holds values that are not finite"
    return ""
