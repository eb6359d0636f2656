"""OpenCLIP's open_clip_config.json -> our configs of both towers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Fields

BLOCK = {
    **{"ls_init_value": None, "block_type": None, "final_ln_after_pool": False},
    **dict.fromkeys(("qk_norm", "scaled_cosine_attn", "scale_heads"), False),
    **dict.fromkeys(("scale_attn_inner", "scale_attn", "scale_fc"), False),
}
"""What both towers may have and ours do not."""
COMMON = {"mlp_ratio": 4.0, "act_kwargs": None, "norm_kwargs": None}
MODEL = Fields(
    sizes={},
    others={
        "vision_cfg": None,
        "text_cfg": None,
        "quick_gelu": False,
        "init_logit_bias": None,
        "embed_dim": 512,
    }
    | {"custom_text": False},
    meaningless=("init_logit_scale", "nonscalar_logit_scale", "output_dict", "cast_dtype"),
)
VISION = Fields(
    {
        "width": ("width", 768),
        "depth": ("layers", 12),
        "patch": ("patch_size", 16),
        "size": ("image_size", 224),
    },
    {**COMMON, "head_width": 64, "timm_model_name": None, "timm_pool": "avg", "timm_proj": "linear"},
    {
        **BLOCK,
        "attentional_pool": False,
        "no_ln_pre": False,
        "pos_embed_type": "learnable",
        "pool_type": "tok",
    },
    (
        *("patch_dropout", "output_tokens", "attn_pooler_queries", "attn_pooler_heads"),
        *("timm_model_pretrained", "timm_proj_bias", "timm_drop", "timm_drop_path"),
    ),
)
TEXT = Fields(
    {"width": ("width", 512), "depth": ("layers", 12), "num_heads": ("heads", 8)}
    | {"vocab_size": ("vocab_size", 49408), "max_length": ("context_length", 77)},
    {**COMMON, "no_causal_mask": False, "pool_type": "argmax", "eos_id": 2, "proj_bias": False}
    | {"tokenizer_kwargs": None},
    {**BLOCK, "embed_cls": False, "proj_type": "linear", "hf_model_name": None, "tokenizer_mode": None},
    (
        *("pad_id", "output_tokens", "hf_tokenizer_name"),
        *("hf_model_pretrained", "hf_proj_type", "hf_pooler_type"),
    ),
)
POOLS = ("argmax", "eos", "last")
TIMM = re.compile(r"vit_(base|large|so400m|giantopt)_patch(\d+)_siglip_(\d+)")
TIMM_SIZES = {
    "base": {"width": 768, "depth": 12, "num_heads": 12, "hidden": 3072},
    "large": {"width": 1024, "depth": 24, "num_heads": 16, "hidden": 4096},
    "so400m": {"width": 1152, "depth": 27, "num_heads": 16, "hidden": 4304},
    "giantopt": {"width": 1536, "depth": 40, "num_heads": 16, "hidden": 6144},
}
TIMM_TANH = re.compile(r"base_patch32|large_patch16_siglip_512|so400m_patch16|giantopt")
"""Towers whose GELU is the one by tanh."""
TIMM_FORM = {"class_token": False, "patch_bias": True, "pre_norm": False, "pool": "probe", "eps": 1e-6}


def read_vision(theirs: Mapping[str, Any], embed_dim: int, quick_gelu: bool) -> dict[str, Any]:
    """Our config of the vision tower.

    Raises:
        ValueError: it is another network than a vision transformer as CLIP's or SigLIP's.
    Source: mlfoundations/open_clip, src/open_clip/model.py (CLIPVisionCfg).
    """
    if isinstance(theirs.get("layers"), list):
        raise ValueError(f"vision_cfg.layers: {theirs['layers']} is a ResNet, for which there is no encoder")
    sizes, others = VISION.read(theirs)
    if others["timm_model_name"] is not None:
        return _read_timm(others, sizes["size"])
    heads, width = int(others["head_width"]), int(sizes["width"])
    found = {**sizes, **_read_common(others, width, quick_gelu), "num_heads": width // heads}
    return {**found, "out_dim": embed_dim}


def read_text(theirs: Mapping[str, Any], embed_dim: int, quick_gelu: bool) -> dict[str, Any]:
    """Our config of the text tower.

    Raises:
        ValueError: it is another network than a transformer as CLIP's or SigLIP's.
    Source: mlfoundations/open_clip, src/open_clip/model.py (CLIPTextCfg).
    """
    sizes, others = TEXT.read(theirs)
    if others["pool_type"] not in POOLS:
        raise ValueError(
            f"pool_type: {others['pool_type']!r} is not supported; expected one of {', '.join(POOLS)}"
        )
    pool = {
        "pool": others["pool_type"],
        **({"eos_id": others["eos_id"]} if others["pool_type"] == "eos" else {}),
    }
    projection = {"projection": True, "projection_bias": others["proj_bias"], "pooled_dim": embed_dim}
    common = _read_common(others, sizes["width"], quick_gelu)
    return {**sizes, **common, **pool, **projection, "causal": not others["no_causal_mask"]}


def _read_common(others: Mapping[str, Any], width: int, quick_gelu: bool) -> dict[str, Any]:
    act, norm = others["act_kwargs"] or {}, others["norm_kwargs"] or {}
    if act not in ({}, {"approximate": "none"}, {"approximate": "tanh"}) or (act and quick_gelu):
        raise ValueError(
            f"act_kwargs: {act} is not supported; expected approximate: tanh, without quick_gelu"
        )
    if norm.keys() - {"eps"}:
        raise ValueError(f"norm_kwargs: {norm} is not supported; expected eps alone")
    gelu = "gelu_tanh" if act.get("approximate") == "tanh" else "gelu"
    hidden = int(width * others["mlp_ratio"])
    return {
        "activation": "quick_gelu" if quick_gelu else gelu,
        "hidden": hidden,
        "eps": norm.get("eps", 1e-5),
    }


def _read_timm(others: Mapping[str, Any], size: int) -> dict[str, Any]:
    """A tower of SigLIP, whose sizes are in its name.

    Source: huggingface/pytorch-image-models, timm/models/vision_transformer.py.
    """
    name = others["timm_model_name"]
    match = TIMM.fullmatch(name)
    if not match or others["timm_pool"] != "map" or others["timm_proj"] not in ("none", "", None):
        said = ", ".join(f"{key}: {others[key]!r}" for key in ("timm_model_name", "timm_pool", "timm_proj"))
        raise ValueError(
            f"{said} is not supported; expected a vit_*_siglip_* with pool map and no projection"
        )
    act = "gelu_tanh" if TIMM_TANH.search(name) else "gelu"
    return {**TIMM_FORM, **TIMM_SIZES[match[1]], "patch": int(match[2]), "size": size, "activation": act}
