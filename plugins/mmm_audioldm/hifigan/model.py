"""HiFi-GAN's generator as a list of parts. Axes: b batch, f frames, m mel bins, c channels, n samples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_audioldm.hifigan.config import HifiGanConfig
from mmm_audioldm.hifigan.parts import EDGE, hifigan_path
from mmm_graph.errors import RunError, problem
from mmm_graph.nn.parts import State, need, run_parts

READER = "the vocoder"
LAST_SLOPE = 0.01


class HifiGan(nn.Module):
    """Log mel spectrograms [b,f,m] to sound [b,1,n] in [-1,1], n = f times the samples of a frame.

    Source: Kong et al. 2020 (arXiv:2010.05646), section 2.2; transformers 5, SpeechT5HifiGan.
    """

    def __init__(self, config: HifiGanConfig) -> None:
        super().__init__()
        self.path = hifigan_path(config)
        self.parts = nn.ModuleDict({"head": Head(config)})
        self.parts.update({f"level{i}": Level(config, i) for i in range(len(config.rates))})
        self.parts["tail"] = Tail(config)
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
                nn.init.normal_(layer.weight, std=0.01)

    def forward(self, mel: Tensor) -> Tensor:
        """[b,f,m] -> [b,1,n]."""
        return need(run_parts(self.parts, self.path, {"mel": mel}), "audio", READER)


class Head(nn.Module):
    """mel -> h [b,c,f]."""

    def __init__(self, config: HifiGanConfig) -> None:
        super().__init__()
        self.bins, self.normalise = config.bins, config.normalise
        self.conv = same(config.bins, config.width, EDGE)
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(config.bins))
        self.register_buffer("scale", torch.ones(config.bins))

    def forward(self, state: State) -> dict[str, Tensor]:
        mel = need(state, "mel", READER)
        if mel.shape[-1] != self.bins:
            message = f"a spectrogram of {mel.shape[-1]} mel bins; {READER} takes {self.bins}"
            raise RunError(problem("E772", message, hint=f"give it spectrograms of {self.bins} bins"))
        mel = mel.to(self.conv.weight.dtype)
        if self.normalise:
            mel = (mel - self.mean) / self.scale
        return {"h": self.conv(mel.mT)}


class Level(nn.Module):
    """h [b,c,n] -> h [b,c/2,n*rate]: more samples, then the mean of what the residual blocks make of them."""

    def __init__(self, config: HifiGanConfig, level: int) -> None:
        super().__init__()
        self.slope = config.slope
        rate, kernel, width = config.rates[level], config.kernels[level], config.channels(level)
        padding = (kernel - rate) // 2
        self.up = nn.ConvTranspose1d(config.channels(level - 1), width, kernel, rate, padding)
        kinds = zip(config.block_kernels, config.dilations, strict=True)
        self.blocks = nn.ModuleList(Block(width, size, steps, config.slope) for size, steps in kinds)

    def forward(self, state: State) -> dict[str, Tensor]:
        h = self.up(F.leaky_relu(need(state, "h", READER), self.slope))
        total = self.blocks[0](h)
        for block in self.blocks[1:]:
            total = total + block(h)
        return {"h": total / len(self.blocks)}


class Block(nn.Module):
    """Residual steps of two convolutions, the first one dilated: b c n -> b c n."""

    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...], slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.first = nn.ModuleList(same(width, width, kernel, dilation) for dilation in dilations)
        self.second = nn.ModuleList(same(width, width, kernel) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.first, self.second, strict=True):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, self.slope)), self.slope))
        return x


class Tail(nn.Module):
    """h -> audio [b,1,n], cut to whole frames.

    A level whose kernel exceeds its rate by an odd number makes a sample too many, which the levels after it multiply.
    """

    def __init__(self, config: HifiGanConfig) -> None:
        super().__init__()
        self.extra = config.length(len(config.rates) - 1) - config.frames * config.hop
        self.conv = same(config.channels(len(config.rates) - 1), 1, EDGE)

    def forward(self, state: State) -> dict[str, Tensor]:
        audio = self.conv(F.leaky_relu(need(state, "h", READER), LAST_SLOPE)).tanh()
        return {"audio": audio[..., : audio.shape[-1] - self.extra]}


def same(in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> nn.Conv1d:
    """A convolution that keeps the length."""
    padding = dilation * (kernel - 1) // 2
    return nn.Conv1d(in_channels, out_channels, kernel, padding=padding, dilation=dilation)
