"""Offloaded weights from a file, measured: the same numbers in the memory of a few parts, also on CUDA."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.errors import InputError, RunError
from mmm_graph.plan.place import make_plan
from mmm_graph.spec.offload import OffloadSpec
from tests.runtime.test_offload import REGISTRY, SAID, rooms, run
from tests.runtime.toys import DIFFUSION, toy_engine, toy_graph

GRAPH = """
mmm: 1
inputs: {{x: "Latents[b,4,8,8]", t: "Scalar[b]"}}
models:
  net: {{kind: denoiser.dit, {weights}, dtype: {dtype}, config: {{in_channels: 4, sample_size: 8, patch_size: 2, width: {width}, depth: {depth}, num_heads: 8}}}}
nodes: {{pred: {{call: net.predict, in: {{x: $in.x, t: $in.t}}}}}}
outputs: {{pred: pred}}
"""  # noqa: E501
X, T = torch.linspace(-1, 1, 256).reshape(1, 4, 8, 8), torch.tensor([0.3])


def dit(width: int, depth: int, dtype: str = "f32", weights: str = "init: default") -> str:
    return GRAPH.format(width=width, depth=depth, dtype=dtype, weights=weights)


def saved(folder: Path, width: int, depth: int) -> None:
    """Random weights without zeros, under which every layer counts."""
    session = mmm.load(dit(width, depth))
    with torch.no_grad():
        for i, p in enumerate(session.module("net").parameters()):
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(i)) * 0.05)
    session.save(folder)


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("by", ["model", "block"])
def test_the_same_numbers_from_disk(tmp_path: Path, by: str, dtype: str) -> None:
    saved(tmp_path, 32, 3)
    text = dit(32, 3, dtype, 'weights: "file:net.safetensors"')
    want = mmm.load(text, base=tmp_path).run(x=X, t=T)["pred"]
    assert want.abs().max() > 0
    sets = {"models.net.offload": f"{{by: {by}, from: disk}}"}
    session = mmm.load(text, base=tmp_path, sets=sets)
    assert torch.equal(session.run(x=X, t=T)["pred"], want)
    (tmp_path / "net.safetensors").unlink()
    with pytest.raises(RunError, match="E605"):
        session.run(x=X + 1, t=T)


def test_training_refuses_it(tmp_path: Path) -> None:
    session = mmm.load("docs/examples/tour.yaml", sets={"models.dit.offload": "block"})
    with pytest.raises(InputError, match=r"E814.*dit is offloaded"):
        session.train(out=tmp_path)


PEAK = """
import sys
import torch
import mmm_graph as mmm

torch.set_num_threads(1)
peak = lambda: next(int(x.split()[1]) << 10 for x in open("/proc/self/status") if x.startswith("VmHWM"))
sets = {} if sys.argv[3] == "none" else {"models.net.offload": sys.argv[3]}
session = mmm.load(sys.argv[1], base=sys.argv[2], sets=sets)
warm = mmm.load(sys.argv[4], base=sys.argv[2] + "/warm")  # what torch loads when it first builds on the meta device
x, t = torch.zeros(1, 4, 8, 8), torch.zeros(1)
warm.run(x=x, t=t)
before = peak()
for _ in range(2):
    pred = session.run(x=x, t=t)["pred"]
print(peak() - before, float(pred.double().sum()))
"""


def peak_of(folder: Path, width: int, depth: int, offload: str) -> tuple[int, float]:
    """(bytes by which the peak of a process grows in two runs, the sum of what is predicted)."""
    text, warm = (
        dit(*sizes, weights='weights: "file:net.safetensors"') for sizes in ((width, depth), (16, 1))
    )
    words = [sys.executable, "-c", PEAK, text, str(folder), offload, warm]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    grown, total = done.stdout.split()
    return int(grown), float(total)


def check_peak(folder: Path, width: int, depth: int) -> None:
    saved(folder, width, depth)
    saved(folder / "warm", 16, 1)
    size = (folder / "net.safetensors").stat().st_size
    whole, want = peak_of(folder, width, depth, "none")
    blocks, found = peak_of(folder, width, depth, "{by: block, from: disk, ahead: 0}")
    part = size / depth
    assert found == want and whole > 0.9 * size
    assert blocks < 2 * part + (8 << 20), (
        f"{blocks >> 20} MB for parts of {int(part) >> 20} MB of {size >> 20} MB"
    )


def test_a_model_from_disk_needs_the_memory_of_a_part(tmp_path: Path) -> None:
    check_peak(tmp_path, 384, 12)  # 123 MB, 10 MB a part


@pytest.mark.slow
def test_a_large_model_from_disk(tmp_path: Path) -> None:
    check_peak(tmp_path, 1024, 12)


@pytest.mark.gpu
@pytest.mark.parametrize("unet", SAID, ids=str)
def test_on_cuda(unet: dict[str, Any]) -> None:
    """Pinned copies in a stream of their own; the same numbers, and the memory of few parts."""
    graph = toy_graph(DIFFUSION)
    engine = toy_engine(graph, REGISTRY, cache_bytes=0, device="cuda")
    want = run(engine, graph, make_plan(graph, REGISTRY))
    offload = {"unet": OffloadSpec.model_validate(unet), "text": OffloadSpec(), "vae": OffloadSpec()}
    plan = make_plan(graph, REGISTRY, offload=offload)
    for _ in range(3):
        assert torch.equal(run(engine, graph, plan), want)
    room = next(r for r in rooms(engine) if "embed" in r.units)
    assert room.lane.is_beside and not room.here
    assert all(t.is_cuda and t.numel() == 0 for u in room.units.values() for t in u)


@pytest.mark.gpu
def test_cuda_memory_of_a_model_by_block(tmp_path: Path) -> None:
    saved(tmp_path, 1024, 12)
    text = dit(1024, 12, weights='weights: "file:net.safetensors"')
    size = (tmp_path / "net.safetensors").stat().st_size
    want = mmm.load(text, base=tmp_path, device="cuda").run(x=X, t=T)["pred"]
    torch.cuda.empty_cache()
    for resting in ("host", "disk"):
        sets = {"models.net.offload": f"{{by: block, from: {resting}}}"}
        session = mmm.load(text, base=tmp_path, sets=sets, device="cuda")
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        for _ in range(2):
            assert torch.equal(session.run(x=X, t=T)["pred"], want)
        assert torch.cuda.max_memory_allocated() - before < 4 * size / 12 + (64 << 20)
