"""The parts table of the autoencoder, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Part
from mmm_vae.config import VaeConfig


def vae_parts(config: VaeConfig) -> tuple[Part, ...]:
    """Encoder, then decoder, each in the order in which it runs."""
    top = len(config.channels) - 1
    small, large = pixels(config, top), pixels(config, 0)
    latent, first, last = config.latent_channels, config.channels[0], config.channels[-1]
    enc_out = cost.norm(last) + cost.conv(last, 2 * latent, small)
    enc_out += cost.conv(2 * latent, 2 * latent, small, kernel=1) * config.quant_conv
    dec_in = cost.conv(latent, latent, small, kernel=1) * config.post_quant_conv + cost.conv(
        latent, last, small
    )
    dec_out = cost.norm(first) + cost.conv(first, config.image_channels, large)
    return (
        Part("enc_in", ("image",), ("h",), *cost.conv(config.image_channels, first, large).both),
        *(Part(f"enc{i}", ("h",), ("h",), *encoder_level(config, i).both) for i in range(top + 1)),
        Part("enc_mid", ("h",), ("h",), *middle(config).both),
        Part("enc_out", ("h",), ("mean", "logvar"), *enc_out.both),
        Part("dec_in", ("latents",), ("h",), *dec_in.both),
        Part("dec_mid", ("h",), ("h",), *middle(config).both),
        *(Part(f"dec{k}", ("h",), ("h",), *decoder_level(config, top - k).both) for k in range(top + 1)),
        Part("dec_out", ("h",), ("image",), *dec_out.both),
    )


def encoder_path(config: VaeConfig, call: object = None) -> tuple[str, ...]:
    """Parts from image to posterior, in order."""
    return ("enc_in", *(f"enc{i}" for i in range(len(config.channels))), "enc_mid", "enc_out")


def decoder_path(config: VaeConfig, call: object = None) -> tuple[str, ...]:
    """Parts from latents to image, in order."""
    return ("dec_in", "dec_mid", *(f"dec{k}" for k in range(len(config.channels))), "dec_out")


def encoder_level(config: VaeConfig, level: int) -> Cost:
    """Residual blocks, and the convolution that halves unless the level is the coarsest."""
    width, before, here = config.channels[level], config.channels[max(level - 1, 0)], pixels(config, level)
    total = cost.resnet(before, width, here) + cost.resnet(width, width, here) * (config.layers_per_block - 1)
    if level < len(config.channels) - 1:
        total += cost.conv(width, width, pixels(config, level + 1))
    return total


def decoder_level(config: VaeConfig, level: int) -> Cost:
    """Residual blocks, and the convolution after doubling unless the level is the finest."""
    width, here = config.channels[level], pixels(config, level)
    before = config.channels[min(level + 1, len(config.channels) - 1)]
    total = cost.resnet(before, width, here) + cost.resnet(width, width, here) * config.layers_per_block
    if level > 0:
        total += cost.conv(width, width, pixels(config, level - 1))
    return total


def middle(config: VaeConfig) -> Cost:
    """Two residual blocks and attention between pixels."""
    width, here = config.channels[-1], pixels(config, len(config.channels) - 1)
    attention = cost.pixel_attention(width, here) * config.mid_attention
    return cost.resnet(width, width, here) * 2 + attention


def pixels(config: VaeConfig, level: int) -> int:
    """Pixels at a level."""
    side: int = config.sample_size // 2**level
    return side * side
