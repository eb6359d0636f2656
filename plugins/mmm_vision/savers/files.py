"""Images [b,c,h,w] in [0,1] -> png or jpg files, whole or not at all, with metadata inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, TypeVar

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import ValidationError
from torch import Tensor

from mmm_graph.config import Config
from mmm_graph.errors import InputError, problem
from mmm_vision.image.grid import grid
from mmm_vision.savers.options import ImageOptions

Options = TypeVar("Options", bound=Config)
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
    width = len(str(max(0, len(images) - 1)))
    files = []
    for i, image in enumerate(images):
        name = path.name if len(images) == 1 else f"{path.name}-{i:0{width}d}"
        files.append(path.with_name(name + suffix))
        write_whole(files[-1], partial(write, to_pillow(image)))
    return files


def to_pillow(image: Tensor) -> Image.Image:
    """[c,h,w] in [0,1] -> 8 bit, rounded to nearest; what lies outside is cut off."""
    pixels = (image.detach().float().cpu().clamp(0.0, 1.0) * 255.0).round().byte().numpy()
    mode = MODES[pixels.shape[0]]
    return Image.fromarray(pixels[0] if mode == "L" else pixels.transpose(1, 2, 0), mode)


def write_whole(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write beside the target and rename: whoever looks sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        unfinished = Path(file.name)
        try:
            write(file)
            file.flush()
            unfinished.chmod(0o644)
            unfinished.replace(path)
        except BaseException:  # Ctrl-C too: no half-written file stays
            unfinished.unlink(missing_ok=True)
            raise


def read_options(options: Mapping[str, Any], kind: type[Options]) -> Options:
    """What stands beside `format:` under `save:`.

    Raises:
        InputError: E310, an option is unknown or out of range.
    """
    try:
        return kind.model_validate({k: v for k, v in options.items() if k != "format"})
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        known = ", ".join(kind.model_fields)
        raise InputError(
            problem("E310", f"save options: {found}", hint=f"options are format, {known}")
        ) from error
