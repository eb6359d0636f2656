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
from mmm_graph.runtime.lost import Lost, lost
from mmm_graph.runtime.wires import Arrival, Wire

BLOCK_BYTES = 1024
"""Size of a header: 4 bytes of length, then as much of it as fits; the rest goes in a lane of its own."""
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
        header = pack(parts)
        block = bytearray(BLOCK_BYTES)
        first = header[:ROOM]
        block[: 4 + len(first)] = len(header).to_bytes(4, "little") + first
        self._send(self.host, _bytes(block), name, to, "header")
        if len(header) > ROOM:
            self._send(self.host, _bytes(bytearray(header[ROOM:])), name, to, "more")

    def take_header(self, name: Value, source: int) -> _Header:
        self._check(source, self.rank)
        block = torch.empty(BLOCK_BYTES, dtype=torch.uint8)
        return _Header(self, name, source, block, self._recv(self.host, block, name, source, "header"))

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
                raise self._gone(name, source, error) from error
            raise lost(self.rank, name, source, f"it did not come in {self.timeout_s:g} s") from error

    def _send(self, wire: Wire, x: Tensor, name: Value, to: int, lane: str) -> None:
        try:
            wire.send(x, to, lane)
        except RuntimeError as error:
            raise self._gone(name, to, error) from error

    def _recv(self, wire: Wire, x: Tensor, name: Value, source: int, lane: str) -> Arrival:
        try:
            return wire.recv(x, source, lane)
        except RuntimeError as error:
            raise self._gone(name, source, error) from error

    def _gone(self, name: Value, peer: int, error: RuntimeError) -> Lost:
        said = re.sub(r"^\[[^]]*\] *", "", str(error)).partition(". ")[
            0
        ]  # gloo says where it stands, and more
        return lost(self.rank, name, peer, f"rank {peer} is gone ({said})", gone=True)

    def _wire(self, host: bool) -> Wire:
        assert host in self.wires, f"rank {self.rank} has no device, but a tensor of one is to go or come"
        return self.wires[host]

    def _check(self, source: int, to: int) -> None:
        assert source != to, "nothing is sent to oneself"
        assert (source, to) in self.edges, f"the edge {(source, to)} was not opened"


class _Header(NamedTuple):
    carrier: Processes
    name: Value
    source: int
    block: Tensor
    arrival: Arrival

    def wait(self) -> Parts:
        carrier = self.carrier
        carrier.arrived(self.arrival, self.name, self.source)
        block = bytes(self.block.numpy())
        size = int.from_bytes(block[:4], "little")
        if size <= ROOM:
            return unpack(block[4 : 4 + size])
        rest = torch.empty(size - ROOM, dtype=torch.uint8)
        carrier.arrived(
            carrier._recv(carrier.host, rest, self.name, self.source, "more"), self.name, self.source
        )
        return unpack(block[4:] + bytes(rest.numpy()))


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


def _bytes(found: bytearray) -> Tensor:
    return torch.frombuffer(found, dtype=torch.uint8)


def _trained(name: Value) -> RunError:
    hint = "train on one rank, or keep what is trained and its loss on one"
    return RunError(
        problem("E723", f"{name.name} has gradients, which do not go between processes", hint=hint)
    )
