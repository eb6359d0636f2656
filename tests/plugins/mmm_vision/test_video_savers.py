"""Videos to files: frames, times, origin."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from mmm_graph.api.origin import KEY, Origin, read_origin
from mmm_graph.errors import InputError, RunError
from mmm_vision.savers.videos import save_gif, save_mp4, save_webp

ABOUT = {"mmm_graph": '{"prompt": "sieben – 七"}'}
SAVERS = {"gif": save_gif, "webp": save_webp, "mp4": save_mp4}


def clip(frames: int = 3, height: int = 8, width: int = 12) -> torch.Tensor:
    """A batch of one video whose frames are plain, each of another grey."""
    greys = torch.linspace(0.1, 0.9, frames).view(1, frames, 1, 1, 1)
    return greys.expand(1, frames, 3, height, width)


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_frames_times_and_origin_come_back(kind: str, tmp_path: Path) -> None:
    (path,) = SAVERS[kind](clip(), tmp_path / "deep" / "x", {"format": kind, "fps": 5, "quality": 100}, ABOUT)
    with Image.open(path) as image:
        about = image.info["comment"] if kind == "gif" else image.getexif()[0x010E]
        frames = [np.asarray(frame.convert("RGB"), dtype=int) for frame in ImageSequence.Iterator(image)]
        assert image.info["duration"] == 200 and image.info["loop"] == 0
    assert json.loads(about) == ABOUT
    wanted = (clip()[0] * 255).round().permute(0, 2, 3, 1).numpy()
    assert len(frames) == 3 and np.abs(np.stack(frames) - wanted).max() <= 1


@pytest.mark.parametrize("kind", SAVERS)
def test_a_batch_makes_numbered_files_and_unknown_options_are_named(kind: str, tmp_path: Path) -> None:
    videos = clip().repeat(11, 1, 1, 1, 1)
    files = SAVERS[kind](videos, tmp_path / "a", {"scale": 2}, {})
    assert [path.name for path in files][:2] == [f"a-00.{kind}", f"a-01.{kind}"] and len(files) == 11
    assert files[0].read_bytes() == files[1].read_bytes()
    assert SAVERS[kind](videos[:0], tmp_path / "b", {}, {}) == []
    with pytest.raises(InputError, match="fsp"):
        SAVERS[kind](clip(), tmp_path / "c", {"fsp": 2}, {})
    assert len(list(tmp_path.iterdir())) == 11


@pytest.mark.parametrize("kind", SAVERS)
def test_the_origin_is_found_again(kind: str, tmp_path: Path) -> None:
    origin = Origin("mmm: 1", "g.yaml", {"prompt": "七"}, 7, None, {}, "digest", None, "0.1", "2.13")
    (path,) = SAVERS[kind](clip(), tmp_path / "x", {}, {KEY: origin.text()})
    assert read_origin(path) == origin
    (none,) = SAVERS[kind](clip(), tmp_path / "y", {}, {})
    with pytest.raises(InputError, match="carries no graph"):
        read_origin(none)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="E109"):
        read_origin(path)


def test_odd_sides_are_refused_and_can_be_doubled(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"E786.* 7 x 12(.|\n)*scale: 2"):
        save_mp4(clip(height=7), tmp_path / "x", {}, {})
    assert list(tmp_path.iterdir()) == []
    assert save_mp4(clip(height=7), tmp_path / "x", {"scale": 2}, {})[0].exists()
