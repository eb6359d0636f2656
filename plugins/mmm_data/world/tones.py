"""Digits as the dual tones of a telephone's keys, and back. Axes: b sounds, n samples."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mmm_data.world.config import RATE

LOW, HIGH = (697.0, 770.0, 852.0, 941.0), (1209.0, 1336.0, 1477.0)
"""Frequencies of the rows and columns of keys [Hz]. Source: ITU-T Q.23."""
KEYS = ((1, 2, 3), (4, 5, 6), (7, 8, 9), (-1, 0, -1))
"""Digits by row and column; -1 is a key without a digit."""
BLOCK = 205
"""Samples of a block: 26 ms, in which two neighbouring tones are told apart."""
TWIST = 0.1
"""How much of the energy of one tone the other one has at least: 10 dB less."""


class Ring(NamedTuple):
    """How a key sounds this time.

    Attributes:
        level: amplitude of the two tones together, in (0, 1].
        twist: how much louder the higher one is [dB].
        phases: of both [rad].
        noise: how far the noise is below the tones [dB].
    """

    level: float
    twist: float
    phases: tuple[float, float]
    noise: float


def dual_tone(digit: int, samples: int, ring: Ring, generator: torch.Generator) -> Tensor:
    """float32 [1,n] in [-1, 1] at 8000 Hz.

    Args:
        generator: of the noise.
    Source: ITU-T Q.23 and Q.24.
    """
    row, column = next((r, c) for r, keys in enumerate(KEYS) for c, key in enumerate(keys) if key == digit)
    turns = 2 * math.pi * torch.arange(samples, dtype=torch.float64) / RATE
    high = 10 ** (ring.twist / 20) / (1 + 10 ** (ring.twist / 20))
    x = (1 - high) * torch.sin(LOW[row] * turns + ring.phases[0])
    x = ring.level * (x + high * torch.sin(HIGH[column] * turns + ring.phases[1]))
    loudness = ring.level * math.sqrt(((1 - high) ** 2 + high**2) / 2)
    hiss = (
        torch.randn(samples, generator=generator, dtype=torch.float64) * loudness * 10 ** (-ring.noise / 20)
    )
    return (x + hiss).clamp(-1, 1).float()[None]


def heard_digits(sounds: Tensor, share: float) -> Tensor:
    """The digit that each sound [b,1,n] dials, or -1: [b].

    The strongest low and the strongest high frequency say it, if the two hold at least this share of the energy, and
    neither a tenth of the other's. Energies are those of blocks of 205 samples, as decoders of telephones take them.

    Source: Goertzel 1958, one coefficient of the Fourier transform for each frequency; ITU-T Q.24.
    """
    x = sounds[:, 0].double().cpu().unfold(1, BLOCK, BLOCK)  # b, blocks, n
    x = x - x.mean(2, keepdim=True)
    turns = 2 * math.pi * torch.arange(BLOCK, dtype=torch.float64) / RATE
    waves = torch.polar(
        torch.ones_like(turns), -torch.tensor((*LOW, *HIGH), dtype=torch.float64)[:, None] * turns
    )
    energy = (
        (x.to(waves.dtype) @ waves.mT).abs().square().sum(1) * 2 / BLOCK
    )  # b, frequencies; of a pure tone all
    low, high = energy[:, : len(LOW)].max(1), energy[:, len(LOW) :].max(1)
    found = torch.tensor(KEYS)[low.indices, high.indices]
    is_tone = low.values + high.values >= share * x.square().sum((1, 2)).clamp(min=1e-12)
    both = torch.minimum(low.values, high.values) >= TWIST * torch.maximum(low.values, high.values)
    return torch.where(is_tone & both, found, -1)
