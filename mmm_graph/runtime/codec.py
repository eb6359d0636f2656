"""Values <-> (structure, tensors): what a message says in its header, and what follows it raw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import msgpack
import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.sampler import Times
from mmm_graph.runtime.values import Absent

KNOWN = "None, bool, int, float, str, bytes, list, tuple, dict, tensors, times, and absent values"
LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}
NUMBERS = {bool: "?", int: "q", float: "d"}
"""How `struct` writes the numbers of a declared message."""

BUILDERS: Mapping[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "Times": lambda found: Times(*found),
}


class Spec(NamedTuple):
    """A tensor without its numbers.

    Attributes:
        host: it is on the CPU; otherwise on the device of whoever has it.
    """

    dtype: str
    shape: tuple[int, ...]
    channels_last: bool = False
    host: bool = True

    def empty(self, device: torch.device) -> Tensor:
        """Room for such a tensor, on the host or on `device`."""
        layout = LAYOUTS[len(self.shape)] if self.channels_last else torch.contiguous_format
        where = torch.device("cpu") if self.host else device
        return torch.empty(self.shape, dtype=getattr(torch, self.dtype), device=where, memory_format=layout)


class Form(NamedTuple):
    """What two values have in common that one receiver can take without a header.

    Attributes:
        tree: the structure, with its texts; tensors, numbers and absences stand as ("T",), ("?",) and so on.
        specs: of the tensors, in the order of the tree.
        kinds: of the numbers, in the order of the tree, as `struct` calls them.
    """

    tree: Any
    specs: tuple[Spec, ...]
    kinds: str

    def __str__(self) -> str:
        specs = iter(self.specs)
        return _told(self.tree, specs)


class Parts(NamedTuple):
    """A value taken apart.

    Attributes:
        tensors: as they were, by `form.specs`.
        numbers: of Python, by `form.kinds`.
        absences: (reason, *skipped nodes), in the order of the tree.
    """

    form: Form
    tensors: Sequence[Tensor] = ()
    numbers: tuple[bool | int | float, ...] = ()
    absences: tuple[tuple[str, ...], ...] = ()


def take_apart(value: Any, name: str) -> Parts:
    """Parts of a value.

    Args:
        name: of the value, for the error.

    Raises:
        RunError: E723, there is something in it that cannot travel.
    """
    taken = _Taken(name)
    tree = taken.tree(value)
    kinds = "".join(NUMBERS[type(n)] for n in taken.numbers)
    form = Form(tree, tuple(spec_of(t) for t in taken.tensors), kinds)
    return Parts(form, taken.tensors, tuple(taken.numbers), tuple(taken.absences))


def put_together(parts: Parts) -> Any:
    """The value of these parts; its tensors are those of the parts."""
    return _built(parts.form.tree, iter(parts.tensors), iter(parts.numbers), iter(parts.absences))


def pack(parts: Parts) -> bytes:
    """All but the tensors."""
    form = parts.form
    told = (form.tree, form.specs, form.kinds, parts.numbers, parts.absences)
    return bytes(msgpack.packb(told, unicode_errors="surrogatepass"))


def unpack(header: bytes) -> Parts:
    """What `pack` made; the tensors are still to come."""
    tree, specs, kinds, numbers, absences = msgpack.unpackb(
        header, use_list=False, unicode_errors="surrogatepass"
    )
    return Parts(Form(tree, tuple(Spec(*spec) for spec in specs), kinds), (), numbers, absences)


def to_bytes(value: Any, name: str) -> bytes:
    """A whole small value. Raises E723."""
    parts = take_apart(value, name)
    return bytes(msgpack.packb((pack(parts), [bytes(payload(x).cpu().numpy()) for x in parts.tensors])))


def from_bytes(data: bytes, device: torch.device) -> Any:
    """What `to_bytes` made; tensors of a device come to this one."""
    header, payloads = msgpack.unpackb(data)
    parts = unpack(header)
    tensors = [spec.empty(device) for spec in parts.form.specs]
    for x, found in zip(tensors, payloads, strict=True):
        if found:
            payload(x).copy_(torch.frombuffer(bytearray(found), dtype=torch.uint8))
    return put_together(parts._replace(tensors=tensors))


def spec_of(x: Tensor) -> Spec:
    """What has to be known of a tensor to receive it."""
    return Spec(str(x.dtype)[6:], tuple(x.shape), _is_channels_last(x), x.device.type == "cpu")


def payload(x: Tensor) -> Tensor:
    """The bytes of a tensor in the order of its memory format: [n] uint8, a view of x where x is dense."""
    if _is_channels_last(x):
        x = x.permute(0, *range(2, x.dim()), 1)
    if x.is_complex() or x.is_neg():
        x = x.resolve_conj().resolve_neg()
    return x.detach().contiguous().view(-1).view(torch.uint8)


def copy_of(x: Tensor) -> Tensor:
    """x as it would come from another process: dense, in its memory format."""
    return x.clone(memory_format=LAYOUTS[x.dim()] if _is_channels_last(x) else torch.contiguous_format)


def _is_channels_last(x: Tensor) -> bool:
    """Whether a layer would take x for channels last; with one channel or pixel the strides tell, as in PyTorch."""
    layout = LAYOUTS.get(x.dim())
    if layout is None or not x.numel() or not x.is_contiguous(memory_format=layout):
        return False
    if not x.is_contiguous():
        return True
    last, plain = (
        torch.empty(x.shape, device="meta", memory_format=m) for m in (layout, torch.contiguous_format)
    )
    return x.stride() == last.stride() != plain.stride()


class _Taken:
    """What was found in a value, in the order in which it is put together again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: list[Tensor] = []
        self.numbers: list[bool | int | float] = []
        self.absences: list[tuple[str, ...]] = []

    def tree(self, value: Any) -> Any:
        """The structure of a value; what is in it is noted on the way."""
        kind = type(value)
        if isinstance(value, Tensor):
            return self._tensor(value)
        if kind in NUMBERS:
            return self._number(value)
        if value is None or kind is str or kind is bytes:
            return value
        if kind is list or kind is tuple:
            return (kind.__name__, *map(self.tree, value))
        if kind is dict:
            return ("dict", *((self.tree(k), self.tree(v)) for k, v in value.items()))
        if kind is Absent:
            self.absences.append((value.reason, *value.skipped))
            return ("absent",)
        if kind is Times:
            return ("Times", *(self.tree(getattr(value, f.name)) for f in fields(value)))
        raise self._refuse(f"{kind.__module__}.{kind.__qualname__}")

    def _number(self, value: bool | int | float) -> Any:
        if type(value) is int and not -(2**63) <= value < 2**63:
            return ("int", str(value))  # as a text, which is part of the form
        self.numbers.append(value)
        return (NUMBERS[type(value)],)

    def _tensor(self, value: Tensor) -> Any:
        if value.layout is not torch.strided or value.is_quantized or value.is_meta:
            raise self._refuse(f"a tensor of layout {value.layout} on {value.device}, {value.dtype}")
        self.tensors.append(value)
        return ("T",)

    def _refuse(self, what: str) -> RunError:
        hint = (
            f"only these go from rank to rank: {KNOWN}; give one of them, or place writer and reader together"
        )
        return RunError(
            problem("E723", f"{self.name} is or holds {what}, which cannot go to another rank", hint=hint)
        )


def _built(
    tree: Any,
    tensors: Iterator[Tensor],
    numbers: Iterator[bool | int | float],
    absences: Iterator[tuple[str, ...]],
) -> Any:
    if type(tree) is not tuple:
        return tree
    kind, rest = tree[0], tree[1:]
    if kind == "T":
        return next(tensors)
    if kind in NUMBERS.values():
        return next(numbers)
    if kind == "int":
        return int(rest[0])
    if kind == "absent":
        reason, *skipped = next(absences)
        return Absent(reason, tuple(skipped))
    if kind == "dict":
        return dict([_built(item, tensors, numbers, absences) for item in pair] for pair in rest)
    items = [_built(item, tensors, numbers, absences) for item in rest]
    return BUILDERS[kind](items)


def _told(tree: Any, specs: Iterator[Spec]) -> str:
    """A form in words, for errors."""
    if type(tree) is not tuple:
        return repr(tree)
    kind, rest = tree[0], tree[1:]
    if kind == "T":
        spec = next(specs)
        more = " channels_last" * spec.channels_last + " of the device" * (not spec.host)
        return f"{spec.dtype}{list(spec.shape)}{more}"
    names = {letter: number.__name__ for number, letter in NUMBERS.items()}
    if kind in names or kind == "absent":
        return str(names.get(kind, kind))
    if kind == "int":
        return str(rest[0])
    if kind == "dict":
        return "{" + ", ".join(": ".join(_told(item, specs) for item in pair) for pair in rest) + "}"
    return f"{kind}({', '.join(_told(item, specs) for item in rest)})"
