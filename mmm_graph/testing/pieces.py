"""Two pieces of an image against the whole: inputs cut, outputs joined and compared; and `rowwise` held to its word."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmm_graph.plan.ops import At, Span
from mmm_graph.plan.rows import form_of
from mmm_graph.registry.node_type import Ports
from mmm_graph.runtime.copies import copy
from mmm_graph.spec.ports import PortType
from mmm_graph.testing.call import Invocation, invoke, prepare
from mmm_graph.testing.setup import Setup

TOLERANCE = 1e-8
"""Of float64, relative to the largest number of the whole where that is above 1."""
_HERE = At("check", "check")
Each = Mapping[str, Sequence[Any]]
"""By output: what each piece has of it."""


def check_rowwise(where: str, ports: Ports, call: Invocation, setup: Setup) -> None:
    """Two pieces of the rows, one after the other, give the rows of the whole.

    Raises:
        AssertionError: they do not, or there are no rows.
    """
    sizes, drawn = prepare(ports, call, setup)
    inputs = doubled({**dict.fromkeys(ports), **drawn})
    total = rows_of(where, ports, inputs)
    spans = in_two(where, total, 1)

    def run(**given: Any) -> dict[str, Any]:
        noise = given.pop("noise", None) if call.noise else None
        found = []
        for span in spans:
            extra = {} if noise is None else {"noise": replace(noise, window=(*span, total))}
            found.append(call.run(**{k: cut(ports[k], v, span, total) for k, v in given.items()}, **extra))
        return {name: [piece.get(name) for piece in found] for name in call.returns}

    whole = invoke(where, call, inputs, sizes, setup)
    each = invoke(f"{where}, rowwise, on two pieces", replace(call, run=run), inputs, sizes, setup)
    hint = "leave `rowwise` out, or take it back with a fact `rowwise: False`"
    compare(f"{where}, rowwise, on two pieces", joined(call.returns, each), whole, hint)


def doubled(value: Any) -> Any:
    """The value with its floating tensors in float64."""
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {k: doubled(v) for k, v in value.items()}
    return [doubled(v) for v in value] if isinstance(value, list) else value


def rows_of(where: str, ports: Ports, inputs: Mapping[str, Any]) -> int:
    """Rows of the first image-shaped input; all others are counted in them.

    Raises:
        AssertionError: there is none.
    """
    for name, port in ports.items():
        value = inputs.get(name)
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, Tensor) and _form(port).height is not None:
            return first.shape[-2]
    raise AssertionError(f"{where} is said to work on rows, but no input is an image, a video or latents")


def in_two(where: str, total: int, unit: int) -> tuple[Span, Span]:
    """Rows of two pieces, uneven where that is possible.

    Raises:
        AssertionError: there are too few rows.
    """
    units, rest = divmod(total, unit)
    if rest or units < 2:
        raise AssertionError(
            f"{where} was to be tried on two pieces, but {total} rows are not twice {unit} or a higher multiple; "
            "pass dims={...} or values={...} with more rows"
        )
    first = (units + 1 if units == 2 else units + 2) // 2 * unit
    return (0, first), (first, total)


def cut(port: PortType, value: Any, span: Span, total: int) -> Any:
    """The rows of a value that go with rows `span` of `total`; what has no rows is taken whole."""
    if port.fields is not None and isinstance(value, dict):
        return {k: cut(port.fields[k], v, span, total) for k, v in value.items()}
    if value is None or not _form(port).rowed:
        return value
    if isinstance(value, list):
        return [cut(port, item, span, total) for item in value]
    rows = value.shape[-2] if isinstance(value, Tensor) else total
    fn = ("copy", "cut", *(row * rows // total for row in span))
    return copy(fn).function({"0": value}, _HERE)["x"]


def joined(returns: Ports, each: Each) -> Each:
    """Pieces of images as one; whatever else is whole in every piece."""
    return {k: [_join(each[k])] if _form(port).rowed else each[k] for k, port in returns.items()}


def compare(where: str, found: Each, whole: Mapping[str, Any], hint: str) -> None:
    """Every one of the values found is the whole one.

    Raises:
        AssertionError: naming the output that differs most, and by how much.
    """
    errors = {
        name: max(_difference(whole[name], value) for value in values) for name, values in found.items()
    }
    name = max(errors, key=lambda n: errors[n])
    if errors[name] > TOLERANCE:
        how = f"by {errors[name]:.1e}" if errors[name] < float("inf") else "in its shape or kind"
        raise AssertionError(
            f"{where}: output {name} differs from that of one device {how}; "
            f"expected at most {TOLERANCE:.0e} in float64: {hint}"
        )


def _form(port: PortType) -> Any:
    return form_of(replace(port, many=False))


def _join(pieces: Sequence[Any]) -> Any:
    if isinstance(pieces[0], list):
        return [_join(items) for items in zip(*pieces, strict=True)]
    if pieces[0] is None:
        return None
    return copy(("copy", "join", "rows")).function(dict(zip("01", pieces, strict=True)), _HERE)["x"]


def _difference(whole: Any, found: Any) -> float:
    """The largest, relative to what is there; infinite where they cannot be compared."""
    if isinstance(whole, Tensor) and isinstance(found, Tensor):
        if whole.shape != found.shape or whole.dtype != found.dtype:
            return float("inf")
        if not whole.numel():
            return 0.0
        error, scale = (whole.double() - found.double()).abs().max(), whole.double().abs().max()
        return float(error / max(1.0, float(scale))) if bool(torch.isfinite(error)) else float("inf")
    if isinstance(whole, Mapping) and isinstance(found, Mapping):
        keys_differ = whole.keys() != found.keys()
        return float("inf") if keys_differ else _largest(_difference(whole[k], found[k]) for k in whole)
    if isinstance(whole, list) and isinstance(found, list):
        return float("inf") if len(whole) != len(found) else _largest(map(_difference, whole, found))
    return 0.0 if type(whole) is type(found) and (whole is None or whole == found) else float("inf")


_largest: Callable[..., float] = lambda errors: max(errors, default=0.0)  # noqa: E731
