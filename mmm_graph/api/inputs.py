"""What a caller gives (texts, paths, arrays) -> the inputs of a Request: converted, checked, broadcast over the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from mmm_graph.errors import InputError, did_you_mean, problem
from mmm_graph.graph.graph import Graph, Input
from mmm_graph.runtime.events import Request


def make_request(
    graph: Graph, given: Mapping[str, Any], seed: int | Sequence[int] = 0, request_id: str = "0"
) -> Request:
    """Bind the inputs of one request.

    Args:
        given: by input name: a text or list of texts, a path or tensor of an image (`b c h w` or `c h w`, [0, 1]),
            tensors, arrays, numbers. Inputs left out take their default.
        seed: one number, or one per batch element (each then draws as a batch of one with that seed would).

    Raises:
        InputError: E3xx, an unknown name, a missing or unreadable value, sizes that disagree.
    """
    for name in given:
        if name not in graph.inputs:
            hint = did_you_mean(name, [*graph.inputs, *graph.params])
            raise InputError(problem("E301", f"the graph has no input {name!r}", hint=hint))
    values: dict[str, Any] = {}
    for name, port in graph.inputs.items():
        value = given.get(name, port.default)
        if value is None and port.required:
            hint = f"give --set {name}=..., or run({name}=...)"
            raise InputError(problem("E302", f"input {name!r} ({port.type}) has no value", hint=hint))
        values[name] = None if value is None else _convert(name, port, value)
    size = _broadcast(graph, values, given)
    if isinstance(seed, int):
        return Request(request_id, values, (seed,) * size, tuple(range(size)), graph)
    seeds = tuple(int(s) for s in seed)
    if len(seeds) != size:
        raise InputError(problem("E303", f"{len(seeds)} seeds for a batch of {size}", hint="one seed, or one each"))
    return Request(request_id, values, seeds, (0,) * size, graph)


def _broadcast(graph: Graph, values: dict[str, Any], given: Mapping[str, Any]) -> int:
    """Repeat values of one row to the size of their batch symbol; returns the size of the first one."""
    sizes: dict[str, int] = {}
    owners: dict[str, str] = {}
    batched = [n for n, p in graph.inputs.items() if p.type.dims and p.type.dims[0].over and values[n] is not None]
    for name in sorted(batched, key=lambda n: n not in given):
        symbol = str((graph.inputs[name].type.dims or ())[0])
        size = len(values[name])
        if size != sizes.get(symbol, 1) and size != 1 and sizes.get(symbol, 1) != 1:
            message = f"{name} has {size} rows, {owners[symbol]} has {sizes[symbol]}"
            raise InputError(problem("E303", message, hint="give one row, or the same number"))
        if size != 1 or symbol not in sizes:
            sizes[symbol], owners[symbol] = size, name
    for name in batched:
        size = sizes[str((graph.inputs[name].type.dims or ())[0])]
        value = values[name]
        if len(value) == 1 and size > 1:
            values[name] = value.expand(size, *value.shape[1:]) if isinstance(value, Tensor) else value * size
    return next(iter(sizes.values()), 1)


def _convert(name: str, port: Input, value: Any) -> Any:
    convert: Callable[[Any], Any] = _CONVERT.get(port.type.kind, _tensor)
    try:
        found = convert(value)
    except (TypeError, ValueError, OSError, UnidentifiedImageError) as error:
        message = f"input {name!r} expects {port.type}, got {value!r:.80}: {error}"
        raise InputError(problem("E302", message)) from error
    dims = port.type.dims
    if isinstance(found, Tensor) and dims is not None and found.dim() != len(dims):
        message = f"input {name!r} expects {port.type}, got a tensor of shape {tuple(found.shape)}"
        raise InputError(problem("E302", message))
    return found


def _texts(value: Any) -> list[str]:
    items = [value] if isinstance(value, str) else list(value)
    if not items or not all(isinstance(v, str) for v in items):
        raise ValueError("it takes one text or a list of texts")
    return items


def _images(value: Any) -> Tensor:
    if isinstance(value, str | Path):
        return read_image(Path(value))[None]
    if isinstance(value, list) and value and all(isinstance(v, str | Path) for v in value):
        return torch.stack([read_image(Path(v)) for v in value])
    tensor = _tensor(value).float()
    return tensor[None] if tensor.dim() == 3 else tensor


def read_image(path: Path) -> Tensor:
    """An image file as `c h w` in [0, 1]; c is 1 for grey files, 4 with transparency, else 3."""
    with Image.open(path) as image:
        mode = image.mode if image.mode in ("L", "RGB", "RGBA") else "RGB"
        array = np.asarray(image.convert(mode), dtype=np.float32) / 255
    return torch.from_numpy(array.copy()).reshape(*array.shape[:2], -1).permute(2, 0, 1).contiguous()


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value)


_CONVERT: Mapping[str, Callable[[Any], Any]] = {
    "Text": _texts,
    "Image": _images,
    "Any": lambda value: value,
    "Chat": lambda value: value,
    "Bool": lambda value: value if isinstance(value, bool) else _tensor(value).bool(),
    "Scalar": lambda value: value if isinstance(value, int | float) else _tensor(value),
}
