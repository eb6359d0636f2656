"""The processes that train together: each takes its share of every batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mmm_graph.errors import InputError, RunError, problem
from mmm_graph.parallel.rows_of_ranks import rows_of_ranks


class Ranks:
    """One process among those that train; `ALONE` is the only one.

    Args:
        rank, size: which one, of how many.
        device: of its models.
    """

    def __init__(self, rank: int = 0, size: int = 1, device: str | torch.device = "cpu") -> None:
        self.rank, self.size, self.device = rank, size, torch.device(device)

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and speaks with the user."""
        return self.rank == 0

    def share(self, count: int) -> tuple[int, int]:
        """First and last + 1 of this rank's rows of a batch of `count`; the shares are equal.

        Raises:
            InputError: E860, the batch cannot be cut into equal shares.
        """
        each, rest = divmod(count, self.size)
        if rest:
            what = f"a micro-batch of {count} samples cannot be cut into equal shares for {self.size} ranks"
            hint = f"set `batch` to a multiple of {self.size}: it is that of all ranks together"
            raise InputError(problem("E860", what, hint=hint))
        return self.rank * each, (self.rank + 1) * each

    def total(self, x: Tensor) -> Tensor:
        """The sum of a tensor over all ranks."""
        if self.size == 1:
            return x
        x = x.detach().clone()
        with _naming(self.rank):
            dist.all_reduce(x)
        return x

    def gather(self, x: Tensor | None) -> tuple[Tensor | None, slice]:
        """The rows of all ranks, with autograd, and which of them are ours; see `rows_of_ranks`."""
        if self.size == 1:
            return x, slice(0, 0 if x is None else len(x))
        with _naming(self.rank):
            return rows_of_ranks(x, self.device)

    def any(self, flag: bool) -> bool:
        """Whether it is true on any rank."""
        return bool(self.total(torch.tensor(float(flag))).item() > 0) if self.size > 1 else flag

    def all(self, value: Any) -> Sequence[Any]:
        """What every rank has, in their order."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        with _naming(self.rank):
            dist.all_gather_object(found, value)
        return found

    def wait(self) -> None:
        """Until all are here."""
        self.all(None)


ALONE = Ranks()


@contextmanager
def _naming(rank: int) -> Iterator[None]:
    """What the backend raises, as an error that says where."""
    try:
        yield
    except RuntimeError as error:
        what = f"rank {rank} waited in vain for the other ranks: {error}".partition(". ")[0]
        hint = "another rank has failed or stands still: its own message says why"
        raise RunError(problem("E720", what, hint=hint)) from error
