"""Videos -> clips of a few frames. Axes: m videos, f frames, c clips, r frames of all clips, h w of a frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_vision.video.config import ClipsConfig, StackConfig
from mmm_vision.video.frames import one_size, videos


def clips(video: Tensor | Sequence[Tensor], config: ClipsConfig) -> dict[str, Tensor]:
    """Frames of the clips of each video, clip after clip.

    Args:
        video: [m,f,3,h,w], or a list of such (or of [f,3,h,w]) of differing lengths.

    Returns:
        frames: [r,3,h,w]. rows: the video that each clip belongs to [c].

    Raises:
        RunError: E773, no video, or frames that differ in size.
    Source: Girdhar et al. 2023 (arXiv:2305.05665), appendix B.
    """
    found = [one[places(len(one), config).to(one.device)] for one in videos(video)]
    one_size(found)
    device = found[0].device
    rows = torch.arange(len(found), device=device).repeat_interleave(config.num_clips)
    return {"frames": torch.cat([one.to(device) for one in found]), "rows": rows}


def places(total: int, config: ClipsConfig) -> Tensor:
    """Numbers of the frames of all clips of a video of so many frames, clip after clip.

    Raises:
        RunError: E773, there are none.
    """
    if not total:
        raise RunError(problem("E773", "a video of 0 frames", hint="leave it out"))
    span = max(1, total // config.num_clips) if config.span is None else min(config.span, total)
    starts = torch.linspace(0, total - span, config.num_clips, dtype=torch.float64).floor().long()
    within = torch.linspace(0, span - 1, config.num_frames, dtype=torch.float64).floor().long()
    return (starts[:, None] + within).flatten()


def stack(frames: Tensor, config: StackConfig) -> Tensor:
    """Images [r,3,h,w] -> clips [c,f,3,h,w].

    Raises:
        RunError: E773, they are no whole number of clips.
    """
    if len(frames) % config.num_frames:
        message = f"{len(frames)} images are no whole number of clips of {config.num_frames} frames"
        raise RunError(problem("E773", message, hint="set the same num_frames in video.clips"))
    return frames.view(-1, config.num_frames, *frames.shape[1:])
