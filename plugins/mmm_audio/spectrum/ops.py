"""Sounds to spectrograms and back. Axes: b sounds, n samples, f frames, k bins of the band."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmm_audio.spectrum.config import SoundConfig, SpectrumConfig
from mmm_graph.errors import RunError, problem

STEADY = 0.99
"""Momentum of the search for phases. Source: Perraudin, Balazs and Soendergaard 2013."""


def to_spectrum(audio: Tensor, config: SpectrumConfig) -> Tensor:
    """[b,1,n] -> loudness of a band [b,1,f,k], -1 at the floor and 1 for a tone of amplitude 1; f = n / hop.

    Raises:
        RunError: E787, the hop does not divide the length.
    """
    length = audio.shape[-1]
    if length % config.hop or length < config.window:
        what = f"audio.to_spectrum: a sound of {length} samples is no multiple of the hop {config.hop}"
        what = what if length >= config.window else f"{what}, and shorter than a window of {config.window}"
        raise RunError(problem("E787", what, hint="cut or pad the sound, or set another hop"))
    loud = _analysed(audio[:, 0].float(), config).abs()[:, config.low : config.low + config.bins, :-1]
    decibels = 20 * (loud / _full(config, audio.device)).clamp(min=1e-10).log10()
    scaled = 1 + 2 * decibels / config.floor_db
    return scaled.clamp(-1, 1).transpose(1, 2)[:, None].to(audio.dtype)


def from_spectrum(latents: Tensor, config: SoundConfig) -> Tensor:
    """[b,1,f,k] -> a sound whose band is as loud, and which is silent elsewhere: [b,1,n] in [-1, 1], n = f hop.

    Phases are searched for from the same random ones for each sound.

    Source: Griffin and Lim 1984; with momentum, Perraudin, Balazs and Soendergaard 2013 (fast Griffin-Lim).
    """
    x = latents[:, 0].float().transpose(1, 2)
    loud = 10 ** ((x.clamp(-1, 1) - 1) / 2 * config.floor_db / 20) * _full(config, x.device)
    loud = torch.where(x <= -1, 0.0, loud)
    above = config.window // 2 + 1 - config.low - config.bins
    target = F.pad(loud, (0, 1, config.low, above))  # the frame after the last one is silent
    generator = torch.Generator().manual_seed(0)
    turns = torch.rand(target.shape[1:], generator=generator).to(x.device)
    phases = torch.polar(torch.ones_like(turns), 2 * torch.pi * turns).expand(target.shape)
    before = torch.zeros_like(phases)
    length = x.shape[-1] * config.hop
    for _ in range(config.rounds):
        found = _analysed(_heard(target * phases, config, length), config)
        moved = found + STEADY * (found - before)
        phases, before = moved / moved.abs().clamp(min=1e-9), found
    return _heard(target * phases, config, length).clamp(-1, 1)[:, None].to(latents.dtype)


def _analysed(sound: Tensor, config: SpectrumConfig) -> Tensor:
    """[b,n] -> [b,bins,n/hop + 1], complex."""
    window = torch.hann_window(config.window, device=sound.device)
    return torch.stft(
        sound, config.window, config.hop, window=window, return_complex=True, pad_mode="constant"
    )


def _heard(spectrum: Tensor, config: SpectrumConfig, length: int) -> Tensor:
    window = torch.hann_window(config.window, device=spectrum.device)
    return torch.istft(spectrum, config.window, config.hop, window=window, length=length)


def _full(config: SpectrumConfig, device: torch.device) -> Tensor:
    """What a tone of amplitude 1 gives in its bin."""
    return torch.hann_window(config.window, device=device).sum() / 2
