"""Sounds [b,c,n] in [-1,1] -> WAV files of 16 bits, whole or not at all, with metadata inside."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from mmm_audio.savers.options import SoundOptions
from mmm_graph.errors import InputError, problem

PCM, BITS = 1, 16


def save_wav(
    value: Tensor, path: Path, options: Mapping[str, Any], metadata: Mapping[str, str]
) -> list[Path]:
    """Write `path`.wav, or `path`-0.wav ... for a batch; metadata is one JSON object in the comment.

    Args:
        value: [b,c,n] in [-1,1]; what lies outside is cut off.
        path: file name without its ending; the folder is made.
        options: see SoundOptions; `format` is passed over.
        metadata: texts by name.
    Returns:
        The files, in the order of the batch.
    Raises:
        InputError: E310, an option is unknown or out of range, or nobody says the rate.
    """
    rate, width = _options(options).rate, len(str(max(0, len(value) - 1)))
    files = []
    for i, sound in enumerate(value):
        name = path.name if len(value) == 1 else f"{path.name}-{i:0{width}d}"
        files.append(path.with_name(f"{name}.wav"))
        write_whole(files[-1], encode(sound, rate, metadata))
    return files


def encode(sound: Tensor, rate: int, metadata: Mapping[str, str]) -> bytes:
    """The content of a file of the sound [c,n].

    Source: IBM and Microsoft 1991, Multimedia Programming Interface and Data Specifications 1.0, WAVE and LIST.
    """
    scaled = (sound.detach().float().cpu() * 2.0 ** (BITS - 1)).round()
    samples = scaled.clamp(-(2 ** (BITS - 1)), 2 ** (BITS - 1) - 1).numpy().astype("<i2")
    frame = len(samples) * BITS // 8
    form = struct.pack("<HHIIHH", PCM, len(samples), rate, rate * frame, frame, BITS)
    comment = json.dumps(dict(metadata), sort_keys=True).encode() + b"\0"
    told = _chunk(b"LIST", b"INFO" + _chunk(b"ICMT", comment)) if metadata else b""
    body = b"WAVE" + _chunk(b"fmt ", form) + told + _chunk(b"data", samples.T.tobytes())
    return _chunk(b"RIFF", body)


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the target and rename: whoever looks sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        partial = Path(file.name)
        try:
            file.write(content)
            file.flush()
            partial.chmod(0o644)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)  # it is there only where the renaming did not come about


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _options(options: Mapping[str, Any]) -> SoundOptions:
    try:
        return SoundOptions.model_validate({k: v for k, v in options.items() if k != "format"})
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        hint = 'options are format, rate; or write the rate into the type: "Audio[b,1,n]{16000}"'
        raise InputError(problem("E310", f"save options: {found}", hint=hint)) from error
