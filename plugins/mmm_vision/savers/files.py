"""Images [b,c,h,w] in [0,1] -> png or jpg files, whole or not at all, with metadata inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from mmm_graph.nn.output_files import numbered, read_options, write_whole
from mmm_vision.image.grid import grid
from mmm_vision.savers.options import ImageOptions

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def save_png(
    value: Tensor, path: Path, options: Mapping[str, Any], metadata: Mapping[str, str]
) -> list[Path]:
    """Write `path`.png, or `path`-0.png ... for a batch; each metadata item is an iTXt chunk.

    Args:
        value: [b,c,h,w] in [0,1], c = 1, 3 or 4.
        path: file name without its ending; the folder is made.
        options: see ImageOptions; `format` is passed over.
        metadata: texts by name (Latin-1 names of at most 79 letters, as PNG asks).
    Returns:
        The files, in the order of the batch.
    Raises:
        InputError: an option is unknown or out of range.
    """
    info = PngInfo()
    for key, text in metadata.items():
        info.add_itxt(key, text)
    return _save(
        value,
        path,
        ".png",
        read_options(options, ImageOptions),
        lambda image, file: image.save(file, "PNG", pnginfo=info),
    )


def save_jpg(
    value: Tensor, path: Path, options: Mapping[str, Any], metadata: Mapping[str, str]
) -> list[Path]:
    """Like save_png, without alpha; metadata is one JSON object in the comment (at most 65,533 bytes)."""
    chosen = read_options(options, ImageOptions)
    comment = json.dumps(dict(metadata), sort_keys=True).encode()
    return _save(
        value[:, :3], path, ".jpg", chosen,
        lambda image, file: image.save(file, "JPEG", quality=chosen.quality, comment=comment),
    )  # fmt: skip


def _save(
    value: Tensor,
    path: Path,
    suffix: str,
    options: ImageOptions,
    write: Callable[[Image.Image, IO[bytes]], None],
) -> list[Path]:
    images = grid(value, options.sheet()) if options.grid else value.detach()
    if not options.grid and options.scale > 1:
        images = images.repeat_interleave(options.scale, 2).repeat_interleave(options.scale, 3)
    files = numbered(path, suffix, len(images))
    for file, image in zip(files, images, strict=True):
        write_whole(file, partial(write, to_pillow(image)))
    return files


def to_pillow(image: Tensor) -> Image.Image:
    """[c,h,w] in [0,1] -> 8 bit, rounded to nearest; what lies outside is cut off."""
    pixels = (image.detach().float().cpu().clamp(0.0, 1.0) * 255.0).round().byte().numpy()
    mode = MODES[pixels.shape[0]]
    return Image.fromarray(pixels[0] if mode == "L" else pixels.transpose(1, 2, 0), mode)
