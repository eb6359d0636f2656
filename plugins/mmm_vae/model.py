"""Autoencoder between images [b,c,h,w] in [0,1] and latents [b,z,h/f,w/f], as a list of parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.attention import PixelAttention
from mmm_graph.nn.conv import Conv2d, Downsample, Upsample, channels_last
from mmm_graph.nn.noise import Noise
from mmm_graph.nn.norm import GroupNorm
from mmm_graph.nn.parts import State, need, run_parts
from mmm_graph.nn.resnet import Resnet
from mmm_vae.config import (
    EncodeConfig,
    EncodeTilesConfig,
    FramesNoiseConfig,
    NoiseConfig,
    TileConfig,
    VaeConfig,
)
from mmm_vae.parts import decoder_path, encoder_path
from mmm_vae.tiles import decoder_grid, encoder_grid, tiled

EPS = 1e-6
LOGVAR_RANGE = (-30.0, 20.0)


class AutoencoderKL(nn.Module):
    """Encoder to a diagonal Gaussian, and decoder.

    Source: Rombach et al. 2021 (arXiv:2112.10752), appendix G.
    """

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        self.parts = nn.ModuleDict({"enc_in": EncoderIn(config)})
        self.parts.update({f"enc{i}": EncoderLevel(config, i) for i in range(len(config.channels))})
        self.parts.update({"enc_mid": Middle(config), "enc_out": EncoderOut(config)})
        self.parts.update({"dec_in": DecoderIn(config), "dec_mid": Middle(config)})
        levels = reversed(range(len(config.channels)))
        self.parts.update({f"dec{k}": DecoderLevel(config, level) for k, level in enumerate(levels)})
        self.parts["dec_out"] = DecoderOut(config)

    def posterior(self, image: Tensor) -> dict[str, Tensor]:
        """Mean and log variance of z, before scaling and shifting, each [b,z,h/f,w/f]."""
        state = run_parts(self.parts, encoder_path(self.config), {"image": image})
        return {key: need(state, key, "the autoencoder") for key in ("mean", "logvar")}

    def encode(self, image: Tensor, config: EncodeConfig, noise: Noise) -> dict[str, Tensor]:
        """Latents of images (the mode of the posterior, or a sample drawn from `noise`), and the posterior."""
        return self._drawn(self.posterior(image), config.sample, noise)

    def encode_tiled(self, image: Tensor, config: EncodeTilesConfig, noise: Noise) -> dict[str, Tensor]:
        """As `encode`, tile by tile."""
        moments = tiled(self._moments, image, encoder_grid(self.config, config))
        return self._drawn(posterior(moments), config.sample, noise)

    def decode(self, latents: Tensor) -> Tensor:
        """Images of latents, in [0,1] up to what the decoder overshoots."""
        state = run_parts(self.parts, decoder_path(self.config), {"latents": latents})
        return need(state, "image", "the autoencoder")

    def decode_tiled(self, latents: Tensor, config: TileConfig) -> Tensor:
        """As `decode`, tile by tile."""
        return tiled(self.decode, latents, decoder_grid(self.config, config))

    def encode_frames(self, video: Tensor, config: EncodeConfig, noise: Noise) -> dict[str, Tensor]:
        """As `encode`, frame by frame: b f c h w -> b z f h/f w/f."""
        found = [self.posterior(frame) for frame in video.unbind(1)]
        moments = {key: torch.stack([one[key] for one in found], dim=2) for key in ("mean", "logvar")}
        return self._drawn(moments, config.sample, noise)

    def decode_frames(self, latents: Tensor) -> Tensor:
        """As `decode`, frame by frame: b z f h w -> b f c h*f w*f."""
        return torch.stack([self.decode(frame) for frame in latents.unbind(2)], dim=1)

    def mask(self, mask: Tensor) -> Tensor:
        """What is to be painted, [b,1,h,w] -> [b,1,h/f,w/f]: 1.0 there; of f x f pixels the first decides."""
        factor = self.config.factor
        return mask[..., ::factor, ::factor].float()

    def noise(self, like: Tensor | Sequence[object], config: NoiseConfig, noise: Noise) -> Tensor:
        """Normal noise shaped as the latents of images of the wanted size, one for each element of `like`."""
        weight = next(self.parameters())
        return noise.normal(self._latent_shape(config), dtype=weight.dtype, device=weight.device)

    def noise_frames(
        self, like: Tensor | Sequence[object], config: FramesNoiseConfig, noise: Noise
    ) -> Tensor:
        """As `noise`, for clips: b z f h w."""
        weight = next(self.parameters())
        channels, *size = self._latent_shape(config)
        shape = (channels, config.frames, *size)
        return noise.normal(shape, dtype=weight.dtype, device=weight.device)

    def _latent_shape(self, config: NoiseConfig) -> tuple[int, int, int]:
        factor = self.config.factor
        if config.height % factor or config.width % factor:
            raise RunError(
                problem(
                    "E705",
                    f"{config.height} x {config.width} is not a multiple of the autoencoder's factor {factor}",
                    hint=f"try {round_up(config.height, factor)} x {round_up(config.width, factor)}",
                )
            )
        return self.config.latent_channels, config.height // factor, config.width // factor

    def _drawn(self, posterior: dict[str, Tensor], sample: bool, noise: Noise) -> dict[str, Tensor]:
        """The posterior, and latents of it."""
        z = posterior["mean"]
        if sample:
            normal = noise.normal(z.shape[1:], dtype=z.dtype, device=z.device)
            z = torch.addcmul(z, (0.5 * posterior["logvar"]).exp(), normal)
        return {"latents": (z - self.config.shift_factor) * self.config.scaling_factor, **posterior}

    def _moments(self, image: Tensor) -> Tensor:
        """Mean and log variance side by side, before the latter is kept in range: b c h w -> b 2z h/f w/f."""
        *before, last = encoder_path(self.config)
        out = self.parts[last]
        assert isinstance(out, EncoderOut)
        return out.moments(run_parts(self.parts, before, {"image": image}))


class EncoderIn(nn.Module):
    """image -> h."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.conv = Conv2d(config.image_channels, config.channels[0])

    def forward(self, state: State) -> dict[str, Tensor]:
        image = need(state, "image", "the autoencoder").to(self.conv.weight.dtype)
        return {"h": channels_last(self.conv(image * 2 - 1))}


class EncoderLevel(nn.Module):
    """Residual blocks, then half the resolution except at the last level: h -> h."""

    def __init__(self, config: VaeConfig, level: int) -> None:
        super().__init__()
        width, before = config.channels[level], config.channels[max(level - 1, 0)]
        widths = [before] + [width] * (config.layers_per_block - 1)
        self.resnets = nn.ModuleList(resnet(config, w, width) for w in widths)
        self.down = Downsample(width, (0, 1)) if level < len(config.channels) - 1 else nn.Identity()

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", "the encoder")
        for block in self.resnets:
            h = block(h)
        return {"h": self.down(h)}


class Middle(nn.Module):
    """Residual block, attention between pixels, residual block: h -> h."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        width = config.channels[-1]
        self.resnet1 = resnet(config, width, width)
        self.attn = PixelAttention(width, 1, config.groups, EPS) if config.mid_attention else nn.Identity()
        self.resnet2 = resnet(config, width, width)

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"h": self.resnet2(self.attn(self.resnet1(need(state, "h", "the autoencoder"))))}


class EncoderOut(nn.Module):
    """h -> mean and logvar of z."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        moments = 2 * config.latent_channels
        self.norm = GroupNorm(config.groups, config.channels[-1], EPS)
        self.conv = Conv2d(config.channels[-1], moments)
        self.quant = Conv2d(moments, moments, kernel=1) if config.quant_conv else nn.Identity()

    def forward(self, state: State) -> dict[str, Tensor]:
        return posterior(self.moments(state))

    def moments(self, state: State) -> Tensor:
        """b 2z h w."""
        h = F.silu(self.norm(need(state, "h", "the encoder")))
        y: Tensor = self.quant(self.conv(h))
        return y


class DecoderIn(nn.Module):
    """latents -> h."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.scale, self.shift = config.scaling_factor, config.shift_factor
        latent = config.latent_channels
        self.quant = Conv2d(latent, latent, kernel=1) if config.post_quant_conv else nn.Identity()
        self.conv = Conv2d(latent, config.channels[-1])

    def forward(self, state: State) -> dict[str, Tensor]:
        latents = need(state, "latents", "the decoder").to(self.conv.weight.dtype)
        return {"h": channels_last(self.conv(self.quant(latents / self.scale + self.shift)))}


class DecoderLevel(nn.Module):
    """Residual blocks, then twice the resolution except at the finest level: h -> h."""

    def __init__(self, config: VaeConfig, level: int) -> None:
        super().__init__()
        width, before = config.channels[level], config.channels[min(level + 1, len(config.channels) - 1)]
        widths = [before] + [width] * config.layers_per_block
        self.resnets = nn.ModuleList(resnet(config, w, width) for w in widths)
        self.up = Upsample(width) if level > 0 else nn.Identity()

    def forward(self, state: State) -> dict[str, Tensor]:
        h = need(state, "h", "the decoder")
        for block in self.resnets:
            h = block(h)
        return {"h": self.up(h)}


class DecoderOut(nn.Module):
    """h -> image in [0,1]."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.norm = GroupNorm(config.groups, config.channels[0], EPS)
        self.conv = Conv2d(config.channels[0], config.image_channels)

    def forward(self, state: State) -> dict[str, Tensor]:
        image = self.conv(F.silu(self.norm(need(state, "h", "the decoder"))))
        return {"image": image * 0.5 + 0.5}


def posterior(moments: Tensor) -> dict[str, Tensor]:
    """b 2z h w -> mean and logvar, each b z h w."""
    mean, logvar = moments.chunk(2, dim=1)
    return {"mean": mean, "logvar": logvar.clamp(*LOGVAR_RANGE)}


def resnet(config: VaeConfig, in_channels: int, out_channels: int) -> Resnet:
    """A residual block without time."""
    return Resnet(in_channels, out_channels, num_groups=config.groups, eps=EPS)


def round_up(size: int, factor: int) -> int:
    """The next multiple of `factor`."""
    return -(-size // factor) * factor
