"""The parts of HiFi-GAN, without torch."""

from __future__ import annotations

from mmm_audioldm.hifigan.config import HifiGanConfig
from mmm_graph.nn.cost import Cost
from mmm_graph.registry import Part

EDGE = 7
"""Kernel of the first and the last convolution."""


def hifigan_parts(config: HifiGanConfig) -> tuple[Part, ...]:
    """First convolution, levels, last convolution."""
    last = len(config.rates) - 1
    head = conv(config.bins, config.width, EDGE, config.frames)
    tail = conv(config.channels(last), 1, EDGE, config.length(last))
    return (
        Part("head", ("mel",), ("h",), *head.fields, {"h": config.width * config.frames}),
        *(level_part(config, i) for i in range(last + 1)),
        Part("tail", ("h",), ("audio",), *tail.fields, {"audio": config.frames * config.hop}),
    )


def hifigan_path(config: HifiGanConfig, call: object = None) -> tuple[str, ...]:
    """All parts."""
    return ("head", *(f"level{i}" for i in range(len(config.rates))), "tail")


def level_part(config: HifiGanConfig, level: int) -> Part:
    """A transposed convolution and the residual blocks after it."""
    width, before, length = config.channels(level), config.channels(level - 1), config.length(level)
    weights = before * width * config.kernels[level]
    total = Cost(weights + width, 2.0 * weights * config.length(level - 1))
    for kernel, dilations in zip(config.block_kernels, config.dilations, strict=True):
        total += conv(width, width, kernel, length) * (2 * len(dilations))
    total = total.needs(4 * width * length)  # what comes in, the sum, a block's carried value and its step
    return Part(f"level{level}", ("h",), ("h",), *total.fields, {"h": width * length})


def conv(in_channels: int, out_channels: int, kernel: int, length: int) -> Cost:
    """nn.Conv1d that makes `length` samples."""
    weights = in_channels * out_channels * kernel
    return Cost(weights + out_channels, 2.0 * weights * length, out_channels * length)
