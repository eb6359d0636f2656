"""Opening checkpoints: shards, content hashes, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_tensors
from mmm_graph.errors import RunError
from tests.checkpoint.nets import same


def shards(folder: Path, tensors: dict[str, Tensor]) -> None:
    table = {}
    for i, (name, value) in enumerate(tensors.items()):
        save_file({name: value}, folder / f"s{i}.safetensors")
        table[name] = f"s{i}.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))


def test_shards(tmp_path: Path) -> None:
    net = nn.Linear(2, 3)
    shards(tmp_path, dict(net.state_dict()))
    found, new = open_checkpoint(tmp_path), nn.Linear(2, 3)
    load_module(new, found)
    assert same(net, new) and found.path.name == "model.safetensors.index.json" and len(found.digest()) == 32


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    for name, value in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        save_tensors({"x": torch.full((3,), value)}, tmp_path / f"{name}.safetensors")
    a, b, c = (open_checkpoint(tmp_path / f"{n}.safetensors").digest() for n in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"m.bin": b"x"}, "E604"),
        ({}, "E605"),
        ({"a.safetensors": b"", "b.safetensors": b""}, "E606"),
        ({"a.safetensors": b"broken"}, "E605"),
        ({"a.safetensors.index.json": b"{}"}, "E605"),
    ],
)
def test_what_cannot_be_opened(tmp_path: Path, files: dict[str, bytes], code: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError) as caught:
        open_checkpoint(tmp_path)
    assert caught.value.problems[0].code == code


def test_a_pickle_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"x")
    with pytest.raises(RunError, match="can run any code"):
        open_checkpoint(tmp_path / "m.pt")


@pytest.mark.parametrize("outside", ["../s0.safetensors", "/etc/s0.safetensors", "sub/s0.safetensors"])
def test_an_index_that_leads_out_of_its_folder(tmp_path: Path, outside: str) -> None:
    (tmp_path / "a.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": outside}}))
    with pytest.raises(RunError, match=r"E605.*not beside it"):
        open_checkpoint(tmp_path)


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    shards(tmp_path, dict(nn.Linear(2, 3).state_dict()))
    (tmp_path / "s1.safetensors").unlink()
    with pytest.raises(RunError, match=r"E605.*names s1\.safetensors, which is not there"):
        open_checkpoint(tmp_path)


def test_variants_beside_the_usual_file(tmp_path: Path) -> None:
    """As in hub folders, which hold a half-precision copy as well."""
    for name in ("diffusion_pytorch_model", "diffusion_pytorch_model.fp16"):
        save_tensors({"x": torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    assert open_checkpoint(tmp_path).path.name == "diffusion_pytorch_model.safetensors"
