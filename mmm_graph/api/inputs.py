"""What a caller gives (texts, paths, arrays) -> inputs of a Request: converted, checked, broadcast over the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmm_graph.api.chats import to_chats
from mmm_graph.api.images import to_images
from mmm_graph.api.sounds import to_sounds
from mmm_graph.api.videos import to_videos
from mmm_graph.errors import InputError, did_you_mean, problem
from mmm_graph.graph.graph import Graph, Input
from mmm_graph.runtime.events import Request
from mmm_graph.spec.chat import Conversation, relative_to

MAX_SEED = 2**64 - 1
FILES = frozenset(("Image", "Audio", "Video"))
"""Kinds that are given as files, or lists of files."""


def make_request(
    graph: Graph,
    given: Mapping[str, Any],
    seed: int | Sequence[int] = 0,
    request_id: str = "0",
    *,
    base: Path | None = None,
) -> Request:
    """Bind the inputs of one request.

    Args:
        given: by input name: a text or list of texts, an image as `to_images` takes it, conversations as `to_chats`
            does, tensors, arrays, numbers. Inputs left out take their default.
        seed: one number, or one per batch element (each then draws as a batch of one with that seed would).
        base: folder that paths in the graph file's own defaults are relative to.

    Raises:
        InputError: E3xx, an unknown name, a missing or unreadable value, sizes that disagree.
    """
    for name in given:
        if name not in graph.inputs:
            hint = did_you_mean(str(name), [*graph.inputs, *graph.params])
            raise InputError(problem("E301", f"the graph has no input {name!r}", hint=hint))
    values: dict[str, Any] = {}
    for name, port in graph.inputs.items():
        value = given[name] if name in given else _default(port, base)
        if value is None and port.required:
            hint = f"give --set {name}=..., or run({name}=...)"
            raise InputError(problem("E302", f"input {name!r} ({_shown(port)}) has no value", hint=hint))
        values[name] = None if value is None else _convert(name, port, value)
    size = _broadcast(graph, values, given)
    seeds, elements = _seeds(seed, size)
    return Request(request_id, values, seeds, elements, graph)


def _default(port: Input, base: Path | None) -> Any:
    if port.type.kind == "Chat" and base is not None:
        return relative_to(port.default, base)
    if port.type.kind not in FILES or base is None:
        return port.default
    return _below(port.default, base)


def _below(value: Any, base: Path) -> Any:
    """Paths of files below `base`, in lists too."""
    if isinstance(value, list | tuple):
        return [_below(item, base) for item in value]
    return base / value if isinstance(value, str) else value


def _seeds(seed: int | Sequence[int], size: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Seed and element number of each row."""
    alone = not isinstance(seed, list | tuple)
    items: Sequence[Any] = (seed,) if not isinstance(seed, list | tuple) else seed
    if not all(isinstance(s, int) and not isinstance(s, bool) and 0 <= s <= MAX_SEED for s in items):
        hint = "one integer, or a list with one for each batch element"
        raise InputError(
            problem("E302", f"seed expects integers from 0 to 2^64 - 1, got {seed!r:.80}", hint=hint)
        )
    if alone:
        return (*items,) * size, tuple(range(size))
    if len(items) != size:
        raise InputError(
            problem("E307", f"{len(items)} seeds for a batch of {size}", hint="one seed, or one each")
        )
    return tuple(items), (0,) * size


def _broadcast(graph: Graph, values: dict[str, Any], given: Mapping[str, Any]) -> int:
    """Repeat values of one row to the size of their batch symbol; returns the size of `b`, else of the first one."""
    symbols = {n: _symbol(p) for n, p in graph.inputs.items() if values[n] is not None}
    batched = {n: s for n, s in symbols.items() if s}
    sizes: dict[str, int] = {}
    owners: dict[str, str] = {}
    for name in sorted(batched, key=lambda n: n not in given):
        symbol, size = batched[name], len(values[name])
        if 1 not in (size, sizes.get(symbol, 1)) and size != sizes[symbol]:
            message = f"{name} has {size} rows, {owners[symbol]} has {sizes[symbol]}"
            raise InputError(problem("E307", message, hint="give one row, or the same number"))
        if size != 1 or symbol not in sizes:
            sizes[symbol], owners[symbol] = size, name
    for name, symbol in batched.items():
        size, value = sizes[symbol], values[name]
        if len(value) == 1 and size > 1:
            values[name] = value.expand(size, *value.shape[1:]) if isinstance(value, Tensor) else value * size
    return sizes.get("b", next(iter(sizes.values()), 1))


def _symbol(port: Input) -> str:
    """The symbol of the batch axis; "" = there is none."""
    if port.type.many or not port.type.dims or not port.type.dims[0].over:
        return ""
    return str(port.type.dims[0]).removeprefix(":")


def _shown(port: Input) -> str:
    """The type as the file says it; a compiled graph writes `:b` for the symbol b of the top level."""
    return str(port.type).replace(":", "")


def _convert(name: str, port: Input, value: Any) -> Any:
    convert: Callable[[Input, Any], Any] = _CONVERT.get(port.type.kind, _tensors)
    try:
        if port.type.many:
            return [convert(port, item) for item in value]
        found = convert(port, value)
    except (TypeError, ValueError, OSError, RuntimeError, OverflowError) as error:
        cause = f"there is no such file: {value}" if isinstance(error, FileNotFoundError) else str(error)
        message = f"input {name!r} expects {_shown(port)}, got {value!r:.80}: {cause}"
        raise InputError(problem("E302", message)) from error
    _check_shape(name, port, found)
    return found


def _check_shape(name: str, port: Input, value: Any) -> None:
    dims = port.type.dims
    if not isinstance(value, Tensor) or dims is None:
        return
    sizes = [dim.size for dim in dims]
    alike = len(sizes) == value.dim() and all(n in (None, m) for n, m in zip(sizes, value.shape, strict=True))
    if not alike:
        message = f"input {name!r} expects {_shown(port)}, got a tensor of shape {list(value.shape)}"
        raise InputError(problem("E302", message))


def _texts(port: Input, value: Any) -> list[str]:
    items = [value] if isinstance(value, str) else list(value)
    if not items or not all(isinstance(v, str) for v in items):
        raise ValueError("it takes one text or a list of texts")
    return items


def _images(port: Input, value: Any) -> Tensor:
    dims = port.type.dims
    return _item(
        port, to_images(value, dims[1].size if dims is not None and len(dims) == 4 else None), "image"
    )


def _sounds(port: Input, value: Any) -> Tensor:
    dims = port.type.dims
    channels = dims[1].size if dims is not None and len(dims) == 3 else None
    return _item(port, to_sounds(value, rate_of(port), channels), "sound")


def rate_of(port: Input) -> int | None:
    """Of sounds [Hz]; it stands in the tag of the type: Audio[b,1,n]{16000}, Chat[b]{16000}."""
    tag = port.type.tag or ""
    return int(tag) if tag.isdecimal() else None


def _videos(port: Input, value: Any) -> Tensor:
    return _item(port, to_videos(value), "video")


def _item(port: Input, found: Tensor, what: str) -> Tensor:
    """A batch as it is; of an item of a list whose first axis counts its items, its only element."""
    dims = port.type.dims
    if not port.type.many or dims is None or str(dims[0]).removeprefix(":") != "m":
        return found
    if len(found) != 1:
        raise ValueError(f"an item of a list of {what}s is one {what}")
    return found[0]


def _chats(port: Input, value: Any) -> list[Conversation]:
    return to_chats(value, rate_of(port))


def _tensors(port: Input, value: Any) -> Tensor:
    """Tensors keep their type; other fractions become the default type, and a number a batch of one."""
    if isinstance(value, Tensor):
        return value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError("it takes lists of one length") from error
    if array.dtype.kind not in "biuf":
        raise ValueError("it takes numbers")
    found = torch.as_tensor(array)
    found = found.to(torch.get_default_dtype()) if found.is_floating_point() else found
    return found[None] if not found.dim() and len(port.type.dims or ()) == 1 else found


def _bools(port: Input, value: Any) -> Any:
    if isinstance(value, bool) and not port.type.dims:
        return value
    found = _tensors(port, value)
    if found.dtype != torch.bool:
        raise ValueError("it takes true or false")
    return found


def _scalars(port: Input, value: Any) -> Any:
    return value if isinstance(value, int | float) and not port.type.dims else _tensors(port, value)


def _as_is(port: Input, value: Any) -> Any:
    return value


_CONVERT: Mapping[str, Callable[[Input, Any], Any]] = {
    "Text": _texts,
    "Image": _images,
    "Audio": _sounds,
    "Video": _videos,
    "Any": _as_is,
    "Chat": _chats,
    "Bool": _bools,
    "Scalar": _scalars,
}
