"""The parts table of the autoencoder and how it may be sharded, without torch."""

from __future__ import annotations

from mmm_graph.nn import cost
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Part, Sharding
from mmm_vae.config import VaeConfig

REFUSED = {
    "patches": "its convolutions and group norms need rows of patches that are not there yet",
    "tensor": "the channels of its convolutions and group norms are not shared; use patch, which shares rows",
}
ONE_HEAD = "its attention has one head, and ulysses shares heads; use patch or ring, which share rows"
NO_ATTENTION = "it has no attention to share; use patch, which shares rows"


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
    enc_in = cost.conv(config.image_channels, first, large)
    deep, moments = {"h": last * small}, {"mean": latent * small, "logvar": latent * small}
    return (
        Part("enc_in", ("image",), ("h",), *enc_in.fields, {"h": first * large}),
        *(encoder_part(config, i) for i in range(top + 1)),
        Part("enc_mid", ("h",), ("h",), *middle(config).fields, deep),
        Part("enc_out", ("h",), ("mean", "logvar"), *enc_out.fields, moments),
        Part("dec_in", ("latents",), ("h",), *dec_in.fields, deep),
        Part("dec_mid", ("h",), ("h",), *middle(config).fields, deep),
        *(decoder_part(config, k) for k in range(top + 1)),
        Part("dec_out", ("h",), ("image",), *dec_out.fields, {"image": config.image_channels * large}),
    )


def vae_sharding(config: VaeConfig) -> Sharding:
    """Rows in multiples of the total stride of the encoder; the decoder can start anywhere."""
    units = {"encode": config.factor, "posterior": config.factor, "decode": 1}
    if config.mid_attention:
        return Sharding(units, 1, {**REFUSED, "ulysses": ONE_HEAD})
    return Sharding(units, 0, {**REFUSED, **dict.fromkeys(("ulysses", "ring"), NO_ATTENTION)})


def encoder_path(config: VaeConfig, call: object = None) -> tuple[str, ...]:
    """Parts from image to posterior, in order."""
    return ("enc_in", *(f"enc{i}" for i in range(len(config.channels))), "enc_mid", "enc_out")


def decoder_path(config: VaeConfig, call: object = None) -> tuple[str, ...]:
    """Parts from latents to image, in order."""
    return ("dec_in", "dec_mid", *(f"dec{k}" for k in range(len(config.channels))), "dec_out")


def encoder_part(config: VaeConfig, level: int) -> Part:
    """A level of the encoder, and the size it leaves behind."""
    after = pixels(config, min(level + 1, len(config.channels) - 1))
    total, sizes = encoder_level(config, level), {"h": config.channels[level] * after}
    return Part(f"enc{level}", ("h",), ("h",), *total.fields, sizes)


def decoder_part(config: VaeConfig, k: int) -> Part:
    """The k-th level of the decoder, coarsest first, and the size it leaves behind."""
    level = len(config.channels) - 1 - k
    total, after = decoder_level(config, level), pixels(config, max(level - 1, 0))
    return Part(f"dec{k}", ("h",), ("h",), *total.fields, {"h": config.channels[level] * after})


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
