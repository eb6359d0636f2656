"""Weights that are on the device only while they are used: they rest on the host or in their file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.checkpoint.load import Weights, assign
from mmm_graph.spec.offload import OffloadSpec

WHOLE = ""
"""Name of the only unit of a model that is not made of parts."""
NO_SHAPE = (0,) * 7
"""Broadcasts with nothing that a layer computes."""
ALIGNED = 256
Fill = Callable[[str], None]
"""Writes the weights of a unit into its tensors on the device."""


class Offload:
    """The weights of a model of one rank, and which of its units (parts, or all of it) are on the device.

    The tensors of a unit that is there are views of one piece of memory, which under `block` the next one takes over:
    pieces that are given back and asked for again would leave holes, on the host more than the model itself needs. A
    tensor that is away is empty and of no shape that fits anything: whoever computes with it gets an error, never a
    wrong number.

    Attributes:
        units: tensors of the module, by unit; until `start` they have their shapes, and no memory.
        here: units that are on the device, in the order in which they came.
    """

    def __init__(
        self, units: Mapping[str, list[Tensor]], fill: Fill, spec: OffloadSpec, device: torch.device
    ) -> None:
        self.units, self.fill, self.spec = units, fill, spec
        self.lane = Lane(device)
        self.here: dict[str, Any] = {}  # with the moment at which it has arrived
        self._device = device
        self._forms = {name: [(t.size(), t.stride()) for t in unit] for name, unit in units.items()}
        self._bytes = {name: sum(_room(t) for t in unit) for name, unit in units.items()}
        self._memory: dict[str, Tensor] = {}
        self._free: list[Tensor] = []
        self._used: dict[str, Any] = {}  # the moment at which nobody needs it any more
        self._next = dict(pairwise(units))  # as far as is known; corrected by what happens
        self._last = ""

    def start(self) -> None:
        """All is away."""
        for name in self.units:
            self._clear(name)

    def enter(self, name: str) -> None:
        """Have a unit on the device before it computes."""
        if self.spec.by == "model":
            self._bring(self.units)
        else:
            if self._last:
                self._next[self._last] = name
            self._last = name
            if name not in self.here:
                self._release(frozenset(self._ahead(name)))
                self._bring((name,))
        self.lane.wait(self.here[name])

    def exit(self, name: str) -> None:
        """A unit has computed, or will have when the device has done what it was told: fetch what comes next."""
        if self.spec.by == "model":
            return
        self._used[name] = self.lane.now()
        ahead = self._ahead(name)
        self._release(frozenset((name, *ahead)) if self.lane.is_beside else frozenset(ahead))
        self._bring(ahead)

    def leave(self) -> None:
        """Nobody will ask for it soon: all of it goes."""
        self.lane.finish()
        self._release(frozenset())
        self._free.clear()
        self._last = ""

    def _ahead(self, name: str) -> tuple[str, ...]:
        """The units that come after it, the next one first."""
        found: list[str] = []
        while len(found) < self.spec.ahead and (name := self._next.get(name, "")) and name not in found:
            found.append(name)
        return tuple(found)

    def _bring(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self.here:
                continue
            with ExitStack() as undo:
                undo.callback(self._undo, name)
                with self.lane.copying(), torch.no_grad():
                    self._place(name)
                    self.fill(name)
                undo.pop_all()
            self.here[name] = self.lane.now(copied=True)

    def _undo(self, name: str) -> None:
        """What could not be brought wholly goes."""
        self.lane.finish()
        self._clear(name)

    def _place(self, name: str) -> None:
        """Give the tensors of a unit memory."""
        if self._free:
            memory = self._free.pop()
        else:
            most = self._bytes[name] if self.spec.by == "model" else max(self._bytes.values())
            memory = torch.empty(most, dtype=torch.uint8, device=self._device)
        self._memory[name] = memory
        start = 0
        for tensor, (size, stride) in zip(self.units[name], self._forms[name], strict=True):
            num_bytes = size.numel() * tensor.element_size()
            tensor.data = memory[start : start + num_bytes].view(tensor.dtype).as_strided(size, stride)
            start += _aligned(num_bytes)

    def _release(self, keep: frozenset[str]) -> None:
        for name in [n for n in self.here if n not in keep]:
            self.lane.until(self._used.pop(name, None))
            self._clear(name)
            del self.here[name]

    def _clear(self, name: str) -> None:
        for tensor in self.units[name]:
            tensor.data = tensor.new_empty(NO_SHAPE)
        memory = self._memory.pop(name, None)
        if memory is not None and self.spec.by == "block":
            self._free.append(memory)


class Lane:
    """Where weights are copied: on CUDA in a stream beside the computation, elsewhere there and then.

    Attributes:
        is_beside: the computation goes on while weights are copied.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.is_beside = device, device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if self.is_beside else None  # type: ignore[no-untyped-call]

    def copying(self) -> Any:
        """The context in which weights are copied."""
        return torch.cuda.stream(self._stream) if self._stream is not None else nullcontext()

    def now(self, *, copied: bool = False) -> Any:
        """The moment at which all is done that has been asked for so far: to be computed, or to be copied."""
        if self._stream is None:
            return None
        return (
            self._stream.record_event() if copied else torch.cuda.current_stream(self.device).record_event()
        )

    def wait(self, moment: Any) -> None:
        """What is computed from now on comes after that moment."""
        if moment is not None:
            torch.cuda.current_stream(self.device).wait_event(moment)

    def until(self, moment: Any) -> None:
        """Come back when that moment is over."""
        if moment is not None:
            moment.synchronize()

    def finish(self) -> None:
        """Come back when all is done."""
        if self._stream is not None:
            self._stream.synchronize()
            torch.cuda.current_stream(self.device).synchronize()


class Streamed(nn.Module):
    """A part whose weights come before it computes, and go after it."""

    def __init__(self, name: str, part: nn.Module, offload: Offload) -> None:
        super().__init__()
        self.name, self.part, self.offload = name, part, offload

    def forward(self, state: Mapping[str, Any]) -> Any:
        self.offload.enter(self.name)
        written = self.part(state)
        self.offload.exit(self.name)
        return written


def offload_from_host(module: nn.Module, spec: OffloadSpec, device: torch.device) -> Offload:
    """Offload a model that is on the host, where its weights stay: pinned, for CUDA."""
    resting: dict[str, list[Tensor]] = {}
    away: dict[str, list[Tensor]] = {}
    state = module.state_dict(keep_vars=True)
    for name, owned in units_of(module).items():
        for names in owned:
            old = state.pop(names[0])
            kept = old.detach().pin_memory() if device.type == "cuda" else old.detach()
            resting.setdefault(name, []).append(kept)
            away.setdefault(name, []).append(assign(module, names, _away_like(kept, device), old))
    module.to(device=device)  # what is in no unit

    def fill(name: str) -> None:
        for tensor, kept in zip(away[name], resting[name], strict=True):
            tensor.copy_(kept, non_blocking=True)

    return Offload(away, fill, spec, device)


def offload_to_disk(
    module: nn.Module,
    weights: Weights,
    spec: OffloadSpec,
    *,
    dtype: torch.dtype | None,
    device: torch.device,
) -> Offload:
    """Offload a model that is on the meta device: its weights are read when they are needed, as often as that is.

    Args:
        weights: of the module.
        dtype: of floating-point tensors.
    """
    units = {name: owned for name, owned in units_of(module).items() if owned}
    inside = {name: frozenset(n for names in owned for n in names) for name, owned in units.items()}
    known = frozenset(n for names in inside.values() for n in names)
    own = frozenset(module.state_dict())
    weights.load(module, dtype=dtype, device=device, keep=lambda n: n in own and n not in known)
    tensors: dict[str, Tensor] = {}
    away: dict[str, list[Tensor]] = {}
    for name, owned in units.items():
        for names in owned:
            old = weights.state[names[0]]
            made = _away_like(old, device, dtype if old.is_floating_point() else None)
            made = assign(module, names, made, old)
            away.setdefault(name, []).append(made)
            tensors |= dict.fromkeys(names, made)

    def fill(name: str) -> None:
        for names, value in weights.values(inside[name].__contains__):
            tensors[names[0]].copy_(value)

    return Offload(away, fill, spec, device)


def units_of(module: nn.Module) -> dict[str, list[list[str]]]:
    """Unit -> names of its tensors that are saved, all names of one tensor together.

    What is outside of the parts, or in several of them, belongs to no unit: it is small, and stays.
    """
    parts = getattr(module, "parts", None)
    alike: dict[int, list[str]] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        alike.setdefault(id(value), []).append(name)
    if not isinstance(parts, nn.ModuleDict):
        return {WHOLE: list(alike.values())}
    found: dict[str, list[list[str]]] = {
        name: [] for name in parts
    }  # those without weights too: they are steps
    for names in alike.values():
        owners = {n.split(".")[1] if n.startswith("parts.") else WHOLE for n in names}
        owner = owners.pop()
        if not owners and owner in found:
            found[owner].append(names)
    return found


def stream_parts(module: nn.Module, offload: Offload) -> None:
    """Let the parts of a model bring their weights. Names and shapes in the module change, so this comes last."""
    offload.start()
    if WHOLE not in offload.units:
        parts = module.get_submodule("parts")
        assert isinstance(parts, nn.ModuleDict)
        for name in offload.units:
            parts[name] = Streamed(name, parts[name], offload)


def _room(tensor: Tensor) -> int:
    return _aligned(tensor.numel() * tensor.element_size())


def _aligned(num_bytes: int) -> int:
    """What begins there suits every kernel."""
    return -(-num_bytes // ALIGNED) * ALIGNED


def _away_like(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of that shape on the device, without memory; what was on meta is brought into channels-last order."""
    if tensor.is_meta:  # `empty_like` would import sympy first
        order = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
        made = torch.empty(tensor.shape, device=device, dtype=dtype or tensor.dtype, memory_format=order)
    else:
        made = torch.empty_like(tensor, device=device, dtype=dtype)
    made.untyped_storage().resize_(0)
    return made
