"""`pack: n`: samples of tokens laid end to end in rows of at most n, told apart by their mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.train.collate import IGNORED, LABELS
from mmm_graph.train.order import Pick
from mmm_graph.train.samples import Dataset, draw, seeded, size_of, varies
from mmm_graph.train.seeds import derive_seed

PACKING = ("mask", "documents", "positions")
"""Columns that packing makes."""
OPEN = 32
"""Rows that may still take a sample. More would fill them better and take longer."""


class Packed:
    """Rows made of whole samples. Which samples share a row is the same in every epoch.

    mask and documents count the samples of a row from 1, 0 = nothing: causal attention stays within a number. positions
    start anew with each sample, and the first label of each is left out, as no token before it belongs to it.

    Args:
        dataset: the samples; all are measured when this is made.
        columns: that are laid end to end, along their first axis; the first one is measured.
        length: most tokens of a row.

    Raises:
        RunError: E827, a sample is longer.
    """

    def __init__(self, dataset: Dataset, columns: Sequence[str], length: int) -> None:
        self.dataset, self.columns, self.length = dataset, tuple(columns), length
        self.rows = _fill([_measure(dataset, i, columns[0], length) for i in range(len(dataset))], length)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.draw(index, 0)

    @property
    def varies(self) -> bool:
        """Whether a sample is not the same in each epoch."""
        return varies(self.dataset)

    def seeded(self, seed: int) -> Packed:
        """The same rows with another seed inside."""
        other = object.__new__(Packed)
        other.__dict__.update(self.__dict__, dataset=seeded(self.dataset, seed))
        return other

    def draw(self, index: int, epoch: int) -> dict[str, Any]:
        """A row. A substitute for an unreadable sample may be longer than that: what is too much is cut off."""
        samples = [draw(self.dataset, Pick(i, epoch)) for i in self.rows[index]]
        counts = [len(sample[self.columns[0]]) for sample in samples]
        row: dict[str, Any] = {name: self._joined(name, samples) for name in self.columns}
        numbers = torch.arange(1, len(counts) + 1).repeat_interleave(torch.tensor(counts))
        places = torch.cat([torch.arange(n) for n in counts])
        numbers, places = numbers[: self.length], places[: self.length]
        return {**row, "mask": numbers, "documents": numbers, "positions": places}

    def _joined(self, name: str, samples: Sequence[Mapping[str, Any]]) -> Tensor:
        pieces = [torch.as_tensor(sample[name]) for sample in samples]
        if name == LABELS:
            pieces = [torch.cat([torch.full_like(p[:1], IGNORED), p[1:]]) for p in pieces]
        return torch.cat(pieces)[: self.length]


def _measure(dataset: Dataset, index: int, column: str, length: int) -> int:
    found = size_of(dataset, Pick(index, 0), column)
    if len(found) != 1 or found[0] > length:
        said = f"{found[0]} tokens" if len(found) == 1 else f"no {column!r}"
        what = f"sample {index} has {said}; a packed row has at most {length}"
        raise RunError(problem("E827", what, hint="raise `pack:`, or let the tokenizer truncate"))
    return found[0]


def _fill(lengths: Sequence[int], length: int) -> list[list[int]]:
    """Each sample into the fullest open row that has room for it; samples come in a random, fixed order."""
    generator = torch.Generator().manual_seed(derive_seed("pack", len(lengths), length))
    rows: list[list[int]] = []
    room: dict[int, int] = {}
    for index in torch.randperm(len(lengths), generator=generator).tolist():
        size = lengths[index]
        fits = [(left, row) for row, left in room.items() if left >= size]
        if not fits:
            rows.append([])
            room[len(rows) - 1] = length
            fits = [(length, len(rows) - 1)]
        left, row = min(fits)
        rows[row].append(index)
        room[row] = left - size
        if len(room) > OPEN:
            del room[min(room, key=lambda r: room[r])]
    return rows
