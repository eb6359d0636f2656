"""Weights that are packed while they are read: which layers, from what numbers, and what cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmm_graph.checkpoint.save import save_tensors
from mmm_graph.config import Config
from mmm_graph.errors import RunError
from mmm_graph.graph.graph import ModelNode
from mmm_graph.nn.quantized import QuantizedLinear, pack
from mmm_graph.registry import Part, method, model_type, registry_of
from mmm_graph.runtime.build import Built, build_models


class Toy(nn.Module):
    """Tied embedding and head, a layer with a bias, a norm."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(
            {"embed": nn.Embedding(9, 64), "norm": nn.LayerNorm(64), "head": nn.Linear(64, 9)}
        )
        self.parts["block"] = nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 64, bias=False))
        self.parts["head"].weight = self.parts["embed"].weight


KIND = model_type(
    "encoder.packed",
    Config,
    "tests.runtime.test_quantize:Toy",
    methods={"forward": method(x="Embeds[b,t,d]", returns={"y": "Embeds[b,t,d]"})},
    parts=lambda config: tuple(Part(name, (), ()) for name in ("embed", "norm", "block", "head")),
)
REGISTRY = registry_of(KIND)
NODE = ModelNode("m", "encoder.packed", Config(), weights="file:m.safetensors", quantize="int8")


@pytest.fixture
def plain(tmp_path: Path) -> Toy:
    """A model whose weights are in a file."""
    torch.manual_seed(0)
    module = Toy(Config())
    save(module, tmp_path)
    return module


def save(module: Toy, folder: Path) -> None:
    state = {n.removeprefix("parts."): t for n, t in module.state_dict().items() if n != "parts.head.weight"}
    save_tensors(state, folder / "m.safetensors")


def build(folder: Path, node: ModelNode = NODE, **more: Any) -> nn.Module:
    built = build_models({"m": node}, REGISTRY, base=folder)["m"]
    found: nn.Module = replace(built, **more).object
    return found


@pytest.mark.parametrize("how", ["int8", "int4"])
@pytest.mark.parametrize("dtype", [None, "bf16"])
def test_weights_of_linear_layers(plain: Toy, tmp_path: Path, how: str, dtype: str | None) -> None:
    found = build(tmp_path, replace(NODE, quantize=how, dtype=dtype)).parts
    kept = torch.float32 if dtype is None else torch.bfloat16
    layers = {
        "head": plain.parts["head"],
        "block.0": plain.parts["block"][0],
        "block.1": plain.parts["block"][1],
    }
    for name, old in layers.items():
        layer = found.get_submodule(name)
        assert type(layer) is QuantizedLinear
        expected = pack(old.weight.detach(), how)  # of the numbers in the file, not of rounded ones
        assert torch.equal(layer.codes, expected.codes) and torch.equal(layer.scales, expected.scales)
        assert layer.weight.dtype is kept and not layer.training
    assert torch.equal(found["embed"].weight, plain.parts["embed"].weight.to(kept))
    assert torch.equal(found["block"][0].bias, plain.parts["block"][0].bias.to(kept))
    assert found["norm"].weight.dtype is kept
    assert not any(t.is_meta for t in found.state_dict().values())


def test_no_weight_is_there_in_full(plain: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layer by layer: when one is packed, those before it are, and those after it are not read yet."""
    from mmm_graph.runtime import quantize

    seen: list[int] = []

    def spy(module: nn.Module, name: str, *rest: Any) -> None:
        seen.append(sum(p.numel() for n, p in module.named_parameters() if not p.is_meta and p.dim() > 1))
        run(module, name, *rest)

    run = quantize.quantize_layer
    monkeypatch.setattr(quantize, "quantize_layer", spy)
    build(tmp_path)
    embedding = plain.parts["embed"].weight.numel()
    assert len(seen) == 3 and max(seen) <= embedding


def test_initialised_weights(tmp_path: Path) -> None:
    node = replace(NODE, weights=None, init="default", dtype="bf16")
    found, plain = build(tmp_path, node).parts, build(tmp_path, replace(node, quantize=None)).parts
    assert torch.equal(found["block"][1].codes, pack(plain["block"][1].weight, "int8").codes)
    assert torch.equal(found["embed"].weight, plain["embed"].weight)


def test_a_rank_packs_its_own_parts(plain: Toy, tmp_path: Path) -> None:
    first = build(tmp_path, parts=frozenset(("embed", "block"))).parts
    last = build(tmp_path, parts=frozenset(("norm", "head"))).parts
    assert list(first) == ["embed", "block"] and list(last) == ["norm", "head"]
    assert type(last["head"]) is QuantizedLinear and torch.equal(
        first["embed"].weight, plain.parts["embed"].weight
    )


def test_numbers_that_are_none(plain: Toy, tmp_path: Path) -> None:
    plain.parts["block"][0].weight.data[3, 5] = float("nan")
    save(plain, tmp_path)
    with pytest.raises(RunError, match=r"E635.*weights of m: parts\.block\.0\.weight cannot be quantized"):
        build(tmp_path)
    assert build(tmp_path, replace(NODE, quantize=None)) is not None


def test_offloaded_ones_come_and_go(plain: Toy, tmp_path: Path) -> None:
    from mmm_graph.spec.offload import OffloadSpec

    built: Built = replace(
        build_models({"m": NODE}, REGISTRY, base=tmp_path)["m"], offload=OffloadSpec(by="block")
    )
    block = built.object.parts["block"]
    assert built.room is not None and block.part[0].codes.numel() == 0
    built.room.enter("block")
    x = torch.randn(1, 64)
    expected = build(tmp_path).parts["block"]
    with torch.no_grad():
        assert torch.equal(block.part[0](x), expected[0](x))
