"""Which files hold what, by their heads; what is damaged is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.errors import RunError
from mmm_graph.registry.weight_files import read_shapes
from tests.checkpoint.ggufs import write_gguf

A, B = {"a": torch.zeros(2, 3), "n": torch.tensor(1)}, {"b.weight": torch.zeros(4, dtype=torch.bfloat16)}


def test_shapes_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    save_file(A, tmp_path / "model-1.safetensors", metadata={"format": "pt"})
    save_file(B, tmp_path / "model-2.safetensors")
    table = {**dict.fromkeys(A, "model-1.safetensors"), **dict.fromkeys(B, "model-2.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    assert read_shapes(tmp_path) == open_checkpoint(tmp_path).shapes
    assert read_shapes(tmp_path / "model-1.safetensors") == {"a": (2, 3), "n": ()}
    write_gguf(tmp_path / "m.gguf", {"x": torch.zeros(2, 5)})
    assert read_shapes(tmp_path / "m.gguf") == {"x": (2, 5)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x05\0\0\0\0\0\0\0[1]",
        b"\xff" * 8 + b"{}",
        b"\x08\0\0\0\0\0\0\0" + b'{"a": 1}',
        b"\x02\0\0\0\0\0\0\0[]",
    ],
    ids=["empty", "cut off", "a huge header", "no shape", "a list"],
)
def test_damage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(RunError, match=r"E605.*cannot be read as safetensors"):
        read_shapes(tmp_path)
