"""The windowed sinc against Pillow's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, __version__

from mmm_vision.image.config import ResizeConfig
from mmm_vision.image.lanczos import weights
from mmm_vision.image.ops import resize

SIZES = [(32, 48), (90, 20), (61, 97), (300, 97)]
SIZES += (
    [(50, 120)] if int(__version__.partition(".")[0]) >= 13 else []
)  # older ones always begin with the width


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_it_is_pillows(height: int, width: int) -> None:
    """Its sums are in fixed point, so that a few pixels may be one level apart."""
    pixels = np.random.default_rng(1).integers(0, 256, (61, 97)).astype("uint8")
    theirs = np.asarray(
        Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS), dtype=float
    )
    config = ResizeConfig(height=height, width=width, mode="lanczos")
    found = resize(torch.from_numpy(pixels)[None, None].double() / 255, config)[0, 0].numpy() * 255
    away = np.abs(theirs - found)
    assert away.max() < 1.5 and (away > 0.5).mean() < 0.001


def test_every_pixel_is_a_mean() -> None:
    for size, new in ((1, 5), (5, 1), (10, 3), (3, 10)):
        assert torch.allclose(weights(size, new).sum(1), torch.ones(new, dtype=torch.float64))
