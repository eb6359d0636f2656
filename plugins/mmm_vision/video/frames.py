"""Videos -> frames -> videos. Axes: m videos, f frames, c h w of a frame, r frames of all videos, l tokens, d width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_vision.video.config import FramesConfig, PoolFramesConfig


def frames(video: Tensor | Sequence[Tensor], config: FramesConfig) -> dict[str, Tensor]:
    """Evenly spaced frames of each video, one video after the other.

    Args:
        video: [m,f,c,h,w], or a list of such (or of [f,c,h,w]) of differing lengths.

    Returns:
        frames: [r,c,h,w]. rows: the video that each belongs to [r].

    Raises:
        RunError: E773, no video, one with fewer frames than are asked for, or frames that differ in size.
    Source: transformers 5, video_utils, default_sample_indices_fn.
    """
    found = [one[sampled(len(one), config.num_frames).to(one.device)] for one in videos(video)]
    one_size(found)
    device = found[0].device
    counts = torch.tensor([len(one) for one in found], device=device)
    rows = torch.arange(len(found), device=device).repeat_interleave(counts)
    return {"frames": torch.cat([one.to(device) for one in found]), "rows": rows}


def one_size(found: Sequence[Tensor]) -> None:
    """Frames of all videos have one size, and there is a video.

    Raises:
        RunError: E773, they have not, or there is none.
    """
    if not found:
        raise RunError(problem("E773", "there is no video to look at", hint="give at least one"))
    sizes = sorted({tuple(one.shape[1:]) for one in found})
    if len(sizes) > 1:
        said = " and ".join(f"{height} x {width} px" for _, height, width in sizes[:4])
        hint = "bring videos to one size first, or give them one by one"
        raise RunError(problem("E773", f"videos of one batch differ in size: {said}", hint=hint))


def videos(video: Tensor | Sequence[Tensor]) -> Iterator[Tensor]:
    """Every video [f,c,h,w]."""
    for batch in [video] if isinstance(video, Tensor) else video:
        yield from batch if batch.dim() == 5 else [batch]


def sampled(total: int, count: int | None) -> Tensor:
    """Numbers of `count` of `total` frames, evenly spaced from the first on.

    Raises:
        RunError: E773, there are not so many, or none.
    """
    count = total if count is None else count
    if not 0 < count <= total:
        message = f"a video of {total} frames, of which {count} are asked for"
        raise RunError(
            problem("E773", message, hint="video.frames: set num_frames to as many as there are, or less")
        )
    return torch.arange(count) * total // count


def pool_frames(embeds: Tensor, rows: Tensor, config: PoolFramesConfig) -> Tensor:
    """Tokens of frames [r,l,d] -> of videos: their mean [m,l,d], or all of them in order of time [m,f*l,d].

    Args:
        rows: [r], the video of each frame, 0 to m-1, in ascending order.

    Raises:
        RunError: E774, as of `counted`; or for concat, a video of another number of frames than `num_frames`.
    Source: Maaz et al. 2023 (arXiv:2306.05424), section 3.1, pools over time; Zhang et al. 2024, LLaVA-NeXT-Video,
        puts frames one after the other.
    """
    counts = counted(embeds, rows)
    if config.mode == "mean":
        return means(embeds, rows, counts)
    wrong = [(i, n) for i, n in enumerate(counts.tolist()) if n != config.num_frames]
    if wrong:
        number, count = wrong[0]
        message = f"video {number} has {count} frames, but num_frames is {config.num_frames}"
        raise RunError(problem("E774", message, hint="set the same num_frames in video.frames"))
    return embeds.reshape(len(counts), -1, embeds.shape[-1])


def mean_frames(embeds: Tensor, rows: Tensor) -> Tensor:
    """Vectors of frames [r,d] -> their mean over each video [m,d].

    Args:
        rows: as of `pool_frames`.

    Raises:
        RunError: E774, as of `counted`.
    Source: Luo et al. 2021 (arXiv:2104.08860), section 3.3, parameter-free.
    """
    return means(embeds, rows, counted(embeds, rows))


def means(embeds: Tensor, rows: Tensor, counts: Tensor) -> Tensor:
    """The mean over the rows of each owner, added up in float32 or what is wider."""
    wide = embeds.float() if embeds.dtype.itemsize < 4 else embeds
    sums = wide.new_zeros(len(counts), *embeds.shape[1:]).index_add(0, rows.to(embeds.device), wide)
    return (sums / counts.to(embeds.device).view(-1, *[1] * (embeds.dim() - 1))).to(embeds.dtype)


def counted(embeds: Tensor, rows: Tensor) -> Tensor:
    """Frames of each video [m].

    Raises:
        RunError: E774, not one row for each frame; rows that do not ascend; a video without frames.
    """
    if len(rows) != len(embeds) or not len(rows):
        message = f"embeds of {len(embeds)} frames, but rows of {len(rows)}"
        raise RunError(
            problem("E774", message, hint="link the rows of the video.frames that the frames come from")
        )
    if bool((rows.diff() < 0).any()):
        raise RunError(problem("E774", "the frames of the videos are not in order: their rows do not ascend"))
    counts = torch.bincount(rows)
    if not bool(counts.all()):
        raise RunError(problem("E774", f"video {int(counts.argmin())} of {len(counts)} has no frame"))
    return counts
