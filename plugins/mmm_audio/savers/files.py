"""Sounds [b,c,n] in [-1,1] -> WAV files of 16 bits, whole or not at all, with metadata inside."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from mmm_audio.savers.options import SoundOptions
from mmm_graph.nn.output_files import numbered, read_options, write_whole

PCM, BITS = 1, 16
RATE_IN_TYPE = '; or write the rate into the type: "Audio[b,1,n]{16000}"'


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
    rate, files = read_options(options, SoundOptions, RATE_IN_TYPE).rate, numbered(path, ".wav", len(value))
    for file, sound in zip(files, value, strict=True):
        write_whole(file, partial(_write, encode(sound, rate, metadata)))
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


def _write(content: bytes, file: IO[bytes]) -> None:
    file.write(content)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
