"""Films written and read again."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
import pytest

from mmm_graph.errors import RunError
from mmm_graph.nn import film
from mmm_graph.nn.film import read_comment, read_film, write_film
from mmm_graph.nn.media import read_frames

GREYS = (0, 99, 255)


def write(path: Path, comment: str = "") -> Path:
    with path.open("wb") as file:
        write_film(file, [np.full((8, 12, 3), grey, dtype=np.uint8) for grey in GREYS], 5, comment)
    return path


def test_frames_times_and_comment_come_back(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mp4", "sieben – 七")
    with av.open(str(path)) as found:
        stream = found.streams.video[0]
        assert (stream.average_rate, stream.frames, stream.codec.name) == (5, 3, "h264")
    frames = [np.asarray(frame, dtype=int) for frame in read_frames(path)]
    assert [frame.shape for frame in frames] == [(8, 12, 3)] * 3
    assert all(np.abs(frame - grey).max() <= 3 for frame, grey in zip(frames, GREYS, strict=True))
    assert read_comment(path) == "sieben – 七" and read_comment(write(tmp_path / "y.mp4")) == ""
    assert write(tmp_path / "z.mp4", "sieben – 七").read_bytes() == path.read_bytes()


def test_what_is_no_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.mp4"
    with path.open("wb") as file:
        with pytest.raises(ValueError, match="are even, found 4 x 5"):
            write_film(file, [np.zeros((4, 5, 3), dtype=np.uint8)], 8)
        with pytest.raises(ValueError, match="one frame at least"):
            write_film(file, [], 8)
    for read in (read_film, read_comment):
        with pytest.raises((ValueError, OSError)):
            read(path)
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none.mp4")
    monkeypatch.setattr(film, "MOST", 2)
    with pytest.raises(ValueError, match=r"more than 2 frames; extract some: ffmpeg -i x.mp4"):
        read_film(write(path))
    monkeypatch.setattr(film, "MOST_BYTES", 3 * 8 * 12)
    with pytest.raises(ValueError, match=r"more than 1 frames"):
        read_film(path)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(RunError, match=r"E711.*PyAV(.|\n)*mmm_graph\[video\]"):
        read_film(path)
