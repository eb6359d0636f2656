"""Rows that a table in a file lacks, for tokens that were added to a vocabulary."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def grown(table: Tensor, rows: int, name: str) -> Tensor:
    """The table [v,d] with rows after its last, [rows,d]: each number as if drawn from those of its column.

    They are normal, with the mean and the spread of the column, so a new token is about as likely as any, and no two
    are alike: equal rows would get equal gradients wherever their tokens stand together. They depend on the table and
    on its name only, so every process and every later run has the same.

    Args:
        name: of the tensor in its module, which keys what is drawn.

    Source: Hewitt 2021, "Initializing new word embeddings for pretrained language models"; here each column by itself.
    """
    key = int.from_bytes(hashlib.blake2b(f"rows {name}".encode(), digest_size=8).digest(), "big") >> 1
    wide = table.float()
    spread, mean = torch.std_mean(wide, dim=0, correction=0)
    generator = torch.Generator().manual_seed(key)
    drawn = mean + spread * torch.randn(rows - len(table), table.shape[1], generator=generator)
    return torch.cat([table, drawn.to(table.dtype)])
