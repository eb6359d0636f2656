"""Small random checkpoints that transformers itself saves: CLIPModel and SiglipModel with their processors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.plugins.mmm_pipelines.tiny import clip_tokenizer, scramble, t5_tokenizer

LABELS = ["cat", "hat in the cat", "zebra"]
PICTURES = {"wide": (37, 64), "high": (61, 23), "small": (9, 9)}
"""Height and width [px]."""

TEXT = {"hidden_size": 16, "intermediate_size": 36, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 3}
VISION |= {"image_size": 28, "patch_size": 7}
Case = Mapping[str, Mapping[str, Any]]

CLIP: dict[str, Case] = {
    "OpenAI": {"pixels": {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}},
    "LAION, old eos": {
        "text": {"hidden_act": "gelu", "eos_token_id": 2, "num_attention_heads": 4},
        "vision": {"hidden_act": "gelu", "patch_size": 5, "image_size": 32, "layer_norm_eps": 1e-3},
        "both": {"projection_dim": 10, "logit_scale_init_value": 4.0},
        "pixels": {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "resample": 2},
        "tokenizer": {"pad": "!"},
    },
    "words behind the eos": {
        "added": {"words": ["zebra"]},
        "text": {"max_position_embeddings": 40, "num_hidden_layers": 3},
        "vision": {"num_hidden_layers": 1},
        "both": {"projection_dim": 24},
        "pixels": {"size": {"height": 30, "width": 28}, "crop_size": {"height": 28, "width": 28}},
    },
}
SIGLIP: dict[str, Case] = {
    "base": {"pixels": {"size": {"height": 28, "width": 28}}},
    "other widths": {
        "text": {"projection_size": 24, "hidden_act": "gelu", "num_hidden_layers": 3},
        "vision": {"num_attention_heads": 2, "patch_size": 14, "layer_norm_eps": 1e-3},
        "pixels": {"size": {"height": 28, "width": 28}, "image_mean": [0.4, 0.5, 0.6], "resample": 1},
    },
    "a patch that does not divide": {
        "text": {"num_attention_heads": 4, "intermediate_size": 21},
        "vision": {"hidden_size": 16, "num_attention_heads": 4, "patch_size": 9, "hidden_act": "gelu"},
        "pixels": {"size": {"height": 28, "width": 28}, "image_std": [0.2, 0.3, 0.4]},
    },
}


def save_clip(folder: Path, case: Case) -> tuple[Any, Any]:
    """(model, processor), saved."""
    from transformers import CLIPConfig, CLIPModel, CLIPProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = clip_tokenizer(folder / "words", **case.get("tokenizer", {}))
    tokenizer.add_tokens(case.get("added", {}).get("words", []))
    ends = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    ends |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    both = {"projection_dim": 12, **case.get("both", {})}
    text, vision = {**TEXT, **ends, **case.get("text", {})}, {**VISION, **case.get("vision", {})}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, **both))
    return _saved(folder, model, CLIPProcessor(CLIPImageProcessorPil(**case["pixels"]), tokenizer))


def save_siglip(folder: Path, case: Case) -> tuple[Any, Any]:
    """(model, processor), saved; the tokenizer is a fast one, as the real one needs a package."""
    from transformers import SiglipConfig, SiglipModel, SiglipProcessor
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    tokenizer = t5_tokenizer()
    ends = {"vocab_size": 100, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 1}
    vision = {**VISION, **case.get("vision", {})}
    text = {**TEXT, "projection_size": vision["hidden_size"], **ends, **case.get("text", {})}
    torch.manual_seed(0)
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    with torch.no_grad():
        model.logit_scale.fill_(2.3)
        model.logit_bias.fill_(-2.0)
    return _saved(folder, model, SiglipProcessor(SiglipImageProcessorPil(**case["pixels"]), tokenizer))


def _saved(folder: Path, model: Any, processor: Any) -> tuple[Any, Any]:
    scramble(model)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(3)  # else all texts and pictures are nearly alike
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def pictures(folder: Path) -> list[Path]:
    """PNG files of several forms, of noise and of slopes."""
    files = []
    for number, (name, (height, width)) in enumerate(PICTURES.items()):
        noise = np.random.default_rng(number).integers(0, 256, (height, width, 3))
        slope = np.linspace(0, 255, width)[None, :, None]
        files.append(folder / f"{name}.png")
        Image.fromarray(((noise + slope) / 2).astype(np.uint8)).save(files[-1])
    return files
