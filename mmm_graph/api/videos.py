"""Videos as a caller gives them (frames, animated pictures, tensors) -> tensors `b f 3 h w` in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from mmm_graph.api.images import to_images
from mmm_graph.nn.media import is_film, read_frames


def to_videos(value: Any) -> Tensor:
    """A batch of videos.

    Args:
        value: the frames of one video as a list of paths or Pillow images of one size; an animated picture (GIF, WebP,
            PNG) or a film as a path; a tensor or array `f 3 h w` or `b f 3 h w` (whole numbers are taken as 0 to
            255), or `3 h w`, which is one frame; or a list of lists of frames, of videos of one length and size.

    Returns:
        float32 `b f 3 h w` in [0, 1].

    Raises:
        ValueError, OSError: not a video, values out of range, or sizes that differ.
    """
    if isinstance(value, str | Path):
        return to_images(read_frames(Path(value)), 3)[None]
    if isinstance(value, list | tuple) and value and all(map(_of_pictures, value)):
        return _stack([to_images(_still(video), 3) for video in value])
    if _of_pictures(value):
        return to_images(_still(value), 3)[None]
    found = to_images(value, 3)
    found = found[None] if found.dim() == 4 else found
    if found.dim() != 5 or found.shape[2] != 3 or not found.numel():
        raise ValueError(f"it takes b x f x 3 x h x w, found {_size(found.shape)}")
    return found


def _of_pictures(value: Any) -> bool:
    """A list of files and pictures, not of numbers."""
    return isinstance(value, list | tuple) and any(isinstance(v, str | Path | Image.Image) for v in value)


def _still(frames: Sequence[Any]) -> list[Any]:
    """The frames as given, none of which is a video itself."""
    for frame in frames:
        if not isinstance(frame, str | Path):
            continue
        hint = "a list of files is the frames of one video"
        if is_film(Path(frame)):
            raise ValueError(f"{frame} is a film itself; {hint}")
        with Image.open(frame) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise ValueError(f"{frame} has {image.n_frames} frames itself; {hint}")
    return list(frames)


def _stack(videos: Sequence[Tensor]) -> Tensor:
    shapes = sorted({tuple(video.shape) for video in videos})
    if len(shapes) > 1:
        said = " and ".join(map(_size, shapes))
        raise ValueError(f"videos of one batch have one length and size, found {said}")
    return torch.stack(list(videos))


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
