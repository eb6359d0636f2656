"""The head of a .gguf file -> what it says of itself, and where each of its tensors is; no tensor is read."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Any

from mmm_graph.errors import RunError, problem

SUFFIX = ".gguf"
MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
"""Bytes; what follows the head begins at a multiple of it, and so does every tensor. A file may say another."""
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
"""Types of values, as the file numbers them."""
MOST_AXES = 4


@dataclass(frozen=True)
class Entry:
    """A tensor of the file.

    Attributes:
        shape: as torch has it; the file says it from the last axis on.
        type: by which its numbers are packed, of `gguf.GGMLQuantizationType`.
        start: its first byte.
        num_bytes: how many there are.
    """

    shape: tuple[int, ...]
    type: Any
    start: int
    num_bytes: int


@dataclass(frozen=True)
class Header:
    """What stands before the numbers.

    Attributes:
        fields: such as `general.architecture`; texts, numbers, truth values and tuples of them.
        tensors: by name.
    """

    fields: Mapping[str, Any]
    tensors: Mapping[str, Entry]

    @property
    def architecture(self) -> str:
        """Of the model, such as llama; "" where it does not say."""
        return str(self.fields.get("general.architecture", ""))


def read_header(path: Path) -> Header:
    """Read and check the head of a file; again only if the file has changed.

    Raises:
        RunError: E605, it is no GGUF file, damaged, or cut off; E633, a sort of GGUF file that cannot be read.
    """
    try:
        stat = path.stat()
        return _read(path, stat.st_size, stat.st_mtime_ns)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError, struct.error) as error:
        hint = "the file is damaged, still being written, or something else; fetch it again"
        raise RunError(problem("E605", f"{path} cannot be read as GGUF: {error}", hint=hint)) from error


def gguf_config(path: Path) -> dict[str, Any]:
    """What the file says of its model, as a config: the fields of its head, and under `tensors` the names of all.

    Raises:
        RunError: as of `read_header`.
    """
    header = read_header(path)
    return {**header.fields, "tensors": tuple(header.tensors)}


@lru_cache(maxsize=8)
def _read(path: Path, num_bytes: int, changed: int) -> Header:
    with path.open("rb") as file:
        values = _Values(file, num_bytes)
        _check_sort(path, values)
        num_tensors, num_fields = values.number("Q"), values.number("Q")
        fields = dict(values.field() for _ in range(num_fields))
        if fields.get("split.count", 0) > 1:
            hint = "join its parts to one file: llama-gguf-split --merge FIRST_PART WHOLE"
            raise _unknown(path, f"is one of {fields['split.count']} parts of a model", hint)
        places = [values.place() for _ in range(num_tensors)]
        step = fields.get("general.alignment", ALIGNMENT)
        if not isinstance(step, int) or step < 1:
            raise ValueError(f"an alignment of {step!r} bytes")
        start = -(-file.tell() // step) * step
    tensors = {place[0]: _entry(path, *place, start) for place in places}
    if len(tensors) < num_tensors:
        raise ValueError("two tensors of the same name")
    last = max((entry.start + entry.num_bytes for entry in tensors.values()), default=0)
    if last > num_bytes:
        raise ValueError(f"it ends after {num_bytes} bytes, its tensors need {last}")
    return Header(fields, tensors)


def _check_sort(path: Path, values: _Values) -> None:
    magic = values.bytes(len(MAGIC))
    if magic != MAGIC:
        raise ValueError(f"it begins with {magic!r}, not {MAGIC!r}")
    version = values.number("I")
    if version not in VERSIONS:
        turned = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
        what = "has its bytes in the other order (big-endian)" if turned else f"is GGUF version {version}"
        hint = "convert the model again with the converter of llama.cpp"
        raise _unknown(path, what, hint)


def _entry(path: Path, name: str, shape: tuple[int, ...], type_: int, offset: int, start: int) -> Entry:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    known = {int(member): member for member in GGMLQuantizationType}
    if type_ not in known or known[type_] not in GGML_QUANT_SIZES:
        hint = "a newer version of the package gguf may know it: pip install --upgrade gguf"
        raise _unknown(path, f"has a tensor {name} that is packed by type {type_}, which nobody knows", hint)
    block, block_bytes = GGML_QUANT_SIZES[known[type_]]
    if not shape or shape[-1] % block:
        raise ValueError(f"{name} is {list(shape)} in blocks of {block}")
    return Entry(shape, known[type_], start + offset, prod(shape) // block * block_bytes)


def _unknown(path: Path, what: str, hint: str) -> RunError:
    return RunError(problem("E633", f"{path} {what}", hint=hint))


class _Values:
    """Values of a file one after the other; a length that cannot be is an error before anything is read."""

    def __init__(self, file: BufferedReader, num_bytes: int) -> None:
        self.file, self.left = file, num_bytes

    def bytes(self, count: int) -> bytes:
        self.left -= count
        if self.left < 0:
            raise ValueError("it ends within its head")
        return self.file.read(count)

    def number(self, code: str) -> Any:
        return self.numbers(code, 1)[0]

    def numbers(self, code: str, count: int) -> tuple[Any, ...]:
        return struct.unpack(f"<{count}{code}", self.bytes(count * struct.calcsize(code)))

    def text(self) -> str:
        return self.bytes(self.number("Q")).decode("utf-8")

    def field(self) -> tuple[str, Any]:
        """(name, value)."""
        return self.text(), self.value(self.number("I"))

    def value(self, type_: int) -> Any:
        if type_ in NUMBERS:
            return self.number(NUMBERS[type_])
        if type_ == TEXT:
            return self.text()
        if type_ != ARRAY:
            raise ValueError(f"a value of the unknown type {type_}")
        inner, count = self.number("I"), self.number("Q")
        if inner in NUMBERS:
            return self.numbers(NUMBERS[inner], count)
        return tuple(self.value(inner) for _ in range(count))

    def place(self) -> tuple[str, tuple[int, ...], int, int]:
        """(name, shape, type, offset from the end of the head) of a tensor."""
        name, num_axes = self.text(), self.number("I")
        if num_axes > MOST_AXES:
            raise ValueError(f"{name} has {num_axes} axes")
        return name, self.numbers("Q", num_axes)[::-1], self.number("I"), self.number("Q")
