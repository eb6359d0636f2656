"""Datasets and what is put around them: reading by (index, epoch), and substitutes for samples that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from mmm_graph.errors import MmmError, Problem, RunError, problem, warning
from mmm_graph.train.order import Order, Pick
from mmm_graph.train.seeds import derive_seed

TRIES = 64
"""Substitutes in a row that may be unreadable themselves."""
FAILURES = (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError, MmmError)


class Dataset(Protocol):
    """What a `data.*` builder returns: samples by index, each a dict of columns without batch axis.

    Two methods are optional. `draw(index, epoch)` comes before `__getitem__` where a sample is another one in each
    epoch. `size(index, column) -> int` tells the length of a column without reading the sample.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def draw(dataset: Dataset, pick: Pick) -> Any:
    """A sample, in the form that it has in that epoch."""
    own: Callable[[int, int], Any] | None = getattr(dataset, "draw", None)
    return dataset[pick.index] if own is None else own(pick.index, pick.epoch)


def varies(dataset: Dataset) -> bool:
    """Whether a sample is not the same in each epoch."""
    return bool(getattr(dataset, "varies", hasattr(dataset, "draw")))


def seeded(dataset: Dataset, seed: int) -> Dataset:
    """The dataset with what it draws keyed by a seed."""
    own: Callable[[int], Dataset] | None = getattr(dataset, "seeded", None)
    return dataset if own is None else own(seed)


def size_of(dataset: Dataset, pick: Pick, column: str) -> tuple[int, ...]:
    """What samples are grouped by: () where the column is missing, else its length, or height and width of a picture.

    Raises:
        RunError: E827, there is no such column.
    """
    own: Callable[[int, str], int | None] | None = getattr(dataset, "size", None)
    known = own(pick.index, column) if own is not None else None
    if known is not None:
        return (known,) if known >= 0 else ()
    row = draw(dataset, pick)
    if column not in row:
        raise RunError(problem("E827", f"there is no column {column!r} to group or pack samples by"))
    value = row[column]
    if value is None:
        return ()
    shape = tuple(getattr(value, "shape", ()))
    if len(shape) >= 3:
        return tuple(int(n) for n in shape[-2:])
    if shape:
        return (int(max(shape)),)
    return (len(value),) if hasattr(value, "__len__") else (int(value),)


class Careful:
    """A dataset in which a sample that cannot be read is replaced by another one, always the same.

    Args:
        dataset: the samples.
        name: of the source, for messages.
        columns: that each sample has.

    Attributes:
        bad: why samples could not be read, by `name index`; whoever reads here takes it out.
    """

    def __init__(self, dataset: Dataset, name: str, columns: frozenset[str]) -> None:
        self.dataset, self.name, self.columns = dataset, name, columns
        self.varies = varies(dataset)
        self.bad: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.draw(index, 0)

    def seeded(self, seed: int) -> Careful:
        """The same with another seed inside."""
        return Careful(seeded(self.dataset, seed), self.name, self.columns)

    def size(self, index: int, column: str) -> int | None:
        """As the dataset tells it."""
        own: Callable[[int, str], int | None] | None = getattr(self.dataset, "size", None)
        return own(index, column) if own is not None else None

    def draw(self, index: int, epoch: int) -> Any:
        """The sample, or the first readable one of its substitutes, which are keyed by its index.

        Raises:
            RunError: E821, the dataset returned other columns than it declares; E823, no substitute can be read.
        """
        chosen = index
        for number in range(1, TRIES + 1):
            try:
                row = draw(self.dataset, Pick(chosen, epoch))
            except FAILURES as error:
                self.bad.setdefault(f"{self.name} {chosen}".strip(), _said(error))
                chosen = derive_seed("substitute", index, number) % len(self)
            else:
                return checked(row, chosen, self.columns)
        what = f"{self.name} sample {index} and {TRIES} others in its place cannot be read"
        raise RunError(problem("E823", f"{what.strip()}: {next(iter(self.bad.values()))}"))


def _said(error: Exception) -> str:
    return (
        str(error.problems[0].message) if isinstance(error, MmmError) else f"{type(error).__name__}: {error}"
    )


def checked(row: Any, index: int, columns: frozenset[str]) -> Mapping[str, Any]:
    """A sample with just the columns that were declared.

    Raises:
        RunError: E821.
    """
    if not isinstance(row, Mapping):
        what = f"sample {index} is a {type(row).__name__}; expected columns {sorted(columns)}"
        raise RunError(problem("E821", what))
    if row.keys() != columns:
        missing, extra = columns - row.keys(), row.keys() - columns
        what = f"sample {index} lacks columns {sorted(missing)} and has undeclared columns {sorted(extra)}"
        raise RunError(
            problem("E821", what, hint="columns(config) of the data type must name what it returns")
        )
    return row


class BadSamples:
    """Counts what could not be read.

    Args:
        limit: how many are endured: below 1 a share of the samples, else a number.
        size: number of samples.
    """

    def __init__(self, limit: float, size: int) -> None:
        self.found: dict[str, str] = {}
        self._most = int(limit * size) if limit < 1 else int(limit)
        self._size = size

    def add(self, found: Mapping[str, str]) -> None:
        """Take in what a batch met.

        Raises:
            RunError: E823, there are too many.
        """
        self.found.update(found)
        if len(self.found) > self._most:
            first = "; ".join(f"sample {name}: {why}" for name, why in list(self.found.items())[:3])
            what = (
                f"{len(self.found)} of {self._size} samples cannot be read, {self._most} are endured: {first}"
            )
            hint = "repair or remove them, or raise `bad_limit` (below 1 a share, else a number)"
            raise RunError(problem("E823", what, hint=hint))

    def warning(self, stage: str) -> Problem:
        """What is said at the end."""
        first = "; ".join(f"sample {name}: {why}" for name, why in list(self.found.items())[:3])
        what = f"stage {stage}: {len(self.found)} of {self._size} samples could not be read: {first}"
        return warning("W823", what, hint="others came in their place; train.json names all of them")


class Concat:
    """Datasets laid end to end; columns that one lacks are None in its samples."""

    def __init__(self, parts: Sequence[Dataset], columns: frozenset[str]) -> None:
        self.parts, self.columns = list(parts), columns
        self.varies = any(map(varies, parts))

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, index: int) -> Any:
        return self.draw(index, 0)

    def seeded(self, seed: int) -> Concat:
        """The same, each part with a seed of its own."""
        parts = [seeded(part, derive_seed(seed, "source", i)) for i, part in enumerate(self.parts)]
        return Concat(parts, self.columns)

    def draw(self, index: int, epoch: int) -> Any:
        """The sample of the part that the index lies in."""
        part, own = self._find(index)
        return {**dict.fromkeys(self.columns), **draw(part, Pick(own, epoch))}

    def size(self, index: int, column: str) -> int | None:
        """As the part tells it; -1 = the part lacks the column."""
        part, own = self._find(index)
        if isinstance(part, Careful) and column in self.columns and column not in part.columns:
            return -1
        tell: Callable[[int, str], int | None] | None = getattr(part, "size", None)
        return tell(own, column) if tell is not None else None

    def firsts(self) -> list[int]:
        """Index of the first sample of each part."""
        return [sum(map(len, self.parts[:i])) for i in range(len(self.parts))]

    def _find(self, index: int) -> tuple[Dataset, int]:
        for part in self.parts:
            if index < len(part):
                return part, index
            index -= len(part)
        raise IndexError(index)


class Beside:
    """Several datasets at once: sample p has the p-th sample of each one's own order, under `source.column`."""

    varies = True

    def __init__(self, parts: Mapping[str, Dataset], orders: Mapping[str, Order]) -> None:
        self.parts, self.orders = dict(parts), dict(orders)

    def __len__(self) -> int:
        return max(map(len, self.parts.values()))

    def __getitem__(self, position: int) -> Any:
        return self.draw(position, 0)

    def draw(self, position: int, epoch: int) -> Any:
        """All columns of all sources; `epoch` counts in the longest one and is not needed."""
        return {
            f"{name}.{column}": value
            for name, part in self.parts.items()
            for column, value in draw(part, self.orders[name].at(position + epoch * len(self))).items()
        }


def careful_parts(dataset: Dataset) -> list[Careful]:
    """Every source in a dataset, to ask what could not be read."""
    if isinstance(dataset, Careful):
        return [dataset]
    if isinstance(dataset, Concat | Beside):
        parts = dataset.parts.values() if isinstance(dataset, Beside) else dataset.parts
        return [found for part in parts for found in careful_parts(part)]
    return []
