"""Conversations as a caller gives them -> messages made of segments, with their pictures and sounds as tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmm_graph.api.images import to_images
from mmm_graph.spec.chat import Conversation, read_chats


def to_chats(value: Any) -> list[Conversation]:
    """A batch of conversations.

    Args:
        value: as `read_chats` takes it. An image is a path, a Pillow image, or a tensor or array `3 h w` in [0, 1]
            (whole numbers: 0 to 255); audio a tensor or array `c n` or `n` in [-1, 1]; a video a list of images of one
            size, or a tensor or array `f 3 h w`.

    Returns:
        Lists of messages; their media are float32 tensors `3 h w`, `c n` and `f 3 h w`.

    Raises:
        ValueError: which conversation, message and segment is not as it should be.
    """
    return read_chats(value, _LOADERS)


def _image(value: Any) -> Tensor:
    found = to_images(value, 3)
    if found.dim() != 4 or found.shape[0] != 1 or found.shape[1] != 3:
        raise ValueError(f"it takes one image, 3 x height x width, found {_shape(found)}")
    return found[0]


def _video(value: Any) -> Tensor:
    found = to_images(value, 3)
    if found.dim() != 4 or found.shape[1] != 3:
        raise ValueError(f"it takes frames x 3 x height x width, found {_shape(found)}")
    return found


def _audio(value: Any) -> Tensor:
    if isinstance(value, str | Path):
        raise ValueError("files of sound are not read; give the samples, -1 to 1, as a tensor or array")
    found = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    found = found[None] if found.dim() == 1 else found
    if not found.is_floating_point() or found.dim() != 2 or not found.numel():
        raise ValueError(f"it takes channels x samples from -1 to 1, found {found.dtype} {_shape(found)}")
    if not bool((found.abs() <= 1).all()):
        raise ValueError(f"samples are from -1 to 1, found up to {float(found.abs().max()):g}")
    return found.float()


def _shape(x: Tensor) -> str:
    return " x ".join(map(str, x.shape))


_LOADERS: Mapping[str, Callable[[Any], Tensor]] = {"image": _image, "audio": _audio, "video": _video}
