"""Names of the weights: ours -> diffusers' AutoencoderKL. `{i}`, `{j}` stand for numbers; a row names a prefix."""

from __future__ import annotations

from mmm_vae.config import VaeConfig

RESNET = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2", "skip": "conv_shortcut"}

MIDDLE = {
    **{f"resnet1.{ours}": f"resnets.0.{theirs}" for ours, theirs in RESNET.items()},
    "attn.norm": "attentions.0.group_norm",
    "attn.attn.q": "attentions.0.to_q",
    "attn.attn.k": "attentions.0.to_k",
    "attn.attn.v": "attentions.0.to_v",
    "attn.attn.out": "attentions.0.to_out.0",
    **{f"resnet2.{ours}": f"resnets.1.{theirs}" for ours, theirs in RESNET.items()},
}

DIFFUSERS = {
    "enc_in.conv": "encoder.conv_in",
    **{
        f"enc{{i}}.resnets.{{j}}.{ours}": f"encoder.down_blocks.{{i}}.resnets.{{j}}.{b}"
        for ours, b in RESNET.items()
    },
    "enc{i}.down.conv": "encoder.down_blocks.{i}.downsamplers.0.conv",
    **{f"enc_mid.{ours}": f"encoder.mid_block.{theirs}" for ours, theirs in MIDDLE.items()},
    "enc_out.norm": "encoder.conv_norm_out",
    "enc_out.conv": "encoder.conv_out",
    "enc_out.quant": "quant_conv",
    "dec_in.quant": "post_quant_conv",
    "dec_in.conv": "decoder.conv_in",
    **{f"dec_mid.{ours}": f"decoder.mid_block.{theirs}" for ours, theirs in MIDDLE.items()},
    **{
        f"dec{{i}}.resnets.{{j}}.{ours}": f"decoder.up_blocks.{{i}}.resnets.{{j}}.{b}"
        for ours, b in RESNET.items()
    },
    "dec{i}.up.conv": "decoder.up_blocks.{i}.upsamplers.0.conv",
    "dec_out.norm": "decoder.conv_norm_out",
    "dec_out.conv": "decoder.conv_out",
}

OLD_ATTENTION = {"q": "query", "k": "key", "v": "value", "out": "proj_attn"}

OLD = DIFFUSERS | {
    f"{ours}.attn.attn.{name}": f"{theirs}.attentions.0.{old}"
    for ours, theirs in (("enc_mid", "encoder.mid_block"), ("dec_mid", "decoder.mid_block"))
    for name, old in OLD_ATTENTION.items()
}
"""Files of diffusers before 0.14, many of which are still about."""

ORIGINAL_RESNET = {**RESNET, "skip": "nin_shortcut"}

ORIGINAL_MIDDLE = {
    **{f"resnet1.{ours}": f"block_1.{theirs}" for ours, theirs in ORIGINAL_RESNET.items()},
    "attn.norm": "attn_1.norm",
    "attn.attn.q": "attn_1.q",
    "attn.attn.k": "attn_1.k",
    "attn.attn.v": "attn_1.v",
    "attn.attn.out": "attn_1.proj_out",
    **{f"resnet2.{ours}": f"block_2.{theirs}" for ours, theirs in ORIGINAL_RESNET.items()},
}


def original_rows(config: VaeConfig) -> dict[str, str]:
    """Ours -> CompVis' AutoencoderKL, whose decoder counts its levels from the finest."""
    last = len(config.channels) - 1
    found = {
        "enc_in.conv": "encoder.conv_in",
        "enc_out.norm": "encoder.norm_out",
        "enc_out.conv": "encoder.conv_out",
        "enc_out.quant": "quant_conv",
        "dec_in.quant": "post_quant_conv",
        "dec_in.conv": "decoder.conv_in",
        "dec_out.norm": "decoder.norm_out",
        "dec_out.conv": "decoder.conv_out",
    }
    for way, part in (("encoder", "enc_mid"), ("decoder", "dec_mid")):
        found |= {f"{part}.{ours}": f"{way}.mid.{theirs}" for ours, theirs in ORIGINAL_MIDDLE.items()}
    for i in range(last + 1):
        for way, part in ((f"encoder.down.{i}", f"enc{i}"), (f"decoder.up.{last - i}", f"dec{i}")):
            rows = ORIGINAL_RESNET.items()
            found |= {f"{part}.resnets.{{j}}.{ours}": f"{way}.block.{{j}}.{b}" for ours, b in rows}
        found[f"enc{i}.down.conv"] = f"encoder.down.{i}.downsample.conv"
        found[f"dec{i}.up.conv"] = f"decoder.up.{last - i}.upsample.conv"
    return found
