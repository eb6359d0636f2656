"""Sounds -> clips. Axes: m sounds, n samples, c clips, s samples of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmm_audio.clips.config import ClipsConfig
from mmm_graph.errors import RunError, problem


def clips(audio: Tensor | Sequence[Tensor], config: ClipsConfig) -> dict[str, Any]:
    """Clips of each sound, one sound after the other.

    Args:
        audio: [m,1,n], or a list of such (or of [1,n]) of differing lengths.

    Returns:
        clips: a list of [1,1,s]. rows: the sound that each belongs to [c].

    Raises:
        RunError: E770, no sound, or one without samples.
    Source: Girdhar et al. 2023 (arXiv:2305.05665), appendix B.
    """
    batches = [audio] if isinstance(audio, Tensor) else audio
    sounds = [one for batch in batches for one in (batch if batch.dim() == 3 else [batch])]
    if not sounds or not all(one.shape[-1] for one in sounds):
        raise RunError(problem("E770", "there is no sound to listen to", hint="give at least one"))
    found = [
        one[None, :, start : start + config.samples]
        for one in sounds
        for start in starts(one.shape[-1], config)
    ]
    rows = torch.arange(len(sounds), device=sounds[0].device).repeat_interleave(config.num_clips)
    return {"clips": found, "rows": rows}


def starts(total: int, config: ClipsConfig) -> list[int]:
    """Where the clips of a sound of so many samples begin."""
    last = max(0, total - config.samples)
    return [last * i // max(1, config.num_clips - 1) for i in range(config.num_clips)]
