"""Heads of GGUF files: what stands where, and every sort of damage is an error that says which."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.registry.gguf_header import read_header
from tests.checkpoint.ggufs import write_gguf

FIELDS = {
    "llama.block_count": 3, "llama.eps": 0.25, "llama.causal": True, "general.name": "größer",
    "tokenizer.ggml.tokens": ["a", "ü", ""], "tokenizer.ggml.token_type": [1, 3, 1],
    "general.languages": ["en"],
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "m.gguf", {"a.weight": torch.randn(3, 32), "b": torch.randn(7)}, FIELDS)


def test_fields_and_tensors_are_those_of_the_package(path: Path) -> None:
    header, theirs = read_header(path), gguf.GGUFReader(path)
    assert header.architecture == "llama"
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in FIELDS.items()}
    assert header.fields == {"general.architecture": "llama", **values}
    found = {n: (list(e.shape), e.type, e.start, e.num_bytes) for n, e in header.tensors.items()}
    assert found == {
        t.name: (t.shape.tolist()[::-1], t.tensor_type, t.data_offset, t.n_bytes) for t in theirs.tensors
    }


def test_every_place_where_a_file_may_be_cut_off(path: Path) -> None:
    whole = path.read_bytes()
    last = max(e.start + e.num_bytes for e in read_header(path).tensors.values())
    for length in (0, 3, 4, 9, *range(24, last, 13), last - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(RunError, match=r"E605.*(begins with|ends)"):
            read_header(path)


@pytest.mark.parametrize(
    ("start", "bytes_", "code", "text"),
    [
        (0, b"GGML", "E605", "begins with"),
        (4, struct.pack("<I", 1), "E633", "is GGUF version 1"),
        (4, struct.pack(">I", 3), "E633", "big-endian"),
        (8, struct.pack("<Q", 1 << 60), "E605", "ends within its head"),
        (16, struct.pack("<Q", 1 << 60), "E605", "cannot be read as GGUF"),
        (24, struct.pack("<Q", 1 << 62), "E605", "ends within its head"),
    ],
)
def test_damage(path: Path, start: int, bytes_: bytes, code: str, text: str) -> None:
    data = bytearray(path.read_bytes())
    data[start : start + len(bytes_)] = bytes_
    path.write_bytes(data)
    with pytest.raises(RunError, match=text) as caught:
        read_header(path)
    problem = caught.value.problems[0]
    assert problem.code == code and problem.hint and str(path) in problem.message


def test_a_type_of_a_newer_version(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = data.index(b"a.weight") + len("a.weight") + 4 + 16
    data[at : at + 4] = struct.pack("<I", 999)
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"E633.*a\.weight that is packed by type 999"):
        read_header(path)


def test_one_part_of_several(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m-00001-of-00002.gguf", {"a": torch.ones(1)}, {"split.count": 2})
    with pytest.raises(RunError, match=r"E633.*one of 2 parts") as caught:
        read_header(path)
    assert "--merge" in str(caught.value.problems[0].hint)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="E605"):
        read_header(tmp_path / "none.gguf")
