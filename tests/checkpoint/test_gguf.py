"""GGUF files as checkpoints: numbers as the package unpacks them, loading, what is refused."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
import torch
from torch import nn

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.errors import RunError
from mmm_graph.registry import Layout
from mmm_graph.registry.gguf_header import gguf_config
from tests.checkpoint.ggufs import write_gguf

LAYOUT = Layout("GGUF", {"0": "llama.fc"})


@pytest.mark.parametrize("type_", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_1"])
def test_numbers_are_those_that_the_package_unpacks(tmp_path: Path, type_: str) -> None:
    weights = {"a.weight": torch.randn(6, 64), "b.weight": torch.randn(2, 3, 32), "c": torch.randn(5)}
    path = write_gguf(tmp_path / "m.gguf", weights, type_=type_)
    found = open_checkpoint(path)
    assert found.shapes == {f"llama.{n}": tuple(w.shape) for n, w in weights.items()}
    assert found.metadata == {"general.architecture": "llama"}
    for tensor in gguf.GGUFReader(path).tensors:
        ((_, value),) = found.lend([f"llama.{tensor.name}"])
        expected = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
        assert torch.equal(value.float(), expected.float()) and value.shape == weights[tensor.name].shape


def test_a_large_tensor_is_unpacked_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_gguf(tmp_path / "m.gguf", {"a.weight": torch.randn(7, 64)}, type_="Q8_0")
    ((_, whole),) = open_checkpoint(path).read(["llama.a.weight"])
    monkeypatch.setattr("mmm_graph.checkpoint.gguf.CHUNK_NUMBERS", 128)
    ((_, pieces),) = open_checkpoint(path).read(["llama.a.weight"])
    assert torch.equal(whole, pieces)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_module_in_the_wanted_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    net, new = (nn.Sequential(nn.Linear(32, 3)) for _ in range(2))
    state = {f"fc.{name}": value.detach() for name, value in net[0].state_dict().items()}
    path = write_gguf(tmp_path / "m.gguf", state, type_="Q8_0")
    load_module(new, open_checkpoint(tmp_path), layouts=(LAYOUT,), dtype=dtype)  # by its folder
    ((_, packed),) = open_checkpoint(path).read(["llama.fc.weight"])
    assert torch.equal(new[0].weight, packed.to(dtype)) and new[0].bias.dtype is dtype
    assert (net[0].weight - packed).abs().max() < 2e-3


def test_the_architecture_is_part_of_the_names(tmp_path: Path) -> None:
    """What a tensor means depends on it: another one's file does not fit by accident."""
    path = write_gguf(tmp_path / "m.gguf", {"fc.weight": torch.ones(2, 4)}, architecture="qwen2")
    with pytest.raises(RunError, match=r"E610.*1 not used \(qwen2\.fc\.weight\)"):
        load_module(nn.Sequential(nn.Linear(4, 2, bias=False)), open_checkpoint(path), layouts=(LAYOUT,))


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    files = [
        write_gguf(tmp_path / f"{i}.gguf", {"a": torch.full((4,), v)}) for i, v in enumerate((1.0, 1, 2))
    ]
    a, b, c = (open_checkpoint(file).digest() for file in files)
    assert a == b != c


def test_a_config_is_what_the_head_says(tmp_path: Path) -> None:
    fields = {"llama.block_count": 2, "llama.rope.freq_base": 0.5, "tokenizer.ggml.tokens": ["a", "b"]}
    path = write_gguf(tmp_path / "m.gguf", {"x": torch.ones(1)}, fields)
    expected = {"general.architecture": "llama", **fields, "tokenizer.ggml.tokens": ("a", "b")}
    assert gguf_config(path) == {**expected, "tensors": ("x",)}


def test_a_type_that_cannot_be_unpacked(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", {"a.weight": torch.ones(1, 32)}, type_="Q8_0")
    data = bytearray(path.read_bytes())
    at = data.index(b"a.weight") + len("a.weight") + 4 + 16
    assert data[at] == gguf.GGMLQuantizationType.Q8_0
    data[at] = gguf.GGMLQuantizationType.Q8_1  # known, but only as something that llama.cpp makes in passing
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"E633.*tensor a\.weight that is packed as Q8_1"):
        open_checkpoint(path)


def test_a_file_that_is_cut_off_after_it_was_opened(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", {"a": torch.ones(64)})
    found = open_checkpoint(path)
    path.write_bytes(path.read_bytes()[:-64])
    with pytest.raises(RunError, match="E605"):
        list(found.read(["llama.a"]))
