"""Names of the weights: ours -> diffusers' AutoencoderKL. `{i}`, `{j}` stand for numbers; a row names a prefix."""

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
