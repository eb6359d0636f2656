"""The frequencies of rotary positions, by the ways in which published models fit a longer context in."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mmm_graph.nn.rope_config import RopeConfig

Lengths = Tensor
"""Tokens of each text, [b,1] int64: some types have other frequencies for long ones."""


def frequencies(rope: RopeConfig, dim: int, max_length: int, lengths: Lengths) -> Tensor:
    """Radians that each pair of channels is turned by at each token: dim/2, or b dim/2 where texts differ in them.

    float32, rounded in the order in which trained models had them: far positions show the last digit.

    Args:
        dim: channels of a head.
        max_length: of the config, in tokens.
        lengths: of the texts; its device is that of the result.
    """
    return TYPES[rope.type](rope, dim, max_length, lengths)


def attention_factor(rope: RopeConfig, max_length: int) -> float:
    """What cosines and sines are multiplied by, so that attention is as sharp in a longer context.

    Source: Peng et al. 2023 (arXiv:2309.00071), section 3.4; Ding et al. 2024 (arXiv:2402.13753), section 4.2.
    """
    if rope.attention_factor is not None or rope.type not in ("yarn", "longrope"):
        return rope.attention_factor or 1.0
    assert rope.original is not None
    if rope.type == "longrope":
        ratio = rope.factor or max_length / rope.original
        return math.sqrt(1 + math.log(ratio) / math.log(rope.original)) if ratio > 1 else 1.0
    assert rope.factor is not None
    if rope.mscale and rope.mscale_all_dim:
        return _yarn_scale(rope.factor, rope.mscale) / _yarn_scale(rope.factor, rope.mscale_all_dim)
    return _yarn_scale(rope.factor, 1.0)


def depends_on_length(rope: RopeConfig) -> bool:
    """Whether long texts have other frequencies than short ones."""
    return rope.type in ("dynamic", "longrope")


def _yarn_scale(factor: float, slope: float) -> float:
    return 0.1 * slope * math.log(factor) + 1.0 if factor > 1 else 1.0


def _plain(rope: RopeConfig, dim: int, max_length: int, lengths: Lengths) -> Tensor:
    """Source: Su et al. 2021 (arXiv:2104.09864), eq. 15."""
    return 1.0 / (rope.theta ** _exponents(dim, lengths))


def _linear(rope: RopeConfig, dim: int, max_length: int, lengths: Lengths) -> Tensor:
    """Source: Chen et al. 2023 (arXiv:2306.15595), eq. 4."""
    assert rope.factor is not None
    return _plain(rope, dim, max_length, lengths) / rope.factor


def _dynamic(rope: RopeConfig, dim: int, max_length: int, lengths: Lengths) -> Tensor:
    """A longer period for a longer text. Source: Peng et al. 2023 (arXiv:2309.00071), section 3.3 and appendix B.1."""
    assert rope.factor is not None
    ratio = rope.factor * lengths.clamp(min=max_length) / max_length - (rope.factor - 1)
    theta = rope.theta * ratio ** (dim / (dim - 2))  # b 1
    return 1.0 / (theta ** _exponents(dim, lengths))


def _yarn(rope: RopeConfig, dim: int, max_length: int, lengths: Lengths) -> Tensor:
    """Fast frequencies stay, slow ones are divided, those between are mixed.

    Source: Peng et al. 2023 (arXiv:2309.00071), eq. 18 to 20.
    """
    assert rope.factor is not None and rope.original is not None

    def place(turns: float) -> float:
        """Of the frequency, counted from the fastest, that turns so often within the original context."""
        assert rope.original is not None
        return dim * math.log(rope.original / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = place(rope.beta_fast), place(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    index = torch.arange(dim // 2, dtype=torch.float32, device=lengths.device)
    slow = ((index - low) / (high - low if high != low else 0.001)).clamp(0, 1)
    period = rope.theta ** _exponents(dim, lengths)
    keep = 1 - slow
    return 1.0 / (rope.factor * period) * (1 - keep) + 1.0 / period * keep


def _llama3(rope: RopeConfig, dim: int, max_length: int, lengths: Lengths) -> Tensor:
    """As yarn, mixed by how many wavelengths the original context holds.

    Source: github.com/meta-llama/llama-models, models/llama3/model.py, apply_scaling.
    """
    assert rope.factor is not None and rope.original is not None
    assert rope.low_freq_factor is not None and rope.high_freq_factor is not None
    plain = _plain(rope, dim, max_length, lengths)
    wavelength = 2 * math.pi / plain
    is_slow = wavelength > rope.original / rope.low_freq_factor
    is_fast = wavelength < rope.original / rope.high_freq_factor
    mix = (rope.original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    mixed = (1 - mix) * plain / rope.factor + mix * plain
    return torch.where(is_slow, plain / rope.factor, torch.where(is_fast, plain, mixed))


def _longrope(rope: RopeConfig, dim: int, max_length: int, lengths: Lengths) -> Tensor:
    """A divisor of its own for each frequency, searched for. Source: Ding et al. 2024 (arXiv:2402.13753), eq. 2."""
    short, long = (
        torch.tensor(found, dtype=torch.float32, device=lengths.device)
        for found in (rope.short_factor, rope.long_factor)
    )
    period = rope.theta ** _exponents(dim, lengths)
    return torch.where(lengths > (rope.original or 0), 1.0 / (long * period), 1.0 / (short * period))


def _exponents(dim: int, lengths: Lengths) -> Tensor:
    return torch.arange(0, dim, 2, device=lengths.device).float() / dim


TYPES: dict[str, Callable[[RopeConfig, int, int, Lengths], Tensor]] = {
    "default": _plain,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "llama3": _llama3,
    "longrope": _longrope,
}
