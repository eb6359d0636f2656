"""The order of messages, and what their two ends know without saying it; a Carrier moves the bytes.

Late: a header, then the tensors it announces. Declared: only tensors, of the form of that value's last late message."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.plan.ops import Value
from mmm_graph.runtime.codec import Form, Parts, Spec, put_together, take_apart
from mmm_graph.runtime.lost import spoken

if TYPE_CHECKING:
    from mmm_graph.runtime.transport import Pending

Channel = Literal["late", "declared"]
"""Two lanes of tensors on each directed edge; headers have a third one."""


class Header(Protocol):
    """A header that was asked for."""

    def wait(self) -> Parts:
        """It, without tensors. Raises E720."""


class Tensors(Protocol):
    """Tensors that were asked for."""

    def wait(self) -> Sequence[Tensor]:
        """All of them. Raises E720."""


class Carrier(Protocol):
    """Moves headers and tensors, in order on each lane of each directed edge; giving never waits for the other end.

    Nobody changes a tensor that was given.
    """

    rank: int

    def give_header(self, parts: Parts, name: Value, to: int) -> None: ...

    def take_header(self, name: Value, source: int) -> Header: ...

    def give(self, tensors: Sequence[Tensor], name: Value, to: int, channel: Channel) -> None: ...

    def take(self, specs: Sequence[Spec], name: Value, source: int, channel: Channel) -> Tensors: ...

    def flush(self) -> None:
        """Wait until all that was given has been taken. Raises E720."""


class Lanes:
    """A `Transport` over a carrier.

    Of a declared value that is absent nothing is sent at all; numbers of Python go as one more tensor of bytes.

    Args:
        note: told what this rank waits for.
    """

    def __init__(self, carrier: Carrier, note: Callable[[str], None] | None = None) -> None:
        self.carrier, self.note = carrier, note
        self._sent: dict[str, dict[_Key, Form]] = {}
        self._came: dict[str, dict[_Key, _Origin]] = {}
        self._late: dict[int, deque[_Late]] = {}
        self._behind: dict[int, deque[_Declared]] = {}
        self._posted: set[_Declared] = set()

    def send(self, value: Any, name: Value, to: int, late: bool) -> None:
        parts = take_apart(value, name.name)
        known = self._sent.setdefault(name.request, {})
        key = _key(name, to)
        if late:
            known[key] = parts.form
            self.carrier.give_header(parts, name, to)
            self.carrier.give(parts.tensors, name, to, "late")
            return
        if known.get(key) != parts.form:
            raise _undeclared(
                name, f"rank {self.carrier.rank} would send {parts.form} to rank {to}", known.get(key)
            )
        self.carrier.give([*parts.tensors, *_numbers(parts)], name, to, "declared")

    def recv(self, name: Value, source: int, late: bool) -> Pending:
        known = self._came.setdefault(name.request, {})
        key = _key(name, source)
        if late:
            known[key] = _Origin()
            message = _Late(self, name, source, known[key])
            self._late.setdefault(source, deque()).append(message)
            return message
        if key not in known:
            raise _undeclared(name, f"rank {self.carrier.rank} would receive it from rank {source}", None)
        declared = _Declared(self, name, source, known[key])
        self._behind.setdefault(source, deque()).append(declared)
        self.post(source)
        return declared

    def forget(self, request: str) -> None:
        self._sent.pop(request, None)
        self._came.pop(request, None)

    def flush(self) -> None:
        for source, lane in self._late.items():
            while lane:
                self.take_late(source)
        for message in tuple(self._posted):
            message.wait()
        self.carrier.flush()

    def post(self, source: int) -> None:
        """Ask for the tensors of declared messages, in their order, as far as their forms are known."""
        behind = self._behind.get(source)
        while behind and behind[0].origin.parts is not None:
            message = behind.popleft()
            message.post()
            self._posted.add(message)  # kept until it is there, also when nobody waits for it

    def done(self, message: _Declared) -> None:
        """A posted message has come."""
        self._posted.discard(message)

    def take_late(self, source: int) -> None:
        """Take the first late message of an edge."""
        self._late[source].popleft().take()
        self.post(source)


_Key = tuple[object, ...]


def _key(name: Value, peer: int) -> _Key:
    """What messages of one value have in common: all but the step."""
    return (peer, name.name, name[3:])  # patch, span, share


class _Origin:
    """The last late message of a value, of which declared ones remember all but tensors and numbers."""

    parts: Parts | None = None


class _Late:
    """A place in an edge's order; waiting for it takes all late messages before it off the edge."""

    def __init__(self, lanes: Lanes, name: Value, source: int, origin: _Origin) -> None:
        self.lanes, self.name, self.source, self.origin = lanes, name, source, origin
        self.header = lanes.carrier.take_header(name, source)
        self.found: list[Any] = []

    def wait(self) -> Any:
        while not self.found:
            self.lanes.take_late(self.source)
        return self.found[0]

    def take(self) -> None:
        """Called when it is the first of its lane."""
        _note(self.lanes, self.name, self.source)
        parts = self.header.wait()
        tensors = self.lanes.carrier.take(parts.form.specs, self.name, self.source, "late").wait()
        self.origin.parts = parts
        self.found.append(put_together(parts._replace(tensors=tensors)))


class _Declared:
    """A message whose tensors are asked for at once, or as soon as the late message before it has told their form."""

    def __init__(self, lanes: Lanes, name: Value, source: int, origin: _Origin) -> None:
        self.lanes, self.name, self.source, self.origin = lanes, name, source, origin
        self.tensors: Tensors | None = None
        self.parts: Parts | None = None
        self.found: list[Any] = []

    def post(self) -> None:
        """Called when it is the first of its lane, and its form is known."""
        self.parts = self.origin.parts
        assert self.parts is not None
        specs = self.parts.form.specs
        if self.parts.form.kinds:
            specs = (*specs, Spec("uint8", (struct.calcsize("<" + self.parts.form.kinds),)))
        self.tensors = self.lanes.carrier.take(specs, self.name, self.source, "declared")

    def wait(self) -> Any:
        if not self.found:
            while self.tensors is None or self.parts is None:
                self.lanes.take_late(self.source)
            _note(self.lanes, self.name, self.source)
            tensors = list(self.tensors.wait())
            kinds = self.parts.form.kinds
            numbers = struct.unpack("<" + kinds, bytes(tensors.pop().tolist())) if kinds else ()
            self.found.append(put_together(self.parts._replace(tensors=tensors, numbers=numbers)))
            self.tensors = None
            self.lanes.done(self)
        return self.found[0]


def _numbers(parts: Parts) -> list[Tensor]:
    """Numbers of Python as one more tensor of bytes, if there are any."""
    if not parts.numbers:
        return []
    return [
        torch.frombuffer(bytearray(struct.pack("<" + parts.form.kinds, *parts.numbers)), dtype=torch.uint8)
    ]


def _note(lanes: Lanes, name: Value, source: int) -> None:
    if lanes.note is not None:
        lanes.note(f"waits for {spoken(name)} from rank {source}".replace("`", ""))  # notes are quoted


def _undeclared(name: Value, what: str, known: Form | None) -> RunError:
    told = (
        f"its last late message was {known}" if known is not None else "no late message told its form before"
    )
    hint = "values whose form changes must be late; so must the first message of each: this is a mistake of the plan"
    return RunError(problem("E724", f"{spoken(name)} is declared, and {what}, but {told}", hint=hint))
