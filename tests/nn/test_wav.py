"""WAV files as Python's wave module and SciPy write and read them."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from mmm_graph.nn.wav import read_wav

WAVES = np.random.default_rng(0).uniform(-1, 1, (7, 2))  # n c


def written(file: Path, bits: int, channels: int) -> np.ndarray:
    """A file of whole numbers; returns them [n,c]."""
    steps = np.round(WAVES[:, :channels] * (2 ** (bits - 1) - 1)).astype(np.int64)
    steps[0], steps[1] = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    raw = steps + 128 if bits == 8 else steps
    content = b"".join(int(v).to_bytes(bits // 8, "little", signed=bits > 8) for v in raw.flat)
    with wave.open(str(file), "wb") as out:
        out.setparams((channels, bits // 8, 8000, len(steps), "NONE", ""))
        out.writeframes(content)
    return steps


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("channels", [1, 2])
def test_whole_numbers(tmp_path: Path, bits: int, channels: int) -> None:
    steps = written(tmp_path / "a.wav", bits, channels)
    found, rate = read_wav(tmp_path / "a.wav")
    assert (found.shape, found.dtype, rate) == ((channels, 7), np.float32, 8000)
    assert np.abs(found.T - steps / 2.0 ** (bits - 1)).max() < 1e-7
    assert found.min() == -1


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_fractions(tmp_path: Path, kind: type) -> None:
    wavfile.write(tmp_path / "a.wav", 44100, WAVES.astype(kind))
    found, rate = read_wav(tmp_path / "a.wav")
    assert rate == 44100 and np.array_equal(found.T, WAVES.astype(np.float32))


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def form(code: int = 1, channels: int = 1, bits: int = 16, rate: int = 8000, more: bytes = b"") -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", code, channels, rate, 0, 0, bits) + more)


def riff(*chunks: bytes) -> bytes:
    return b"RIFF\0\0\0\0WAVE" + b"".join(chunks)


SAMPLES = np.array([0, 16384, -32768], "<i2").tobytes()
EXTENSIBLE = struct.pack("<HHIH", 22, 16, 0, 1) + b"\0" * 14


@pytest.mark.parametrize(
    "content",
    [
        riff(form(), chunk(b"LIST", b"odd"), chunk(b"data", SAMPLES)),
        riff(form(), chunk(b"data", SAMPLES, 0xFFFFFFFF)),  # written to a pipe
        riff(form(0xFFFE, more=EXTENSIBLE), chunk(b"data", SAMPLES)),
    ],
)
def test_other_ways_to_write_the_same(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    assert read_wav(tmp_path / "a.wav")[0].tolist() == [[0, 0.5, -1]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a WAV file; ffmpeg -i SOUND"),
        (b"ID3\3" + b"\0" * 40, "is not a WAV file"),
        (riff(), "has no format in it"),
        (riff(form()), "has no samples in it"),
        (riff(form(), chunk(b"data", SAMPLES, 60)), "is cut off: 60 bytes of 'data' are said, 6 are there"),
        (riff(form(), chunk(b"data", b"")), "holds 0 samples for 1 channels"),
        (riff(form(channels=2), chunk(b"data", SAMPLES)), "holds 3 samples for 2 channels"),
        (riff(form(channels=0), chunk(b"data", SAMPLES)), "0 channels and 8000 Hz"),
        (riff(form(2, bits=4), chunk(b"data", SAMPLES)), "of format 2 with 4 bits"),
        (riff(chunk(b"fmt ", b"12")), "says its format in 2 bytes"),
        (riff(form(3, bits=32), chunk(b"data", np.float32([0.5, 2]).tobytes())), "holds samples up to 2"),
        (riff(form(3, bits=32), chunk(b"data", np.float32([np.nan]).tobytes())), "holds samples up to nan"),
    ],
)
def test_files_that_cannot_be_read_say_why(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_wav(tmp_path / "a.wav")
    assert "a.wav" in str(caught.value)
