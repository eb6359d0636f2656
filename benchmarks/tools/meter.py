"""A world that counts what goes to other ranks and how long it is waited for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from mmm_graph.runtime.process_world import ProcessWorld


class Meter:
    """A world that counts what goes to other ranks and how long this one waits for them."""

    def __init__(self, world: ProcessWorld) -> None:
        self.world = world
        self.sent_bytes, self.waited_s = 0, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)

    def reset(self) -> None:
        """Begin anew."""
        self.sent_bytes, self.waited_s = 0, 0.0

    def transport(self) -> Any:
        return _Transport(self, self.world.transport())

    def group(self, ranks: Sequence[int]) -> Any:
        group = self.world.group(ranks)
        return group if group is None or group.size == 1 else _Group(self, group)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent inside."""
        start = time.perf_counter()
        yield
        self.waited_s += time.perf_counter() - start


class _Transport:
    def __init__(self, meter: Meter, inner: Any) -> None:
        self.meter, self.inner = meter, inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def send(self, value: Any, name: Any, to: int, late: bool) -> None:
        self.meter.sent_bytes += sum(t.numel() * t.element_size() for t in tensors(value))
        self.inner.send(value, name, to, late)

    def recv(self, name: Any, source: int, late: bool) -> Any:
        return _Pending(self.meter, self.inner.recv(name, source, late))


class _Group:
    def __init__(self, meter: Meter, inner: Any) -> None:
        self.meter, self.inner = meter, inner
        self.index, self.size = inner.index, inner.size

    def gather(self, x: Tensor, shapes: Any) -> Any:
        self.meter.sent_bytes += (self.size - 1) * x.numel() * x.element_size()
        return _Pending(self.meter, self.inner.gather(x, shapes))

    def all_to_all(self, xs: Sequence[Tensor], shapes: Any) -> Any:
        self.meter.sent_bytes += sum(
            x.numel() * x.element_size() for j, x in enumerate(xs) if j != self.index
        )
        with self.meter.waiting():
            return self.inner.all_to_all(xs, shapes)

    def all_reduce(self, x: Tensor) -> Any:
        self.meter.sent_bytes += 2 * (self.size - 1) * x.numel() * x.element_size() // self.size
        with self.meter.waiting():
            return self.inner.all_reduce(x)

    def swap(self, gives: Mapping[int, Tensor], shapes: Any, like: Tensor) -> Any:
        return self.start_swap(gives, shapes, like).wait()

    def start_swap(self, gives: Mapping[int, Tensor], shapes: Any, like: Tensor) -> Any:
        self.meter.sent_bytes += sum(x.numel() * x.element_size() for x in gives.values())
        return _Pending(self.meter, self.inner.start_swap(gives, shapes, like))


class _Pending:
    def __init__(self, meter: Meter, inner: Any) -> None:
        self.meter, self.inner = meter, inner

    def wait(self) -> Any:
        with self.meter.waiting():
            return self.inner.wait()


def tensors(value: Any) -> list[Tensor]:
    """The tensors in a value."""
    if isinstance(value, Tensor):
        return [value]
    return [t for v in value.values() for t in tensors(v)] if isinstance(value, Mapping) else []
