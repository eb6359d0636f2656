"""WAV files -> samples in [-1, 1]: whole numbers of 8, 16, 24 and 32 bits, fractions of 32 and 64."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PCM, FRACTIONS, EXTENSIBLE = 1, 3, 0xFFFE
"""Format codes; an extensible one says at the end which of the others it is."""
TO_WAV = "ffmpeg -i SOUND -c:a pcm_s16le sound.wav makes one"


def read_wav(path: Path) -> tuple[NDArray[np.float32], int]:
    """Samples [c,n] and the rate [Hz].

    Raises:
        OSError: it cannot be read.
        ValueError: it is no WAV file, is cut off, or holds samples of another form.
    Source: IBM and Microsoft 1991, Multimedia Programming Interface and Data Specifications 1.0, WAVE.
    """
    content = path.read_bytes()
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ValueError(f"{path} is not a WAV file; {TO_WAV}")
    form: tuple[int, int, int, int] | None = None
    for name, body in _chunks(path, content):
        if name == b"fmt ":
            form = _form(path, body)
        elif name == b"data" and form is not None:
            code, channels, bits, rate = form
            samples = _samples(path, body, code, bits)
            if not len(samples) or len(samples) % channels:
                raise ValueError(f"{path} holds {len(samples)} samples for {channels} channels")
            return samples.reshape(-1, channels).T, rate
    raise ValueError(f"{path} has no {'samples' if form else 'format'} in it; is it cut off?")


def read_wav_comment(path: Path) -> str:
    """The comment (ICMT) of a WAV file; "" = it has none.

    Raises:
        OSError, ValueError: as of read_wav, but for its samples.
    """
    content = path.read_bytes()
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ValueError(f"{path} is not a WAV file")
    for name, body in _chunks(path, content):
        if name == b"LIST" and body[:4] == b"INFO":
            for key, text in _chunks(path, b"RIFF0000" + body):
                if key == b"ICMT":
                    return text.rstrip(b"\0").decode("utf-8")
    return ""


def _chunks(path: Path, content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and bodies; each begins at an even place. A program that wrote to a pipe did not know the last length."""
    at = 12
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        body = content[at + 8 : at + 8 + size]
        if len(body) < size and size < 0xFFFFFF00 and name in (b"fmt ", b"data"):
            raise ValueError(
                f"{path} is cut off: {size} bytes of {name.decode()!r} are said, {len(body)} are there"
            )
        yield name, body
        at += 8 + size + size % 2


def _form(path: Path, body: bytes) -> tuple[int, int, int, int]:
    """(code, channels, bits, rate)."""
    if len(body) < 16:
        raise ValueError(f"{path} says its format in {len(body)} bytes; expected 16 or more")
    code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if code == EXTENSIBLE and len(body) >= 26:
        code = struct.unpack_from("<H", body, 24)[0]
    known = bits in (8, 16, 24, 32) if code == PCM else bits in (32, 64) if code == FRACTIONS else False
    if not known:
        message = f"{path} holds samples of format {code} with {bits} bits; read are 8, 16, 24 and 32 bits (format 1)"
        raise ValueError(f"{message} and fractions of 32 and 64 bits (format 3); {TO_WAV}")
    if not channels or not rate:
        raise ValueError(f"{path} says that it has {channels} channels and {rate} Hz")
    return code, channels, bits, rate


def _samples(path: Path, body: bytes, code: int, bits: int) -> NDArray[np.float32]:
    """All channels in turn; whole numbers are divided by what one step more than the highest is."""
    size = bits // 8
    body = body[: len(body) // size * size]
    if code == FRACTIONS:
        found = np.frombuffer(body, f"<f{size}").astype(np.float32)
        largest = float(np.abs(found).max(initial=0.0))
        if not largest <= 1:
            raise ValueError(f"{path} holds samples up to {largest:g}; they are from -1 to 1")
        return found
    if bits == 8:
        return ((np.frombuffer(body, np.uint8).astype(np.int16) - 128) / 128).astype(np.float32)
    if bits == 24:
        wide = np.zeros(
            (len(body) // 3, 4), np.uint8
        )  # the lowest byte is nothing, so that the sign is the highest bit
        wide[:, 1:] = np.frombuffer(body, np.uint8).reshape(-1, 3)
        return (wide.view("<i4")[:, 0] / 2**31).astype(np.float32)
    return (np.frombuffer(body, f"<i{size}") / 2.0 ** (bits - 1)).astype(np.float32)
