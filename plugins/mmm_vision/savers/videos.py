"""Videos [b,f,c,h,w] in [0,1] -> gif, webp or mp4 files, whole or not at all, with metadata inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.film import write_film
from mmm_graph.nn.output_files import numbered, read_options, write_whole
from mmm_vision.savers.files import to_pillow
from mmm_vision.savers.options import VideoOptions

DESCRIPTION = 0x010E
"""EXIF's ImageDescription, which is ASCII."""

Write = Callable[[list[Image.Image], VideoOptions, str, IO[bytes]], None]
"""Frames, options and the metadata as JSON, written to a file."""


def save_gif(
    value: Tensor, path: Path, options: Mapping[str, Any], metadata: Mapping[str, str]
) -> list[Path]:
    """Write `path`.gif, or `path`-0.gif ... for a batch; metadata is one JSON object in the comment.

    Args:
        value: [b,f,c,h,w] in [0,1], c = 1, 3 or 4.
        path: file name without its ending; the folder is made.
        options: see VideoOptions; `format` is passed over.
        metadata: texts by name.
    Returns:
        The files, in the order of the batch.
    Raises:
        InputError: E310, an option is unknown or out of range.
    """
    return _save(value, path, ".gif", options, metadata, _gif)


def save_webp(
    value: Tensor, path: Path, options: Mapping[str, Any], metadata: Mapping[str, str]
) -> list[Path]:
    """Like save_gif, in true colour; metadata is one JSON object in EXIF's ImageDescription."""
    return _save(value, path, ".webp", options, metadata, _webp)


def save_mp4(
    value: Tensor, path: Path, options: Mapping[str, Any], metadata: Mapping[str, str]
) -> list[Path]:
    """Like save_gif, as H.264; metadata is one JSON object in the comment.

    Raises:
        RunError: E786, a side is odd. E711, PyAV is not installed.
    """
    height, width = value.shape[-2:]
    if (height % 2 or width % 2) and read_options(options, VideoOptions).scale % 2:
        message = f"frames of {height} x {width} cannot be an mp4, whose sides are even"
        raise RunError(problem("E786", message, hint="save: {format: webp}, or with scale: 2"))
    return _save(value, path, ".mp4", options, metadata, _mp4)


def _save(
    value: Tensor,
    path: Path,
    suffix: str,
    options: Mapping[str, Any],
    metadata: Mapping[str, str],
    write: Write,
) -> list[Path]:
    chosen = read_options(options, VideoOptions)
    about = json.dumps(dict(metadata), sort_keys=True)
    files = numbered(path, suffix, len(value))
    for file, video in zip(files, value, strict=True):
        frames = [to_pillow(_enlarged(frame, chosen.scale)) for frame in video]
        write_whole(file, partial(write, frames, chosen, about))
    return files


def _enlarged(frame: Tensor, scale: int) -> Tensor:
    return frame.repeat_interleave(scale, 1).repeat_interleave(scale, 2) if scale > 1 else frame


def _gif(frames: list[Image.Image], options: VideoOptions, about: str, file: IO[bytes]) -> None:
    first, *rest = frames
    time = round(1000 / options.fps)
    first.save(file, "GIF", save_all=True, append_images=rest, duration=time, loop=0, comment=about.encode())


def _webp(frames: list[Image.Image], options: VideoOptions, about: str, file: IO[bytes]) -> None:
    first, *rest = frames
    exif = Image.Exif()
    exif[DESCRIPTION] = about
    time, lossless = round(1000 / options.fps), options.quality == 100
    more = {"duration": time, "loop": 0, "quality": options.quality, "lossless": lossless, "exif": exif}
    first.save(file, "WEBP", save_all=True, append_images=rest, **more)


def _mp4(frames: list[Image.Image], options: VideoOptions, about: str, file: IO[bytes]) -> None:
    write_film(file, [np.asarray(frame.convert("RGB")) for frame in frames], options.fps, about)
