"""Tensors of a file through one buffer: what is read, what the host needs for it, and files that change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.stream import DTYPES, stream
from mmm_graph.errors import RunError

NUMBERS = [True, 0, 2, 3]
TORCH = [t for t in DTYPES.values() if t not in (torch.uint16, torch.uint32, torch.uint64)]


@pytest.mark.parametrize("dtype", TORCH, ids=str)
def test_what_safetensors_reads(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {
        "a": torch.tensor(NUMBERS).to(dtype),
        "none": torch.zeros(0, 3, dtype=dtype),
        "one": torch.ones((), dtype=dtype),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    found = {n: t.clone() for n, t in stream(tmp_path / "x.safetensors", ["one", "a", "none"])}
    with safe_open(tmp_path / "x.safetensors", framework="pt") as theirs:
        for name in tensors:
            want = theirs.get_tensor(name)
            assert found[name].dtype == want.dtype and found[name].shape == want.shape
            assert torch.equal(found[name].to(torch.complex64), want.to(torch.complex64))


def test_a_file_that_is_overwritten_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(5000), "b": torch.ones(5000)}, path)
    found = open_checkpoint(path)
    ((_, kept),) = found.read(["a"])
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\0" * size)
    assert kept.eq(1).all()
    with path.open("r+b") as file:
        file.truncate(100)
    assert kept.eq(1).all()
    with pytest.raises(RunError, match="E605"):
        list(found.read(["a"]))


def test_a_file_that_was_cut_off_since(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(50), "b": torch.ones(5000)}, path)
    found = open_checkpoint(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 8)
    with pytest.raises(RunError, match=r"E605.*it ends too early"):
        list(found.read(["a", "b"]))


def test_numbers_that_torch_does_not_have(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    with pytest.raises(RunError, match=r"E605.*F8_E8M0"):
        list(stream(tmp_path / "x.safetensors", ["a"]))


LOAD = """
import sys
from pathlib import Path
import torch
from torch import nn
from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint

folder, width, layers, shards, name = Path(sys.argv[1]), *map(int, sys.argv[2:5]), sys.argv[5]
dtype = {"f32": None, "bf16": torch.bfloat16, "f64": torch.float64}[name]
peak = lambda: next(int(x.split()[1]) << 10 for x in open("/proc/self/status") if x.startswith("VmHWM"))
torch.set_num_threads(1)
with torch.device("meta"):
    net = nn.ModuleList(nn.Linear(width, width) for _ in range(layers * shards))
torch.zeros(1).to(torch.bfloat16)  # what the first cast takes for itself
before = peak()
load_module(net, open_checkpoint(folder), dtype=dtype)
print(peak() - before, sum(p.numel() * p.element_size() for p in net.parameters()))
"""


def beside(folder: Path, width: int, layers: int, shards: int, dtype: str) -> tuple[int, int]:
    """(bytes of the host's peak beyond the loaded model, bytes of the largest shard), in a process of its own."""
    table: dict[str, str] = {}
    for s in range(shards):
        file = f"model-{s}.safetensors"
        indices = range(s * layers, (s + 1) * layers)
        tensors = {f"{i}.weight": torch.randn(width, width) for i in indices}
        tensors |= {f"{i}.bias": torch.zeros(width) for i in indices}
        save_file(tensors, folder / file)
        table |= dict.fromkeys(tensors, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    words = [sys.executable, "-c", LOAD, str(folder), str(width), str(layers), str(shards), dtype]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    grown, model = map(int, done.stdout.split())
    assert grown >= 0.9 * model, "the peak is that of loading"
    return grown - model, max(f.stat().st_size for f in folder.glob("*.safetensors"))


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f64"])
def test_the_host_needs_no_shard_beside_the_model(tmp_path: Path, dtype: str) -> None:
    more, shard = beside(tmp_path, 1024, 6, 4, dtype)
    assert more <= 0.75 * shard  # 18 MB of 25: a tensor of 4 MB, and what the allocator keeps


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["f32", "bf16", "f64"])
def test_nor_of_large_shards(tmp_path: Path, dtype: str) -> None:
    more, shard = beside(tmp_path, 1024, 25, 4, dtype)
    assert more <= 0.3 * shard
