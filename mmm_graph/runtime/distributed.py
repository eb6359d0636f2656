"""Values between processes: headers and tensors as bytes on wires; the order is kept by `lanes.Lanes`."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.plan.ops import Value
from mmm_graph.runtime.codec import Parts, Spec, pack, payload, unpack
from mmm_graph.runtime.lanes import Channel
from mmm_graph.runtime.lost import Lost, gone, silent
from mmm_graph.runtime.wires import Arrival, Wire

BLOCK_BYTES = 1024
"""Size of the first message of a header, whose length nobody knows beforehand."""
ROOM = BLOCK_BYTES - 4


class Processes:
    """The hands of a rank that is a process: see `lanes.Carrier`.

    Args:
        rank: this process.
        host: for tensors of the host, and headers.
        onboard: for tensors of the device; None where there is none.
        device: where tensors come that were on a device.
        timeout_s: how long a message may take, once it is waited for.
        edges: those that may be used; they grow.
    """

    def __init__(
        self,
        rank: int,
        host: Wire,
        onboard: Wire | None,
        device: torch.device,
        timeout_s: float,
        edges: set[tuple[int, int]],
    ) -> None:
        self.rank, self.host, self.device, self.timeout_s, self.edges = rank, host, device, timeout_s, edges
        self.wires = {True: host} if onboard is None else {True: host, False: onboard}

    def give_header(self, parts: Parts, name: Value, to: int) -> None:
        self._check(self.rank, to)
        self.give_bytes(pack(parts), name, to, "header")

    def take_header(self, name: Value, source: int) -> _Header:
        self._check(source, self.rank)
        return _Header(self.take_bytes(name, source, "header"))

    def give_bytes(self, found: bytes, name: Value, to: int, lane: str) -> None:
        """A block with their number and as many of them as fit; the others after it, in a lane of their own."""
        first = len(found).to_bytes(4, "little") + found[:ROOM]
        self._send(self.host, _tensor(first.ljust(BLOCK_BYTES, b"\0")), name, to, lane)
        if len(found) > ROOM:
            self._send(self.host, _tensor(found[ROOM:]), name, to, f"more of {lane}")

    def take_bytes(self, name: Value, source: int, lane: str) -> Bytes:
        """Ask for what `give_bytes` gives."""
        block = torch.empty(BLOCK_BYTES, dtype=torch.uint8)
        return Bytes(self, name, source, lane, block, self._recv(self.host, block, name, source, lane))

    def give(self, tensors: Sequence[Tensor], name: Value, to: int, channel: Channel) -> None:
        self._check(self.rank, to)
        for x in tensors:
            if x.requires_grad:
                raise _trained(name)
            if x.numel():
                self._send(self._wire(x.device.type == "cpu"), payload(x), name, to, channel)

    def take(self, specs: Sequence[Spec], name: Value, source: int, channel: Channel) -> _Tensors:
        found, arrivals = [spec.empty(self.device) for spec in specs], []
        for x, spec in zip(found, specs, strict=True):
            if x.numel():
                wire = self._wire(spec.host)
                arrivals.append(self._recv(wire, payload(x), name, source, channel))
        return _Tensors(self, name, source, found, arrivals)

    def flush(self) -> None:
        for wire in self.wires.values():
            try:
                wire.flush(self.timeout_s)
            except RuntimeError as error:
                raise Lost(problem("E720", f"rank {self.rank} cannot end: {error}")) from error

    def arrived(self, arrival: Arrival, name: Value, source: int) -> None:
        """Wait for it. Raises E720."""
        began = time.monotonic()
        try:
            arrival.wait(self.timeout_s)
        except RuntimeError as error:
            if time.monotonic() - began < 0.9 * self.timeout_s:
                raise gone(self.rank, name, source, _said(error)) from error
            raise silent(self.rank, name, source, self.timeout_s) from error

    def _send(self, wire: Wire, x: Tensor, name: Value, to: int, lane: str) -> None:
        try:
            wire.send(x, to, lane)
        except RuntimeError as error:
            raise gone(self.rank, name, to, _said(error), sends=True) from error

    def _recv(self, wire: Wire, x: Tensor, name: Value, source: int, lane: str) -> Arrival:
        try:
            return wire.recv(x, source, lane)
        except RuntimeError as error:
            raise gone(self.rank, name, source, _said(error)) from error

    def _wire(self, host: bool) -> Wire:
        assert host in self.wires, f"rank {self.rank} has no device, but a tensor of one is to go or come"
        return self.wires[host]

    def _check(self, source: int, to: int) -> None:
        assert source != to, "nothing is sent to oneself"
        assert (source, to) in self.edges, f"the edge {(source, to)} was not opened"


class Bytes(NamedTuple):
    """Bytes that were asked for; their lane is waited for in its order."""

    carrier: Processes
    name: Value
    source: int
    lane: str
    block: Tensor
    arrival: Arrival

    def wait(self) -> bytes:
        """Raises E720."""
        self.carrier.arrived(self.arrival, self.name, self.source)
        block = bytes(self.block.numpy())
        size = int.from_bytes(block[:4], "little")
        if size <= ROOM:
            return block[4 : 4 + size]
        rest = torch.empty(size - ROOM, dtype=torch.uint8)
        more = self.carrier._recv(self.carrier.host, rest, self.name, self.source, f"more of {self.lane}")
        self.carrier.arrived(more, self.name, self.source)
        return block[4:] + bytes(rest.numpy())


class _Header(NamedTuple):
    found: Bytes

    def wait(self) -> Parts:
        return unpack(self.found.wait())


class _Tensors(NamedTuple):
    carrier: Processes
    name: Value
    source: int
    found: list[Tensor]
    arrivals: list[Arrival]

    def wait(self) -> list[Tensor]:
        for arrival in self.arrivals:
            self.carrier.arrived(arrival, self.name, self.source)
        return self.found


def _said(error: RuntimeError) -> str:
    """Without where gloo's code stands, and its advice."""
    return re.sub(r"^\[[^]]*\] *", "", str(error)).partition(". ")[0]


def _tensor(found: bytes) -> Tensor:
    return torch.frombuffer(bytearray(found), dtype=torch.uint8)


def _trained(name: Value) -> RunError:
    hint = "train on one rank, or keep what is trained and its loss on one"
    return RunError(
        problem("E723", f"{name.name} has gradients, which do not go between processes", hint=hint)
    )
