"""Films, such as MP4, by PyAV: frames to files with a comment in them, and back."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmm_graph.errors import RunError, problem

MOST, MOST_BYTES = 4096, 2 << 30
"""Frames that are read at once, and what they may hold together."""
QUALITY = {"crf": "17", "threads": "1"}
"""Of x264; its bits depend on the number of threads."""


def write_film(file: IO[bytes], frames: Sequence[NDArray[np.uint8]], fps: float, comment: str = "") -> None:
    """Frames h w 3 of one size, both sides even, as an MP4 of H.264.

    Raises:
        ValueError: there are no frames, or a side is odd.
        RunError: E711, PyAV is not installed.
    """
    if not frames:
        raise ValueError("a film has one frame at least")
    height, width = frames[0].shape[:2]
    if height % 2 or width % 2:
        raise ValueError(f"the sides of a film are even, found {height} x {width}")
    av = _library()
    with av.open(file, "w", format="mp4") as film:
        if comment:
            film.metadata["comment"] = comment
        stream = film.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=QUALITY)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for frame in frames:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(stream.encode())


def read_film(path: Path) -> list[Image.Image]:
    """All frames of a film.

    Raises:
        ValueError, OSError: it cannot be read, or has more than 4096 frames, or more than 2 GiB of them.
        RunError: E711, PyAV is not installed.
    """
    found: list[Image.Image] = []
    with _library().open(str(path)) as film:
        if not film.streams.video:
            raise ValueError(f"{path} has no pictures")
        for frame in film.decode(video=0):
            most = min(MOST, MOST_BYTES // (3 * frame.width * frame.height))
            if len(found) >= most:
                hint = f"ffmpeg -i {path.name} frames/%05d.png, and give a list of some of these files"
                raise ValueError(f"{path} has more than {most} frames; extract some: {hint}")
            found.append(frame.to_image())
    return found


def read_comment(path: Path) -> str:
    """The comment of a film; "" if it has none.

    Raises:
        ValueError, OSError: it cannot be read.
        RunError: E711, PyAV is not installed.
    """
    with _library().open(str(path)) as film:
        return str(film.metadata.get("comment", ""))


def _library() -> Any:
    try:
        import av
    except ImportError as error:
        hint = "pip install 'mmm_graph[video]'"
        raise RunError(
            problem("E711", f"films need PyAV, which is not installed: {error}", hint=hint)
        ) from error
    return av
