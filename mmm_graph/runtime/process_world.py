"""Ranks that are processes, on one machine or many, started by `launch` or torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

from mmm_graph.errors import RunError, problem
from mmm_graph.parallel.group import ALONE, Group
from mmm_graph.parallel.process_group import ProcessGroup
from mmm_graph.plan.ops import Value
from mmm_graph.runtime.codec import from_bytes, to_bytes
from mmm_graph.runtime.distributed import Processes
from mmm_graph.runtime.lanes import Lanes
from mmm_graph.runtime.supervised import notes
from mmm_graph.runtime.transport import Transport
from mmm_graph.runtime.watchdog import Watchdog, connect
from mmm_graph.runtime.wires import FOREVER, Gloo, Nccl, Staged, Wire
from mmm_graph.runtime.world import agree, checked

Backend = Literal["gloo", "nccl"]
MEETING = Value("", "a meeting of all ranks")
"""Name of what is gathered, in errors."""
NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class _Place(NamedTuple):
    """Which process this is, by torchrun's environment."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    store: tuple[str, int]


class ProcessWorld:
    """A `World` whose others are processes. Leaves in order at the end of a `with`, at once after an error.

    Made by `from_env`, and only once in the life of a process: a second meeting at the same address would take the
    first one's for it.
    """

    def __init__(self, place: _Place, device: torch.device, backend: Backend, timeout_s: float) -> None:
        self.rank, self.size, self.device, self.timeout_s = place.rank, place.size, device, timeout_s
        self.edges: set[tuple[int, int]] = set()
        found = notes()
        self._note = found.writer(place.local_rank).write if found else None
        everybody = dist.group.WORLD
        assert everybody is not None
        self._gloo = host = Gloo(everybody)
        self._nccl = Nccl(place.rank, device) if backend == "nccl" else None
        onboard: Wire | None = self._nccl or (Staged(host) if device.type == "cuda" else None)
        self._carrier = Processes(place.rank, host, onboard, device, FOREVER.total_seconds(), self.edges)
        self._watchdog = Watchdog(place.rank, place.size, timeout_s, connect(*place.store, timeout_s))
        self._transport = Lanes(self._carrier, self.note)
        self._groups: dict[tuple[int, ...], Group | None] = {}

    @classmethod
    def from_env(
        cls, timeout_s: float = 60.0, device: str = "cpu", backend: Backend | None = None
    ) -> ProcessWorld:
        """Meet the others.

        Args:
            timeout_s: how long the others may take to come, one may stand still, or all ranks of a run get no further.
            device: "cpu", or "cuda" for one device for each rank of a machine.
            backend: what moves tensors of devices; default nccl. gloo takes them by way of the host, and ranks may
                share a device.

        Raises:
            RunError: E726, this is no rank, there are too few devices, or the others did not come.
        """
        place = _place()
        backend = backend or ("gloo" if device == "cpu" else "nccl")
        where = _device(place, device, backend)
        try:
            dist.init_process_group(
                "gloo" if backend == "gloo" else "cpu:gloo,cuda:nccl",
                timeout=timedelta(seconds=timeout_s),
                rank=place.rank,
                world_size=place.size,
            )
        except RuntimeError as error:
            address = "{}:{}".format(*place.store)
            message = f"rank {place.rank} did not meet the other {place.size - 1} at {address}: {error}"
            hint = "all ranks must start within the time-out, and reach that address"
            raise RunError(problem("E726", message, hint=hint)) from error
        return cls(place, where, backend, timeout_s)

    def __enter__(self) -> ProcessWorld:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    def transport(self) -> Transport:
        return self._transport

    def group(self, ranks: Sequence[int]) -> Group | None:
        members = checked(ranks, self.size)
        if members not in self._groups:
            self._groups[members] = self._new_group(members)
        return self._groups[members]

    def _new_group(self, members: tuple[int, ...]) -> Group | None:
        if len(members) == 1:
            return ALONE if self.rank in members else None
        handle = dist.new_group(list(members), timeout=FOREVER)
        if self.rank not in members:
            return None
        mesh = DeviceMesh.from_group(handle, self.device.type)
        return ProcessGroup(mesh.get_group(), members)

    def open(self, edges: Iterable[tuple[int, int]]) -> None:
        new = [edge for edge in dict.fromkeys(edges) if edge not in self.edges]
        if self._nccl is not None:
            self._nccl.open(new)
        self.edges.update(new)

    def gather(self, value: Any) -> list[Any]:
        # Each to each: a collective of gloo ends in a thread of its own, which may crash Python's end.
        mine, others = to_bytes(value, MEETING.name), [r for r in range(self.size) if r != self.rank]
        for rank in others:
            self._carrier.give_bytes(mine, MEETING, rank, "meeting")
        asked = {rank: self._carrier.take_bytes(MEETING, rank, "meeting") for rank in others}
        found = {rank: asked[rank].wait() for rank in others} | {self.rank: mine}
        return [from_bytes(found[rank], self.device) for rank in range(self.size)]

    def agree(self, what: str, digest: str) -> None:
        agree(self, what, digest)

    def note(self, text: str) -> None:
        self._watchdog.note(text)
        if self._note is not None:
            self._note(text)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._watchdog.is_inside = True
        try:
            yield
        finally:
            self._watchdog.is_inside = False

    def close(self) -> None:
        self._transport.flush()
        self.gather(None)  # who leaves while another one still reads may reset the connection
        self._carrier.flush()
        self._watchdog.end()
        self._gloo.end()
        dist.destroy_process_group()

    def abort(self) -> None:
        """Leave at once: the others find out."""
        self._watchdog.end()
        self._gloo.abort()
        if self._nccl is not None:
            dist.distributed_c10d._abort_process_group()  # what waits on a stream would wait for ever


def _place() -> _Place:
    env = os.environ
    missing = [name for name in NEEDED if not env.get(name)]
    if missing:
        message = f"this process is no rank: {', '.join(missing)} of the environment is missing"
        raise RunError(problem("E726", message, hint="start it with `mmm run --nproc N`, or with torchrun"))
    rank, size = int(env["RANK"]), int(env["WORLD_SIZE"])
    local = int(env.get("LOCAL_RANK", rank)), int(env.get("LOCAL_WORLD_SIZE", size))
    return _Place(rank, size, *local, (env["MASTER_ADDR"], int(env["MASTER_PORT"])))


def _device(place: _Place, name: str, backend: Backend) -> torch.device:
    """The device of this rank, made the current one."""
    if name == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if not count or (backend == "nccl" and count < place.local_size):
        message = f"{place.local_size} ranks of this machine need a device each, and it has {count}"
        raise RunError(problem("E726", message, hint="start fewer ranks, or run on the cpu"))
    # Each lane of an edge has a stream; where they shared a queue, a receive that waits would hold up a send.
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")
    device = torch.device("cuda", place.local_rank % count)
    torch.cuda.set_device(device)
    return device
