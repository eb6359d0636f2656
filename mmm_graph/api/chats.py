"""Conversations as a caller gives them -> messages made of segments, with their pictures and sounds as tensors."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmm_graph.api.images import to_images
from mmm_graph.api.videos import to_videos
from mmm_graph.nn.media import as_rgb, read_sound
from mmm_graph.spec.chat import Conversation, read_chats


def to_chats(value: Any, rate: int | None = None) -> list[Conversation]:
    """A batch of conversations.

    Args:
        value: as `read_chats` takes it. An image is a path, a Pillow image, or a tensor or array `3 h w` in [0, 1]
            (whole numbers: 0 to 255); what is transparent in files is laid on white. Audio is a WAV file, whose
            channels are mixed, or a tensor or array `c n` or `n` in [-1, 1]. A video is an animated picture or a film
            as a path, a list of images of one size, or a tensor or array `f 3 h w`.
        rate: that files of sound must have [Hz]; None: none is known, and they are refused.

    Returns:
        Lists of messages; their media are float32 tensors `3 h w`, `c n` and `f 3 h w`.

    Raises:
        ValueError: which conversation, message and segment is not as it should be.
    """
    return read_chats(value, {"image": _image, "audio": partial(_audio, rate), "video": _video})


def _image(value: Any) -> Tensor:
    if isinstance(value, str | Path | Image.Image):
        return as_rgb(to_images(value))[0]
    found = to_images(value, 3)
    if found.dim() != 4 or found.shape[0] != 1 or found.shape[1] != 3:
        raise ValueError(f"it takes one image, 3 x height x width, found {_shape(found)}")
    return found[0]


def _video(value: Any) -> Tensor:
    if isinstance(value, str | Path):
        return to_videos(value)[0]
    found = to_images(value, 3)
    if found.dim() != 4 or found.shape[1] != 3:
        raise ValueError(f"it takes frames x 3 x height x width, found {_shape(found)}")
    return found


def _audio(rate: int | None, value: Any) -> Tensor:
    if isinstance(value, str | Path) and rate is None:
        hint = 'write the type of the input with its rate, "Chat[b]{16000}", or give the samples as an array'
        raise ValueError(f"of files of sound the graph does not say the rate; {hint}")
    if isinstance(value, str | Path):
        return read_sound(Path(value), rate, 1)
    found = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    found = found[None] if found.dim() == 1 else found
    if not found.is_floating_point() or found.dim() != 2 or not found.numel():
        raise ValueError(f"it takes channels x samples from -1 to 1, found {found.dtype} {_shape(found)}")
    if not bool((found.abs() <= 1).all()):
        raise ValueError(f"samples are from -1 to 1, found up to {float(found.abs().max()):g}")
    return found.float()


def _shape(x: Tensor) -> str:
    return " x ".join(map(str, x.shape))
