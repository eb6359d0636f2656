"""Names and shapes of SD3's and FLUX's original files -> the configs of diffusers and transformers.

Source: Stability-AI/sd3-ref, mmditx.py; black-forest-labs/flux, src/flux/model.py.
"""

from __future__ import annotations

from math import isqrt

from mmm_pipelines.shapes import HEAD_WIDTH, Names, Theirs

GRID, PACKED, AXES = 64, 64, (16, 56, 56)
"""Patches a side that SD3's positions were trained on; channels of FLUX's packed latents, and of its heads by axis."""


def read_mmdit(there: Names) -> Theirs:
    """The config of an SD3Transformer2DModel.

    Raises:
        ValueError: tensors are missing, or the width has no heads of 64.
    """
    width, channels, patch = (there.size("x_embedder.proj.weight", axis) for axis in range(3))
    if width % HEAD_WIDTH:
        raise ValueError(f"a transformer of width {width} does not divide into heads of {HEAD_WIDTH}")
    depth = there.count("joint_blocks")
    dual = [i for i in range(depth) if f"joint_blocks.{i}.x_block.attn2.qkv.weight" in there]
    has_norm = "joint_blocks.0.x_block.attn.ln_q.weight" in there
    return {
        "_class_name": "SD3Transformer2DModel",
        "sample_size": GRID * patch,
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": there.size("final_layer.linear.weight") // patch**2,
        "num_layers": depth,
        "num_attention_heads": width // HEAD_WIDTH,
        "attention_head_dim": HEAD_WIDTH,
        "caption_projection_dim": width,
        "joint_attention_dim": there.size("context_embedder.weight", 1),
        "pooled_projection_dim": there.size("y_embedder.mlp.0.weight", 1),
        "pos_embed_max_size": isqrt(there.size("pos_embed", 1)),
        "dual_attention_layers": dual,
        "qk_norm": "rms_norm" if has_norm else None,
    }


def read_flux(there: Names) -> Theirs:
    """The config of a FluxTransformer2DModel.

    Raises:
        ValueError: tensors are missing, or it reads more than latents.
    """
    width, channels = there.size("img_in.weight"), there.size("img_in.weight", 1)
    if channels != PACKED:
        raise ValueError(
            f"its transformer has {channels} channels and not {PACKED}: Fill, Depth and Canny are not supported"
        )
    head = there.size(there.ending("query_norm.scale"))
    if head != sum(AXES):
        raise ValueError(f"its heads have {head} channels, and those of FLUX.1 {sum(AXES)}")
    return {
        "_class_name": "FluxTransformer2DModel",
        "in_channels": channels,
        "num_layers": there.count("double_blocks"),
        "num_single_layers": there.count("single_blocks"),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": there.size("txt_in.weight", 1),
        "pooled_projection_dim": there.size("vector_in.in_layer.weight", 1),
        "guidance_embeds": "guidance_in.in_layer.weight" in there,
        "axes_dims_rope": list(AXES),
    }


def read_t5(there: Names) -> Theirs:
    """The config of a T5EncoderModel.

    Raises:
        ValueError: tensors are missing.
    """
    attention = "encoder.block.0.layer.0.SelfAttention"
    name = "shared.weight" if "shared.weight" in there else "encoder.embed_tokens.weight"
    bias = f"{attention}.relative_attention_bias.weight"
    heads = there.size(bias, 1)
    return {
        "architectures": ["T5EncoderModel"],
        "vocab_size": there.size(name),
        "d_model": there.size(name, 1),
        "num_layers": there.count("encoder.block"),
        "num_heads": heads,
        "d_kv": there.size(f"{attention}.q.weight") // heads,
        "d_ff": there.size("encoder.block.0.layer.1.DenseReluDense.wi_0.weight"),
        "relative_attention_num_buckets": there.size(bias),
        "feed_forward_proj": "gated-gelu",
    }
