"""Samples -> one batch of columns, by kind: stacked, padded, or lists; rows that lack a column are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmm_graph.errors import RunError, problem
from mmm_graph.graph.unify import shown
from mmm_graph.spec.ports import KINDS, PortType

LISTS = frozenset({"Text", "Chat"})
PADDED = frozenset({"Ids", "Mask", "Audio", "Mel", "Embeds"})
"""Kinds whose rows may have lengths of their own: where the type says a symbol, they are padded at the end."""
OWNERS = ".rows"
"""`image.rows` says which samples the rows of `image` belong to, where some have none."""
LABELS, IGNORED = "labels", -100
"""Ids of this name are padded with what losses leave out; all others with 0, and masks with false."""

Row = Mapping[str, Any]


def collate(columns: Mapping[str, PortType], rows: Sequence[Row], indices: Sequence[int]) -> dict[str, Any]:
    """Columns of a batch.

    A column whose batch axis is not `b` holds the samples that have it, and `NAME.rows` [r] names them; both are None
    if none has. A mask that no sample has, beside a padded column of the same length symbol, is made of its lengths.

    Args:
        columns: by name, batched; those named `.rows` are made here.
        rows: the samples.
        indices: of the samples in their dataset, for errors.

    Raises:
        RunError: E821, a value is not what its column says; E824, some samples lack a column that cannot be left out.
    """
    values: dict[str, Any] = {}
    lengths: dict[str, list[int]] = {}
    owners: dict[str, list[int]] = {}
    own = given(columns)
    for name in (n for n in columns if n in own):
        port = columns[name]
        has = [i for i, row in enumerate(rows) if row[name] is not None]
        if _is_made(name, columns) and not has:
            continue
        if is_routed(name, columns):
            _share(owners, name, port, has, indices)
        elif has and len(has) < len(rows):
            raise _lacks(name, port, indices[next(i for i in range(len(rows)) if i not in has)])
        elif not has and not port.optional:
            raise bad(name, indices[0], "no value", f"{shown(port)}, which is not optional")
        found = [(indices[i], rows[i][name]) for i in has]
        values[name] = _column(name, port, found, lengths) if found else None
    for name in own - values.keys():
        values[name] = _mask(lengths.get(_length(columns[name]), []))
    for name in (n for n in own if is_routed(n, columns)):
        has = owners.get(_batch(columns[name]), [])
        values[name + OWNERS] = torch.tensor(has) if has else None
    return {name: values[name] for name in columns}


def _share(
    owners: dict[str, list[int]], name: str, port: PortType, has: list[int], indices: Sequence[int]
) -> None:
    """Columns of one batch axis are there in the same samples."""
    known = owners.setdefault(_batch(port), has)
    if known != has:
        index = indices[min(set(known) ^ set(has))]
        what = (
            f"sample {index} has some of the columns with the batch axis of {name!r} ({shown(port)}), not all"
        )
        raise RunError(problem("E824", what, hint="give each its own axis: r_image, r_text ..."))


def _batch(port: PortType) -> str:
    return str((port.dims or ("",))[0])


def given(columns: Mapping[str, PortType]) -> frozenset[str]:
    """Columns that samples have: all but the owners."""
    return frozenset(n for n in columns if not (n.endswith(OWNERS) and n.removesuffix(OWNERS) in columns))


def is_routed(name: str, columns: Mapping[str, PortType]) -> bool:
    """Samples may lack this column: it has owners."""
    return name + OWNERS in columns


def _is_made(name: str, columns: Mapping[str, PortType]) -> bool:
    """A mask `b t` beside a column that is padded along t."""
    port = columns[name]
    padded = [p for n, p in columns.items() if n != name and p.kind in PADDED and p.kind != "Mask"]
    length = _length(port)
    return port.kind == "Mask" and length != "" and any(_length(other) == length for other in padded)


def _length(port: PortType) -> str:
    """The symbol of the axis along which rows are padded; "" = there is none."""
    axis = _axis(port)
    return "" if axis is None else str((port.dims or ())[axis])


def _axis(port: PortType) -> int | None:
    """The axis that rows differ in, batch axis counted: the last one of sound, the second one of all others."""
    dims = port.dims or ()
    axis = len(dims) - 1 if port.kind == "Audio" else 1
    fits = port.kind in PADDED and not port.many and len(dims) > 1 and dims[axis].size is None
    return axis if fits else None


def _mask(lengths: Sequence[int]) -> Tensor | None:
    """[b,t], true where there is something."""
    if not lengths:
        return None
    return torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


def _column(name: str, port: PortType, own: Sequence[tuple[int, Any]], lengths: dict[str, list[int]]) -> Any:
    if port.many:
        return _items(name, port, own)
    if port.kind in LISTS or (port.kind not in KINDS - {"Any"} and not _is_numeric(own[0][1])):
        return [_listed(name, port, index, value) for index, value in own]
    tensors = [_tensor(name, port, index, value) for index, value in own]
    axis = _axis(port)
    if axis is not None and all(t.ndim == len(port.dims or ()) - 1 for t in tensors):
        lengths.setdefault(_length(port), [t.shape[axis - 1] for t in tensors])
        tensors = _padded(name, tensors, axis - 1)
    first = tensors[0]
    for (index, _), tensor in zip(own, tensors, strict=True):
        if tensor.shape != first.shape or tensor.dtype != first.dtype:
            hint = (
                f"declare the column as {port.kind}* for sizes of their own, or resize"
                if _is_size(port)
                else ""
            )
            raise bad(name, index, describe(tensor), f"{describe(first)} as sample {own[0][0]} has", hint)
    return torch.stack(tensors)


def _is_size(port: PortType) -> bool:
    return port.kind in ("Image", "Video", "Latents")


def _items(name: str, port: PortType, own: Sequence[tuple[int, Any]]) -> list[Any]:
    """A list with one item a sample; where the first axis is `m`, samples give any number, and the batch has all."""
    if not port.dims or str(port.dims[0]).rpartition(":")[2] != "m":
        return [value for _, value in own]
    one = PortType(port.kind, port.dims, port.tag)
    return [
        _tensor(name, one, index, item)
        for index, value in own
        for item in (value if isinstance(value, list | tuple) else [value])
    ]


def _padded(name: str, tensors: Sequence[Tensor], axis: int) -> list[Tensor]:
    """Rows of one length; what is added comes at the end."""
    longest = max(t.shape[axis] for t in tensors)
    value = IGNORED if name.rpartition(".")[2] == LABELS else 0
    return [
        t if t.shape[axis] == longest else _extend(t, axis, longest - t.shape[axis], value) for t in tensors
    ]


def _extend(tensor: Tensor, axis: int, more: int, value: int) -> Tensor:
    after = [0, 0] * (tensor.ndim - 1 - axis)
    return F.pad(tensor, [*after, 0, more], value=bool(value) if tensor.dtype == torch.bool else value)


def _is_numeric(value: Any) -> bool:
    return hasattr(value, "__array__") or isinstance(value, int | float | complex)


def _listed(name: str, port: PortType, index: int, value: Any) -> Any:
    if port.kind == "Text" and not isinstance(value, str):
        raise bad(name, index, f"a {type(value).__name__}", "a str")
    return value


def _tensor(name: str, port: PortType, index: int, value: Any) -> Tensor:
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise bad(
            name, index, f"a {type(value).__name__} that is no tensor ({error})", shown(port)
        ) from error
    if port.dims is None:
        return tensor
    sizes = [dim.size for dim in port.dims[1:]]
    fits = len(sizes) == tensor.ndim and all(s in (None, n) for s, n in zip(sizes, tensor.shape, strict=True))
    if not fits:
        raise bad(name, index, describe(tensor), f"a row of {shown(port)}")
    return tensor


def describe(tensor: Tensor) -> str:
    """Shape and dtype."""
    return f"shape {list(tensor.shape)} {tensor.dtype}".replace("torch.", "")


def bad(name: str, index: int, found: str, expected: str, hint: str = "") -> RunError:
    """E821: a value that is not what its column says."""
    what = f"column {name!r} of sample {index}: found {found}, expected {expected}"
    return RunError(problem("E821", what, hint=hint))


def _lacks(name: str, port: PortType, index: int) -> RunError:
    what = f"column {name!r} of sample {index}: found no value, and other samples of the batch have one; {shown(port)}"
    hint = f'a column that samples may lack has a batch axis of its own: "{port.kind}[r, ...]"'
    return RunError(problem("E824", f"{what} has one row for each sample", hint=hint))
