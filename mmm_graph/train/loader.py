"""A dataset -> batches, each a function of seed, place in the stream and size: there is no state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from mmm_graph.errors import RunError, problem
from mmm_graph.spec.ports import PortType
from mmm_graph.train.collate import collate, given
from mmm_graph.train.order import Order, Pick, Shuffled
from mmm_graph.train.samples import (
    FAILURES,
    BadSamples,
    Dataset,
    careful_parts,
    checked,
    draw,
    seeded,
    varies,
)
from mmm_graph.train.workers import Workers

__all__ = ["Batch", "Dataset", "Loader"]


@dataclass(frozen=True)
class Batch:
    """Collated columns, and the indices of the samples they come from; `bad`: which could not be read, and why."""

    values: dict[str, Any]
    indices: tuple[int, ...]
    bad: Mapping[str, str] = field(default_factory=dict)


class Loader:
    """Endless shuffled stream of samples: epoch after epoch, each in its own order.

    Batches may reach over the end of an epoch, so every batch is full, no sample is dropped, and the stream
    does not depend on the batch size: `accumulate: k` sees the same samples as a batch k times the size.

    Args:
        dataset: the samples.
        columns: type of each column, batched, such as {"image": Image[b,1,32,32]}.
        seed: key of the shuffling, and of what samples draw.
        shuffle: False keeps the dataset's own order.
        order: the stream, if it is another than that.
        workers: processes that read ahead; 0 = this one reads, when it is asked. The batches are the same.
        bad_limit: samples that may be unreadable (BadSamples).

    Raises:
        RunError: the dataset is empty (E820).
    """

    def __init__(
        self,
        dataset: Dataset,
        columns: Mapping[str, PortType],
        *,
        seed: int = 0,
        shuffle: bool = True,
        order: Order | None = None,
        workers: int = 0,
        bad_limit: float = 0.0,
    ) -> None:
        if len(dataset) == 0:
            raise RunError(problem("E820", "the dataset has no samples", hint="check its path and its split"))
        self.dataset = seeded(dataset, seed)
        self.columns = dict(columns)
        self.bad = BadSamples(bad_limit, len(dataset))
        self._wanted = given(columns)
        self._order = order or Shuffled(len(dataset), seed if shuffle else None)
        self._workers = Workers(self.read, workers) if workers else None

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def varies(self) -> bool:
        """Whether a sample is not the same in each epoch: nothing made of it can be kept."""
        return varies(self.dataset)

    def at(self, start: int, count: int) -> Batch:
        """The `count` samples from position `start` of the stream; this is all that resuming needs.

        Raises:
            RunError: E821, E823, E824, samples are not as they should be; E828, a worker died.
        """
        if self._workers is not None:
            return self._taken(self._workers.at(start, count))
        return self._taken(self.read(start, count))

    def once(self, count: int) -> Iterator[Batch]:
        """Every sample once, in the dataset's own order; the last batch may be short."""
        for start in range(0, len(self), count):
            yield self.gather(range(start, min(start + count, len(self))))

    def gather(self, indices: Sequence[int]) -> Batch:
        """Read and collate samples, in the form that they have in the first epoch."""
        return self._taken(self._collated([Pick(index, 0) for index in indices]))

    def read(self, start: int, count: int) -> Batch:
        """As `at`, but by whoever calls it and without counting what is bad."""
        return self._collated([self._order.at(position) for position in range(start, start + count)])

    def close(self) -> None:
        """End the workers."""
        if self._workers is not None:
            self._workers.close()

    def _taken(self, batch: Batch) -> Batch:
        self.bad.add(batch.bad)
        return batch

    def _collated(self, picks: Sequence[Pick]) -> Batch:
        with one_thread():
            rows = [self._read(pick) for pick in picks]
            indices = tuple(pick.index for pick in picks)
            values = collate(self.columns, rows, indices)
        bad: dict[str, str] = {}
        for part in careful_parts(self.dataset):
            bad |= part.bad
            part.bad = {}
        return Batch(values, indices, bad)

    def _read(self, pick: Pick) -> Mapping[str, Any]:
        if self._workers is not None:
            self._workers.at_sample(pick.index)
        try:
            row = draw(self.dataset, pick)
        except RunError:
            raise
        except FAILURES as error:
            what = f"the dataset failed at sample {pick.index}: {type(error).__name__}: {error}"
            raise RunError(problem("E821", what)) from error
        return checked(row, pick.index, self._wanted)


@contextmanager
def one_thread() -> Iterator[None]:
    """As in a worker: what a sum gives may depend on how many threads share it."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
