"""Images from files, pictures, arrays and tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmm_graph.api.images import to_images
from mmm_graph.nn.media import read_image

GREY = np.arange(24, dtype=np.uint8).reshape(4, 6)


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    return tmp_path / "grey.png"


def test_a_file_keeps_its_channels_unless_told(grey: Path) -> None:
    assert torch.equal(read_image(grey), torch.tensor(GREY)[None].float() / 255)
    assert to_images(grey).shape == (1, 1, 4, 6)
    assert to_images(str(grey), 3).shape == (1, 3, 4, 6)
    assert to_images(Image.open(grey), 4)[0, 3].eq(1).all()


def test_lists_are_batches(grey: Path) -> None:
    assert to_images([grey, Image.open(grey)]).shape == (2, 1, 4, 6)


def test_whole_numbers_are_0_to_255_and_fractions_0_to_1() -> None:
    assert to_images(np.full((3, 2, 2), 255, np.uint8)).eq(1).all()
    assert to_images(torch.ones(2, 3, 2, 2, dtype=torch.float64)).dtype == torch.float32
    for bad in (torch.full((3, 2, 2), 1.5), torch.full((3, 2, 2), -1), torch.full((3, 2, 2), float("nan"))):
        with pytest.raises(ValueError, match=r"images are in \[0, 1\]"):
            to_images(bad)


def test_what_is_no_image(tmp_path: Path, grey: Path) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "small.png")
    (tmp_path / "text.png").write_text("hi")
    (tmp_path / "cut.png").write_bytes(grey.read_bytes()[:-20])
    with pytest.raises(ValueError, match="have one size, found 1 x 2 x 2 and 1 x 4 x 6"):
        to_images([grey, tmp_path / "small.png"])
    for name in ("text.png", "cut.png", "none.png", "."):
        with pytest.raises((ValueError, OSError)):
            to_images(tmp_path / name)
    for value in (True, None, ["a", 1], {"a": 1}):
        with pytest.raises(ValueError, match="numbers"):
            to_images(value)
