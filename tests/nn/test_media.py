"""Files of pictures and animations; tests/api reads many more through what callers give."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from mmm_graph.nn.media import image_tensor, is_film, open_image, read_frames, read_image


def test_channels_are_those_asked_for_or_those_of_the_file(tmp_path: Path) -> None:
    Image.new("P", (3, 2)).save(tmp_path / "p.png")
    Image.new("L", (3, 2), 255).save(tmp_path / "l.png")
    assert read_image(tmp_path / "p.png").shape == (3, 2, 3)
    assert read_image(tmp_path / "l.png").shape == (1, 2, 3)
    assert read_image(tmp_path / "l.png", 4)[:, 0, 0].tolist() == [1, 1, 1, 1]
    assert image_tensor(open_image(io.BytesIO((tmp_path / "l.png").read_bytes()), 3)).shape == (3, 2, 3)


def test_frames_of_an_animation_and_what_is_none(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (2, 2), (100 * i, 0, 0)) for i in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert len(read_frames(tmp_path / "a.gif")) == 3
    assert is_film(tmp_path / "a.MP4") and not is_film(tmp_path / "a.gif")
