"""A dataset -> batches, each a function of seed, place in the stream and size: there is no state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.spec.ports import KINDS, PortType
from mmm_graph.train.seeds import derive_seed

_LISTS = frozenset({"Text", "Chat"})
_TENSORS = KINDS - _LISTS - {"Any"}


class Dataset(Protocol):
    """What a `data.*` builder returns: samples by index, each a dict of columns without batch axis."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class Batch:
    """Collated columns, and the indices of the samples they come from."""

    values: dict[str, Any]
    indices: tuple[int, ...]


class Loader:
    """Endless shuffled stream of samples: epoch after epoch, each in its own order.

    Batches may reach over the end of an epoch, so every batch is full, no sample is dropped, and the stream
    does not depend on the batch size: `accumulate: k` sees the same samples as a batch k times the size.

    Args:
        dataset: the samples.
        columns: type of each column, batched, such as {"image": Image[b,1,32,32]}.
        seed: key of the shuffling.
        shuffle: False keeps the dataset's own order.

    Raises:
        RunError: the dataset is empty (E820).
    """

    def __init__(
        self, dataset: Dataset, columns: Mapping[str, PortType], *, seed: int = 0, shuffle: bool = True
    ) -> None:
        if len(dataset) == 0:
            raise RunError(problem("E820", "the dataset has no samples", hint="check its path and its split"))
        self.dataset = dataset
        self.columns = dict(columns)
        self._seed = seed
        self._shuffle = shuffle
        self._epoch: tuple[int, list[int]] = (-1, [])

    def __len__(self) -> int:
        return len(self.dataset)

    def at(self, start: int, count: int) -> Batch:
        """The `count` samples from position `start` of the stream; this is all that resuming needs."""
        indices = [self._index(position) for position in range(start, start + count)]
        return self.gather(indices)

    def once(self, count: int) -> Iterator[Batch]:
        """Every sample once, in the dataset's own order; the last batch may be short."""
        for start in range(0, len(self), count):
            yield self.gather(range(start, min(start + count, len(self))))

    def gather(self, indices: Sequence[int]) -> Batch:
        """Read and collate samples. Reading is the place where worker processes would step in."""
        rows = [self._read(index) for index in indices]
        values = {name: _collate(name, port, rows, indices) for name, port in self.columns.items()}
        return Batch(values, tuple(indices))

    def _index(self, position: int) -> int:
        epoch, offset = divmod(position, len(self))
        if not self._shuffle:
            return offset
        if self._epoch[0] != epoch:
            generator = torch.Generator().manual_seed(derive_seed(self._seed, "shuffle", epoch))
            self._epoch = (epoch, torch.randperm(len(self), generator=generator).tolist())
        return self._epoch[1][offset]

    def _read(self, index: int) -> Mapping[str, Any]:
        try:
            row: Any = self.dataset[index]
        except (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
            what = f"the dataset failed at sample {index}: {type(error).__name__}: {error}"
            raise RunError(problem("E821", what)) from error
        if not isinstance(row, Mapping):
            what = f"sample {index} is a {type(row).__name__}; expected columns {sorted(self.columns)}"
            raise RunError(problem("E821", what))
        if row.keys() != self.columns.keys():
            missing, extra = self.columns.keys() - row.keys(), row.keys() - self.columns.keys()
            what = (
                f"sample {index} lacks columns {sorted(missing)} and has undeclared columns {sorted(extra)}"
            )
            raise RunError(
                problem("E821", what, hint="columns(config) of the data type must name what it returns")
            )
        return row


def _collate(name: str, port: PortType, rows: Sequence[Mapping[str, Any]], indices: Sequence[int]) -> Any:
    """List for text, None for a column that no row has, else one tensor with the batch axis in front."""
    absent = [index for index, row in zip(indices, rows, strict=True) if row[name] is None]
    if absent and (len(absent) < len(rows) or not port.optional):
        raise _bad(
            name, absent[0], "no value", f"{port}" + ("" if port.optional else ", which is not optional")
        )
    if absent:
        return None
    if port.kind in _LISTS or port.many or (port.kind not in _TENSORS and not _is_numeric(rows[0][name])):
        return [_text(name, port, index, row[name]) for index, row in zip(indices, rows, strict=True)]
    tensors = [_tensor(name, port, index, row[name]) for index, row in zip(indices, rows, strict=True)]
    first = tensors[0]
    for index, tensor in zip(indices, tensors, strict=True):
        if tensor.shape != first.shape or tensor.dtype != first.dtype:
            found, want = _describe(tensor), f"{_describe(first)} as sample {indices[0]} has"
            raise _bad(name, index, found, want)
    return torch.stack(tensors)


def _is_numeric(value: Any) -> bool:
    return hasattr(value, "__array__") or isinstance(value, int | float | complex)


def _text(name: str, port: PortType, index: int, value: Any) -> Any:
    if port.kind == "Text" and not isinstance(value, str):
        raise _bad(name, index, f"a {type(value).__name__}", "a str")
    return value


def _tensor(name: str, port: PortType, index: int, value: Any) -> Tensor:
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _bad(name, index, f"a {type(value).__name__} that is no tensor ({error})", str(port)) from error
    if port.dims is None:
        return tensor
    sizes = [dim.size for dim in port.dims[1:]]
    fits = len(sizes) == tensor.ndim and all(s in (None, n) for s, n in zip(sizes, tensor.shape, strict=True))
    if not fits:
        raise _bad(name, index, _describe(tensor), f"a row of {port}")
    return tensor


def _describe(tensor: Tensor) -> str:
    return f"shape {list(tensor.shape)} {tensor.dtype}".replace("torch.", "")


def _bad(name: str, index: int, found: str, expected: str) -> RunError:
    return RunError(problem("E821", f"column {name!r} of sample {index}: found {found}, expected {expected}"))
