"""Names and settings of LoRA files, as kohya, PEFT and diffusers of several ages write them."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from mmm_graph.checkpoint.lora import open_lora, split_name
from mmm_graph.errors import RunError

NAMES = {
    "lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight": ("down", "unet", "down_blocks_0_resnets_0_conv1"),
    "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha":
        ("alpha", "text_encoder", "text_model_encoder_layers_0_mlp_fc1"),
    "lora_te2_text_projection.lora_up.weight": ("up", "text_encoder_2", "text_projection"),
    "unet.mid_block.attn1.to_out.0.lora_A.weight": ("down", "unet", "mid_block.attn1.to_out.0"),
    "unet.mid_block.attn1.to_out.0.lora_B.default.weight": ("up", "unet", "mid_block.attn1.to_out.0"),
    "unet.mid_block.attn1.processor.to_out_lora.down.weight": ("down", "unet", "mid_block.attn1.to_out.0"),
    "unet.mid_block.attn1.processor.to_q_lora.alpha": ("alpha", "unet", "mid_block.attn1.to_q"),
    "mid_block.attn1.processor.to_k_lora.up.weight": ("up", "", "mid_block.attn1.to_k"),
    "text_encoder.layers.0.self_attn.to_out_lora.up.weight": ("up", "text_encoder", "layers.0.self_attn.out_proj"),
    "text_encoder.layers.0.q_proj.lora_linear_layer.down.weight": ("down", "text_encoder", "layers.0.q_proj"),
    "base_model.model.transformer.blocks.0.attn.to_q.lora_A.weight": ("down", "unet", "blocks.0.attn.to_q"),
    "base_model.model.encoder.layers.0.q.lora_B.weight": ("up", "", "encoder.layers.0.q"),
    "diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight": ("down", "unet", "double_blocks.0.img_attn.qkv"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names(name):
    half, part, module = NAMES[name]
    assert split_name(name) == (half, (part, module))


def save(path, settings=None, alpha=None, rank=4):
    tensors = {
        "unet.a.to_q.lora_A.weight": torch.ones(rank, 3),
        "unet.a.to_q.lora_B.weight": torch.ones(5, rank),
    }
    metadata = {} if settings is None else {"lora_adapter_metadata": json.dumps(settings)}
    if alpha is not None:
        tensors["unet.a.to_q.alpha"] = torch.tensor(alpha)
    save_file(tensors, path, metadata=metadata)
    return path


@pytest.mark.parametrize(
    ("settings", "alpha", "factor"),
    [
        (None, None, 1.0),
        (None, 2.0, 0.5),
        ({"unet.lora_alpha": 8, "text_encoder.lora_alpha": 1}, None, 2.0),
        ({"unet.lora_alpha": 8, "unet.use_rslora": True}, None, 4.0),
        ({"unet.lora_alpha": 8, "unet.alpha_pattern": {"to_q": 1}}, None, 0.25),
        ({"unet.lora_alpha": 8, "unet.alpha_pattern": {"o_q": 1}}, None, 2.0),
    ],
)
def test_alpha_over_rank(settings, alpha, factor, tmp_path):
    file = open_lora(save(tmp_path / "a.safetensors", settings))
    (pair,) = file.parts["unet"]
    assert math.isclose(file.factor("unet", pair, alpha), factor)


def test_settings_are_those_of_peft(tmp_path):
    """The folder that PEFT itself saves, and the factor of its own layer."""
    from peft import LoraConfig, get_peft_model

    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 5))
    config = LoraConfig(r=4, lora_alpha=6, alpha_pattern={"1": 3}, use_rslora=True, target_modules=["0", "1"])
    made = get_peft_model(net, config)
    made.save_pretrained(tmp_path)
    file = open_lora(tmp_path)
    assert {pair.module for pair in file.parts[""]} == {"0", "1"}
    for pair in file.parts[""]:
        layer = made.get_submodule(f"base_model.model.{pair.module}")
        assert math.isclose(file.factor("", pair, None), layer.scaling["default"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unet.use_dora": True}, "say DoRA"),
        ({"unet.peft_type": "LOHA"}, "say LOHA"),
        ({"unet.init_lora_weights": "pissa_niter_4"}, "changes the model's own weights"),
        ({"unet.lora_alpha": "8"}, "lora_alpha '8', which is no number"),
        ([1], "no mapping"),
    ],
)
def test_settings_of_something_else(settings, message, tmp_path):
    with pytest.raises(RunError, match=message):
        open_lora(save(tmp_path / "a.safetensors", settings))
