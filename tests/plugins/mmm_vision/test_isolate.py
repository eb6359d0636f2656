"""A thing in a picture of any size and colour stands on the canvas as the digits of the digit world do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mmm_graph.errors import RunError
from mmm_vision.prepare.config import IsolateConfig
from mmm_vision.prepare.isolate import isolate

CONFIG = IsolateConfig()
SEVEN = torch.tensor(
    [
        [1, 1, 1, 1, 1],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 0, 0, 0.0],
    ]
)


def photo(scale: int, canvas: tuple[int, int], corner: tuple[int, int], *, noise: float = 0.0) -> Tensor:
    """A seven in light on black [1,h,w]."""
    big = SEVEN.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    y, x = corner
    whole = torch.zeros(canvas)
    whole[y : y + big.shape[0], x : x + big.shape[1]] = big
    rough = noise * torch.randn(canvas, generator=torch.Generator().manual_seed(0))
    return (0.9 * whole + 0.05 + rough).clamp(0, 1)[None]


def alike(a: Tensor, b: Tensor) -> float:
    return float(F.cosine_similarity(a.flatten(), b.flatten(), 0))


def coloured(x: Tensor) -> Tensor:
    """Dark blue on yellow."""
    yellow, blue = torch.tensor([0.9, 0.8, 0.2]), torch.tensor([0.1, 0.1, 0.4])
    return yellow[:, None, None] * (1 - x) + blue[:, None, None] * x


def test_whatever_its_size_place_and_colours_it_stands_in_the_middle() -> None:
    large = photo(25, (280, 280), (40, 90))
    found = isolate([large, 1 - photo(9, (90, 200), (3, 100)), coloured(large)], CONFIG)
    assert found.shape == (3, 3, 32, 32)
    lit = found[0, 0] > 0.3
    rows, columns = lit.any(1).nonzero(), lit.any(0).nonzero()
    assert (int(rows[0]), int(rows[-1])) == (9, 22)  # 8 of 10 pixels enlarged to 16, in the middle of 32
    assert (int(columns[0]) + int(columns[-1])) in (30, 31, 32)
    assert min(alike(found[0], other) for other in found[1:]) > 0.98
    assert found.max() > 0.95 and found[:, :, :8].eq(0).all()


def test_noise_and_what_is_transparent() -> None:
    clean, rough = photo(25, (280, 280), (40, 90)), photo(25, (280, 280), (40, 90), noise=0.08)
    clear = torch.cat([torch.zeros(3, 280, 280), clean])  # black ink on nothing
    found = isolate([clean, rough, clear], CONFIG)
    assert min(alike(found[0], other) for other in found[1:]) > 0.97


def test_canvases_stay_and_what_is_empty_is_black() -> None:
    canvas = photo(2, (32, 32), (3, 16)) - 0.05
    found = isolate([canvas, torch.full((3, 50, 40), 0.7)], CONFIG)
    assert torch.equal(found[0], canvas.expand(3, -1, -1)) and found[1].eq(0).all()


def test_a_digit_that_fills_its_canvas_is_no_canvas() -> None:
    full = isolate([photo(3, (32, 32), (4, 8)), photo(25, (280, 280), (40, 90))], CONFIG)
    assert alike(full[0], full[1]) > 0.98 and full[0, :, :8].eq(0).all()


def test_what_is_no_picture() -> None:
    for wrong in ([], [torch.zeros(2, 4, 4)], [torch.zeros(3, 0, 4)]):
        with pytest.raises(RunError, match="E743"):
            isolate(wrong, CONFIG)
    with pytest.raises(ValueError, match="does not fit"):
        IsolateConfig(size=8)
