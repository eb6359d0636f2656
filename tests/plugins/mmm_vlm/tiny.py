"""Small random checkpoints that transformers saves with their processors: models that see, and plain decoders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors
from tokenizers.decoders import WordPiece

WORDS = "USER ASSISTANT Question Answer what is on this picture a cat hat or nothing : . ? the of two [INST] [/INST]"
SPECIAL = ("<unk>", "<s>", "</s>", "<pad>")
LLAVA_TEMPLATE = (
    "{% for m in messages %}{{ m.role.upper() }}: {% for c in m.content %}{% if c.type == 'image' %}<image> "
    "{% else %}{{ c.text }} {% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m.role.upper() }}: {{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
VOCAB, END, PAD = 64, 2, 3
TEXT = {
    **{"vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512},
    **{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3},
}
VISION = {
    **{"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 3},
    **{"image_size": 28, "patch_size": 7, "projection_dim": 12},
}
Case = Mapping[str, Any]


def tokenizer(*added: str, bos: bool = True) -> Any:
    """Whole words; a text begins with <s>."""
    words = [*SPECIAL, *WORDS.split(), *(f"w{i}" for i in range(50))][: VOCAB - 6]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = WordPiece(prefix="##", cleanup=False)
    if bos:
        made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in added])
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, padding_side="left", **names)


def scrambled(model: Any, scale: float = 2.0) -> Any:
    """Weights that are not all small, so that answers differ; gates open."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "alpha" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator))
            elif weight.ndim >= 2:
                weight.copy_(
                    torch.randn(weight.shape, generator=generator) * scale / max(weight.shape[-1], 9) ** 0.5
                )
            elif not name.endswith("weight"):
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
            if any(part in name for part in ("embed_tokens.weight", "lm_head.weight", "wte")):
                weight[END].mul_(0.1)  # answers are long
    return model.eval()


def save(folder: Path, model: Any, processor: Any) -> tuple[Any, Any]:
    """(model, processor), saved."""
    model = scrambled(model)
    model.generation_config.eos_token_id = END
    model.generation_config.pad_token_id = PAD
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def pictures(folder: Path, sizes: tuple[tuple[int, int], ...] = ((37, 64), (61, 23), (9, 9))) -> list[Path]:
    """PNG files of height and width [px]."""
    files = []
    for number, (height, width) in enumerate(sizes):
        noise = np.random.default_rng(number).integers(0, 256, (height, width, 3))
        files.append(folder / f"picture{number}.png")
        Image.fromarray(noise.astype(np.uint8)).save(files[-1])
    return files


def text_config(family: str, **more: Any) -> Any:
    return transformers.AutoConfig.for_model(family, **{**TEXT, **more})


LLAVA: dict[str, Case] = {
    "llama": {"text": {"model_type": "llama"}},
    "mistral, all tokens, no bias": {
        "text": {"model_type": "mistral", "sliding_window": 7},
        "vision": {"hidden_act": "gelu", "patch_size": 14},
        "both": {"vision_feature_select_strategy": "full", "multimodal_projector_bias": False},
        "pixels": {"size": {"shortest_edge": 40}, "resample": 2},
    },
    "qwen2, last layer": {
        "text": {"model_type": "qwen2", "tie_word_embeddings": True, "num_attention_heads": 8},
        "vision": {"num_hidden_layers": 2, "image_size": 30, "patch_size": 7},
        "both": {
            "vision_feature_layer": -1,
            "projector_hidden_act": "gelu_pytorch_tanh",
            "tie_word_embeddings": True,
        },
        "pixels": {"size": {"shortest_edge": 30}, "crop_size": {"height": 30, "width": 30}},
    },
}


def save_llava(folder: Path, case: Case) -> tuple[Any, Any]:
    """LlavaForConditionalGeneration."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    text, vision = {**case.get("text", {})}, {**VISION, **case.get("vision", {})}
    words, both = tokenizer("<image>"), case.get("both", {})
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**vision),
        text_config=text_config(text.pop("model_type"), **text),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        **both,
    )
    side = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    processor = transformers.LlavaProcessor(
        CLIPImageProcessorPil(**{**side, **case.get("pixels", {})}),
        words,
        patch_size=vision["patch_size"],
        vision_feature_select_strategy=both.get("vision_feature_select_strategy", "default"),
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    )
    return save(folder, transformers.LlavaForConditionalGeneration(config), processor)


NEXT: dict[str, Case] = {
    "mistral": {"text": {"model_type": "mistral", "sliding_window": None}},
    "llama, other grids": {
        "text": {"model_type": "llama", "tie_word_embeddings": True},
        "both": {
            "image_grid_pinpoints": [[28, 56], [84, 28], [56, 56], [28, 112]],
            "tie_word_embeddings": True,
        },
    },
    "qwen2, GELU": {
        "text": {"model_type": "qwen2"},
        "vision": {"hidden_act": "gelu", "patch_size": 14, "num_hidden_layers": 2},
        "both": {"vision_feature_layer": -1, "multimodal_projector_bias": False},
        "pixels": {"resample": 2},
    },
}
GRIDS = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]


def save_next(folder: Path, case: Case) -> tuple[Any, Any]:
    """LlavaNextForConditionalGeneration."""
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    text, vision = {**case.get("text", {})}, {**VISION, **case.get("vision", {})}
    words, both = tokenizer("<image>"), {"image_grid_pinpoints": GRIDS, **case.get("both", {})}
    config = transformers.LlavaNextConfig(
        vision_config=transformers.CLIPVisionConfig(**vision),
        text_config=text_config(text.pop("model_type"), **text),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        **both,
    )
    side = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    pixels = {**side, "image_grid_pinpoints": both["image_grid_pinpoints"], **case.get("pixels", {})}
    processor = transformers.LlavaNextProcessor(
        LlavaNextImageProcessorPil(**pixels),
        words,
        patch_size=vision["patch_size"],
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    )
    return save(folder, transformers.LlavaNextForConditionalGeneration(config), processor)


OPT = {
    **{
        "vocab_size": VOCAB,
        "hidden_size": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },
    **{"max_position_embeddings": 96, "word_embed_proj_dim": 32, "bos_token_id": 1, "eos_token_id": 2},
    "pad_token_id": 3,
}
BLIP2: dict[str, Case] = {
    "small": {},
    "other widths": {
        "text": {"do_layer_norm_before": False, "tie_word_embeddings": False},
        "vision": {"patch_size": 14, "qkv_bias": False, "num_hidden_layers": 2},
        "qformer": {"hidden_size": 20, "cross_attention_frequency": 1},
        "both": {"num_query_tokens": 7},
        "pixels": {"size": {"height": 28, "width": 28}, "resample": 2},
    },
    "three blocks": {
        "text": {"enable_bias": False, "num_hidden_layers": 3},
        "qformer": {"num_hidden_layers": 3, "cross_attention_frequency": 2},
        "both": {"num_query_tokens": 1},
    },
}


def save_blip2(folder: Path, case: Case) -> tuple[Any, Any]:
    """Blip2ForConditionalGeneration with OPT."""
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    words, both = tokenizer("<image>"), {"num_query_tokens": 4, **case.get("both", {})}
    vision = {k: v for k, v in VISION.items() if k != "projection_dim"} | dict(case.get("vision", {}))
    qformer = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    qformer |= {"encoder_hidden_size": vision["hidden_size"], "vocab_size": 8, "max_position_embeddings": 8}
    config = transformers.Blip2Config(
        vision_config=vision,
        qformer_config={**qformer, **case.get("qformer", {})},
        text_config={"model_type": "opt", **OPT, **case.get("text", {})},
        image_token_index=words.convert_tokens_to_ids("<image>"),
        **both,
    )
    pixels = {"size": {"height": 28, "width": 28}, **case.get("pixels", {})}
    processor = transformers.Blip2Processor(
        BlipImageProcessorPil(**pixels), words, num_query_tokens=both["num_query_tokens"]
    )
    return save(folder, transformers.Blip2ForConditionalGeneration(config), processor)


IDEFICS: dict[str, Case] = {
    "perceiver": {"use_resampler": True, "cross_layer_interval": 2, "additional_vocab_size": 2},
    "no perceiver": {"alpha_type": "vector", "qk_layer_norms": True, "num_hidden_layers": 2},
    "tied": {
        **{"use_resampler": True, "tie_word_embeddings": True, "additional_vocab_size": 3},
        **{"cross_layer_interval": 4, "hidden_act": "gelu"},
        "perceiver": {"qk_layer_norms_perceiver": True, "resampler_depth": 1},
    },
}


def save_idefics(folder: Path, case: Case) -> tuple[Any, Any]:
    """IdeficsForVisionText2Text."""
    from transformers.models.idefics.image_processing_pil_idefics import IdeficsImageProcessorPil

    said = dict(case)
    words = tokenizer("<fake_token_around_image>", "<image>", bos=False)
    vision = {k: v for k, v in VISION.items() if k not in ("projection_dim", "hidden_size")}
    perceiver = {
        "resampler_n_latents": 5,
        "resampler_depth": 2,
        "resampler_n_heads": 2,
        "resampler_head_dim": 6,
    }
    config = transformers.IdeficsConfig(
        vision_config={**vision, "embed_dim": 24},
        perceiver_config={"use_resampler": True, **perceiver, **said.pop("perceiver", {})},
        **{**TEXT, "num_hidden_layers": 4, **said},
    )
    processor = transformers.IdeficsProcessor(IdeficsImageProcessorPil(image_size=28), words)
    return save(folder, transformers.IdeficsForVisionText2Text(config), processor)


DECODERS: dict[str, Case] = {
    "llama": {},
    "mistral": {"sliding_window": 5},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 12},
    "opt": OPT,
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96, "vocab_size": VOCAB},
}


def save_decoder(folder: Path, family: str, *, chats: bool) -> tuple[Any, Any]:
    """A language model with its tokenizer."""
    sizes = {k: v for k, v in TEXT.items() if family not in ("gpt2", "opt") or k.endswith("id")}
    config = transformers.AutoConfig.for_model(family, **{**sizes, **DECODERS[family]})
    words = tokenizer()
    if chats:
        words.chat_template = PLAIN_TEMPLATE
    return save(folder, transformers.AutoModelForCausalLM.from_config(config), words)


HUB = (("vision_tower.", "vision_tower.vision_model."),)
STATE = (
    *(("vision_tower.", "model.vision_tower."), ("multi_modal_projector.", "model.multi_modal_projector.")),
    *(("language_model.model.", "model.language_model."), ("language_model.lm_head.", "lm_head.")),
    ("image_newline", "model.image_newline"),
)
OWN = (
    ("vision_tower.", "model.vision_tower.vision_tower.vision_model."),
    ("multi_modal_projector.linear_1.", "model.mm_projector.0."),
    ("multi_modal_projector.linear_2.", "model.mm_projector.2."),
    *(("language_model.model.", "model."), ("language_model.lm_head.", "lm_head.")),
    ("image_newline", "model.image_newline"),
)
"""Prefixes in what transformers 5 saves -> in the other layouts of LLaVA."""


def rename(folder: Path, table: tuple[tuple[str, str], ...]) -> dict[str, torch.Tensor]:
    """The folder's file with other names; what it holds now."""
    weights = load_file(folder / "model.safetensors")
    for old, new in table:
        weights = {new + name[len(old) :] if name.startswith(old) else name: w for name, w in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return weights


def make_own(folder: Path, architecture: str, **more: Any) -> dict[str, torch.Tensor]:
    """The folder as LLaVA's authors would have saved it; its tower stands in the folder `clip` too."""
    config = json.loads((folder / "config.json").read_text())
    tower = folder / "clip"
    tower.mkdir()
    (tower / "config.json").write_text(json.dumps(config["vision_config"]))
    own = {
        "mm_vision_tower": "clip",
        "mm_projector_type": "mlp2x_gelu",
        "mm_hidden_size": 24,
        "use_mm_proj": True,
    }
    own |= {
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "tokenizer_padding_side": "right",
    }
    own |= {"tune_mm_mlp_adapter": False, "freeze_mm_mlp_adapter": False, "model_type": "llava", **more}
    (folder / "config.json").write_text(
        json.dumps({**config["text_config"], "architectures": [architecture], **own})
    )
    for file in ("processor_config.json", "chat_template.jinja"):
        (folder / file).unlink()
    return rename(folder, OWN)
