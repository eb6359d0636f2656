"""Files of pictures, animations and sound -> tensors: what callers give and what datasets hold is read alike."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from mmm_graph.nn.wav import read_wav

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
FILMS = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".ogv")
)
"""Endings of files that Pillow cannot read."""


def open_image(file: Path | IO[bytes], channels: int | None = None) -> Image.Image:
    """An image file, decoded; without `channels` it has 1 for grey files, 4 with transparency, else 3.

    Raises:
        ValueError, OSError: it cannot be read.
    """
    try:
        with Image.open(file) as image:
            found: Image.Image = image.convert(_mode(image, channels))
            return found
    except (
        SyntaxError,
        Image.DecompressionBombError,
    ) as error:  # what Pillow raises for broken and huge files
        raise ValueError(f"{file}: {error}") from error


def image_tensor(image: Image.Image, channels: int | None = None) -> Tensor:
    """A Pillow image as `c h w` in [0, 1]; `channels` as in `open_image`."""
    array = np.asarray(image.convert(_mode(image, channels)), dtype=np.float32) / 255
    return torch.from_numpy(array.copy()).reshape(*array.shape[:2], -1).permute(2, 0, 1).contiguous()


def read_image(path: Path, channels: int | None = None) -> Tensor:
    """An image file as `c h w` in [0, 1].

    Raises:
        ValueError, OSError: it cannot be read.
    """
    return image_tensor(open_image(path, channels), channels)


def _mode(image: Image.Image, channels: int | None) -> str:
    if channels in MODES:
        return MODES[channels]
    if image.has_transparency_data:
        return MODES[4]
    return image.mode if image.mode in MODES.values() else MODES[3]


def as_rgb(image: Tensor) -> Tensor:
    """An image `c h w` in [0, 1] with three channels: grey in all of them, and what is transparent laid on white.

    Raises:
        ValueError: it has neither 1 nor 3 nor 4 channels.
    """
    channels = image.shape[-3]
    if channels not in (1, 3, 4):
        raise ValueError(f"an image has 1, 3 or 4 channels, found {channels}")
    if channels == 4:
        return image[..., :3, :, :] * image[..., 3:, :, :] + 1 - image[..., 3:, :, :]
    return image.expand(*image.shape[:-3], 3, -1, -1)


def read_frames(path: Path) -> list[Image.Image]:
    """All frames of an animated picture or a film.

    Raises:
        ValueError, OSError: it cannot be read. RunError: E711, what reads films is not installed.
    """
    if is_film(path):
        from mmm_graph.nn.film import read_film

        return read_film(path)
    try:
        with Image.open(path) as image:
            return [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]
    except (SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: {error}") from error


def is_film(path: Path) -> bool:
    """By its ending."""
    return path.suffix.lower() in FILMS


def read_sound(path: Path, rate: int | None, channels: int | None = None) -> Tensor:
    """A WAV file as `c n` in [-1, 1].

    Raises:
        ValueError, OSError: it cannot be read, or has another rate.
    """
    samples, found = read_wav(path)
    if rate is None:
        raise ValueError(
            f"{path} has {found} Hz; write the type of the input with its rate: Audio[b,1,n]{{{found}}}"
        )
    if found != rate:
        hint = f"ffmpeg -i {path.name} -ar {rate} sound.wav resamples it"
        raise ValueError(f"{path} has {found} Hz, expected {rate} Hz; nothing is resampled here: {hint}")
    sound = torch.from_numpy(np.ascontiguousarray(samples))
    return sound.mean(0, keepdim=True) if channels == 1 else sound
