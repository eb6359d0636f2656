"""Sounds as a caller gives them (files, arrays, tensors) -> tensors `b c n` in [-1, 1]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmm_graph.nn.media import read_sound


def to_sounds(value: Any, rate: int | None = None, channels: int | None = None) -> Tensor:
    """A batch of sounds.

    Args:
        value: a WAV file, fractions `n`, `c n` or `b c n` in [-1, 1] as a tensor or array, or a list of files of one
            length.
        rate: that files must have [Hz]; None: none is known, and files are refused.
        channels: 1: the channels of files are mixed, each alike; None: they stay.

    Returns:
        float32 `b c n` in [-1, 1].

    Raises:
        ValueError, OSError: not a sound, of another rate, values out of range, or lengths that differ.
    """
    if isinstance(value, str | Path):
        return read_sound(Path(value), rate, channels)[None]
    if isinstance(value, list | tuple) and value and all(isinstance(v, str | Path) for v in value):
        found = [read_sound(Path(v), rate, channels) for v in value]
        shapes = sorted({tuple(one.shape) for one in found})
        if len(shapes) > 1:
            said = " and ".join(f"{c} x {n}" for c, n in shapes)
            raise ValueError(f"sounds of one batch have one length, found channels x samples {said}")
        return torch.stack(found)
    sound = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    if not sound.is_floating_point() or not 1 <= sound.dim() <= 3 or not sound.numel():
        message = f"it takes a WAV file, or samples from -1 to 1 as b x c x n, found {sound.dtype}"
        raise ValueError(f"{message} {' x '.join(map(str, sound.shape))}")
    if not bool((sound.abs() <= 1).all()):
        raise ValueError(f"samples are from -1 to 1, found up to {float(sound.abs().max()):g}")
    return sound.float().reshape((1,) * (3 - sound.dim()) + tuple(sound.shape))
