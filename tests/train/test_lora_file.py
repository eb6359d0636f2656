"""LoRAs that were trained here, as PEFT and diffusers load them, and as they are read here again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

import mmm_graph as mmm
from mmm_graph.graph.graph import Lora, ModelNode
from mmm_graph.runtime import Built, build_models
from mmm_graph.train.grow import factors_of, grow
from mmm_graph.train.layers import lora_layers
from mmm_graph.train.learns import Learns, LoraPlan
from mmm_graph.train.lora_file import SETTINGS, find_words, save_lora
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.trainer import train
from mmm_llm.node import DECODER
from mmm_unet.config import UNetConfig
from mmm_unet.node import UNET
from tests.train.texts import GRAPH, REGISTRY, text_spec

LLAMA = {
    **{
        "vocab_size": 12,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "pad_token_id": 0,
    },
    **{
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 16,
        "rms_norm_eps": 1e-5,
    },
}
IDS = torch.tensor([[1, 10, 5, 3], [2, 2, 7, 11]])


def settings(path: Path, prefix: str = "") -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        found = json.loads(file.metadata()[SETTINGS])
    return {key.removeprefix(prefix): value for key, value in found.items()}


@pytest.mark.parity
def test_peft_loads_what_was_trained_of_a_llama(tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, set_peft_model_state_dict
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    reference = LlamaForCausalLM(LlamaConfig(**LLAMA)).eval()
    reference.save_pretrained(tmp_path / "llama")
    text = GRAPH.replace("init: default", "weights: 'file:llama'")
    trained = "{lora: {rank: 2, alpha: 8, targets: [q, v, gate]}}"
    train(text_spec(tmp_path, trained, text), REGISTRY, tmp_path, options=TrainOptions())
    file = tmp_path / "llm.lora.safetensors"
    with torch.no_grad():
        plain = reference(IDS).logits
        adapted = PeftModel(reference, LoraConfig(**settings(file)))
        result = set_peft_model_state_dict(adapted, load_file(file))
        want = adapted.eval()(IDS).logits
    assert not result.unexpected_keys and not [key for key in result.missing_keys if "lora" in key]
    got = mmm.load(tmp_path / "graph.yaml", registry=REGISTRY).run(ids=IDS)["logits"]
    assert (got - want).abs().max() <= 1e-5 * want.abs().max()
    assert (got - plain).abs().max() > 0.05


UNET_CONFIG = UNetConfig(
    channels=(8, 16),
    layers_per_block=1,
    attention=("cross", "none"),
    num_heads=2,
    cond_dim=12,
    groups=4,
)


def unet_built(folder: Path, *loras: Lora) -> Built:
    node = ModelNode("unet", UNET.kind, UNET_CONFIG, weights="file:unet", attach=loras)
    return build_models({"unet": node}, REGISTRY, base=folder)["unet"]


@pytest.mark.parity
def test_diffusers_loads_that_of_a_unet_and_so_do_we(tmp_path: Path) -> None:
    """Attention, 1x1 and 3x3 convolutions, one with a stride."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    reference = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=12,
        norm_num_groups=4,
    ).eval()
    reference.save_pretrained(tmp_path / "unet")
    built = unet_built(tmp_path)
    layers = lora_layers(built.object, ("q", "out", "proj_in", "conv1", "down0_half.down.conv"))
    assert not isinstance(layers, str)
    plan = LoraPlan(layers.names, 2, 3.0, 0.1)
    grow(built.object, Learns((), plan), model="unet", seed=0)
    for factors in factors_of(built.object, plan.layers).values():
        nn.init.normal_(factors.up, std=0.3)
    save_lora(tmp_path / "unet.lora.safetensors", plan, built, dtype=torch.float32)
    x, t, embeds = torch.randn(2, 4, 8, 8), torch.tensor([3, 977]), torch.randn(2, 7, 12)
    state = {"x": x, "t": t, "cond.embeds": embeds}
    with torch.no_grad():
        plain = reference(x, t, embeds).sample
        reference.load_lora_adapter(
            str(tmp_path), weight_name="unet.lora.safetensors", prefix="unet", use_safetensors=True
        )
        want = reference(x, t, embeds).sample
        got = built.object.eval()(state)["pred"]
        again = unet_built(tmp_path, Lora("file:unet.lora.safetensors")).object(state)["pred"]
    assert (want - plain).abs().max() > 0.1
    assert (got - want).abs().max() <= 1e-4 * want.abs().max()
    assert (again - got).abs().max() <= 1e-5 * want.abs().max()
    assert settings(tmp_path / "unet.lora.safetensors", "unet.")["lora_alpha"] == 3.0


def test_layers_that_are_cut_out_of_theirs_keep_our_names() -> None:
    """GPT-2 has q, k and v in one turned matrix: no pair of it is one of ours."""
    config = DECODER.config.model_validate(
        {"width": 16, "depth": 1, "num_heads": 2, "norm": "layer", "mlp": "plain"}
    )
    words = find_words(ModelNode("llm", DECODER.kind, config), DECODER, ("block0.attn.q", "head.out"))
    assert words.modules["block0.attn.q"] == "model.layers.0.self_attn.q_proj"
    layouts = [layout for layout in DECODER.layouts if "gpt" in layout.name.lower()]
    words = find_words(
        ModelNode("llm", DECODER.kind, config), replace(DECODER, layouts=layouts), ("block0.attn.q",)
    )
    assert words.tensor("block0.attn.q", "A") == "base_model.model.block0.attn.q.lora_A.weight"
