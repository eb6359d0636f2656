"""Processes that read the batches that will be asked for next, in the order in which they will be asked for."""

from __future__ import annotations

import multiprocessing
import re
import signal
from collections.abc import Callable, Iterator
from ctypes import c_longlong
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from mmm_graph.errors import InputError, MmmError, Problem, RunError, problem

AHEAD = 2  # batches each worker reads before they are asked for
Read = Callable[[int, int], Any]


@dataclass(frozen=True)
class Task:
    """A batch by its place in the stream."""

    start: int
    count: int


class Workers:
    """Reads ahead. Which process reads a batch changes nothing of it.

    Batches are expected at equal distances: that of the last two, at first the size of one. Another request than the
    one expected starts the processes anew.

    Args:
        read: what to do, (start, count) -> batch.
        count: processes.

    Raises:
        InputError: E828, this system cannot fork processes.
    """

    def __init__(self, read: Read, count: int) -> None:
        if "fork" not in multiprocessing.get_all_start_methods():
            what = "reading ahead needs a system that can fork processes"
            raise InputError(problem("E828", what, hint="set `workers: 0`"))
        self._read, self._count = read, count
        self._where = multiprocessing.get_context("fork").Array(c_longlong, [0, -1] * count, lock=False)
        self._last: Task | None = None
        self._next: Task | None = None
        self._batches: Iterator[Any] | None = None

    def at(self, start: int, count: int) -> Any:
        """The batch at a place.

        Raises:
            MmmError: what reading raised.
            RunError: E828, a process died.
        """
        task = Task(start, count)
        if self._batches is None or task != self._next:
            self._batches = self._begin(task)
        self._last, self._next = task, Task(start + self._stride(task), count)
        try:
            found = next(self._batches)
        except RuntimeError as error:
            self.close()
            raise self._lost(error) from error
        except OSError as error:
            self.close()
            raise RunError(problem("E828", f"a batch could not be taken from a worker: {error}")) from error
        if isinstance(found, _Failure):
            self.close()
            raise found.kind(found.problems)
        return found

    def at_sample(self, index: int) -> None:
        """Note what this process reads now, in case that it dies of it."""
        info = get_worker_info()
        if info is not None:
            self._where[2 * info.id + 1] = index

    def close(self) -> None:
        """End the processes."""
        self._batches = None

    def _stride(self, task: Task) -> int:
        last = self._last
        return task.start - last.start if last is not None and last.start < task.start else task.count

    def _begin(self, first: Task) -> Iterator[Any]:
        self.close()
        loader = DataLoader(
            _Reader(self._read),
            sampler=_Places(first, self._stride(first)),
            batch_size=None,
            num_workers=self._count,
            prefetch_factor=AHEAD,
            collate_fn=_as_it_is,
            worker_init_fn=self._start,
            generator=torch.Generator(),  # else it would draw from that of the layers
            multiprocessing_context="fork",
        )
        return iter(loader)

    def _start(self, number: int) -> None:
        """In a new process: Ctrl-C is for the main one, which ends the others when it is done."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._where[2 * number] = multiprocessing.current_process().pid or 0

    def _lost(self, error: RuntimeError) -> RunError:
        """Which sample a dead process was at, as far as can be told."""
        said = re.search(r"pid\(?s?\)?:? ([\d, ]+)", str(error))
        dead = {int(pid) for pid in re.findall(r"\d+", said[1])} if said else set()
        places = [(self._where[2 * i], self._where[2 * i + 1]) for i in range(self._count)]
        at = [str(index) for pid, index in places if index >= 0 and (pid in dead or not dead)]
        where = f"at sample {' or '.join(at)}" if at else "before its first sample"
        what = f"a worker died {where}: {str(error).splitlines()[0]}"
        return RunError(problem("E828", what, hint="`workers: 0` reads in the main process and says more"))


@dataclass(frozen=True)
class _Failure:
    """An error on its way to the main process."""

    kind: type[MmmError]
    problems: tuple[Problem, ...]


class _Reader(Dataset[Any]):
    """A place -> its batch, or the error that says why there is none."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def __getitem__(self, task: Task) -> Any:
        try:
            return self._read(task.start, task.count)
        except MmmError as error:
            return _Failure(type(error), error.problems)


class _Places(Sampler[Task]):
    """Places at equal distances, for ever."""

    def __init__(self, first: Task, stride: int) -> None:
        self._first, self._stride = first, stride

    def __iter__(self) -> Iterator[Task]:
        task = self._first
        while True:
            yield task
            task = Task(task.start + self._stride, task.count)


def _as_it_is(value: Any) -> Any:
    return value
