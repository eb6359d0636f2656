"""Rows of different length -> one tensor, padded on one side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem


@dataclass(frozen=True)
class Padding:
    """How rows are padded.

    Attributes:
        pad_id: None = they cannot be.
        length: of all rows; None = that of the longest.
        left: on the left.
    """

    pad_id: int | None
    length: int | None = None
    left: bool = False

    def ids(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids [b,t] int64 and mask [b,t], True where there is text.

        Raises:
            RunError: E707, there is no token to pad with, and rows differ.
        """
        width = self._width(rows)
        if self.pad_id is None and any(len(row) < width for row in rows):
            message = "texts differ in length and the tokenizer has no padding token"
            hint = "set pad_token to a token of the vocabulary, or to `eos` to pad with the token that ends a text"
            raise RunError(problem("E707", message, hint=hint))
        return self.fill(rows, self.pad_id or 0), self.fill([[1] * len(row) for row in rows], 0).bool()

    def fill(self, rows: Sequence[Sequence[int]], value: int) -> Tensor:
        """Rows [b,t] int64, padded with a value."""
        width = self._width(rows)
        found = torch.full((len(rows), width), value, dtype=torch.int64)
        for i, row in enumerate(rows):
            start = width - len(row) if self.left else 0
            found[i, start : start + len(row)] = torch.tensor(row, dtype=torch.int64)
        return found

    def _width(self, rows: Sequence[Sequence[int]]) -> int:
        return self.length or max(map(len, rows), default=0)
