"""Random LoRAs that PEFT makes and diffusers saves, and the same tensors under the names of other programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

NET = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2",
       "conv_shortcut", "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv")  # fmt: skip
TEXT = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
KOHYA = {
    "unet": "lora_unet_",
    "transformer": "lora_unet_",
    "text_encoder": "lora_te1_",
    "text_encoder_2": "lora_te2_",
}


def make(
    pipeline: Any,
    file: Path,
    *,
    seed: int,
    rank: int,
    alpha: float,
    net: Iterable[str] = NET,
    text: Iterable[str] = TEXT,
    **more: Any,
) -> Path:
    """The file that `save_lora_weights` of the pipeline writes; the pipeline is left as it was."""
    from peft import LoraConfig, get_peft_model_state_dict

    generator = torch.Generator().manual_seed(seed)
    parts = [n for n in ("unet", "transformer") if getattr(pipeline, n, None) is not None]
    clip = [
        n for n in ("text_encoder", "text_encoder_2") if "CLIP" in type(getattr(pipeline, n, None)).__name__
    ]
    parts += clip if text else []
    saved: dict[str, Any] = {}
    for part in parts:
        model, targets = deepcopy(getattr(pipeline, part)), list(text if part.startswith("text") else net)
        model.add_adapter(
            LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, **more), adapter_name="made"
        )
        saved[f"{part}_lora_adapter_metadata"] = plain(model.peft_config["made"].to_dict())
        for name, weight in model.named_parameters():
            if "lora_" in name:
                with torch.no_grad():
                    weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
        saved[f"{part}_lora_layers"] = get_peft_model_state_dict(model, adapter_name="made")
    pipeline.save_lora_weights(file.parent, **saved, weight_name=file.name)
    return file


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of PEFT that JSON can hold."""
    return {k: sorted(v) if isinstance(v, set) else v for k, v in settings.items()}


def read(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, header)."""
    with safe_open(file, "pt") as opened:
        return load_file(file), opened.metadata() or {}


def pairs(file: Path) -> dict[tuple[str, str], dict[str, Tensor]]:
    """(part, module) -> {down, up} of a file that diffusers wrote."""
    found: dict[tuple[str, str], dict[str, Tensor]] = {}
    for name, tensor in read(file)[0].items():
        match = re.fullmatch(
            r"(\w+)\.(.+?)\.(lora_A|lora_B|lora\.down|lora\.up|lora_linear_layer\.\w+)\.weight", name
        )
        assert match, name
        half = "down" if match[3] in ("lora_A", "lora.down", "lora_linear_layer.down") else "up"
        found.setdefault((match[1], match[2]), {})[half] = tensor
    return found


def kohya(file: Path, to: Path, alpha: float, names: Mapping[str, str] | None = None) -> Path:
    """The same LoRA as kohya's sd-scripts write it; `names`: their names of modules, where not the same."""
    tensors: dict[str, Tensor] = {}
    for (part, module), found in pairs(file).items():
        if part.startswith("text") and not module.startswith("text_model"):
            module = f"text_model.{module}"
        module = (names or {}).get(module, module) if not part.startswith("text") else module
        name = KOHYA[part] + module.replace(".", "_")
        tensors |= {f"{name}.lora_{half}.weight": tensor for half, tensor in found.items()}
        tensors[f"{name}.alpha"] = torch.tensor(alpha)
    save_file({k: t.contiguous() for k, t in tensors.items()}, to)
    return to
