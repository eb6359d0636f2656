"""Contact sheets and sizes."""

from __future__ import annotations

import torch

from mmm_vision.image.config import GridConfig, HideConfig, MaskConfig, ResizeConfig
from mmm_vision.image.grid import grid
from mmm_vision.image.ops import hide, resize, to_mask


def test_grid_puts_every_image_in_its_cell() -> None:
    image = (torch.arange(5).view(5, 1, 1, 1) + 1).expand(5, 1, 4, 6) / 5
    sheet = grid(image, GridConfig(columns=3, scale=2, gap=1))
    assert sheet.shape == (1, 1, 2 * 9 + 1, 3 * 13 + 1)
    for i in range(5):
        top, left = 1 + (i // 3) * 9, 1 + (i % 3) * 13
        assert torch.equal(sheet[0, :, top : top + 8, left : left + 12], image[i, :, :1, :1].expand(1, 8, 12))
    assert sheet[0, 0, 0].max() == 0 and sheet[0, 0, 10:, 27:].max() == 0


def test_labels_are_written_below_and_differ() -> None:
    image = torch.zeros(2, 3, 8, 40)
    sheet = grid(image, GridConfig(columns=2, gap=0), ["seven", "two"])
    assert sheet.shape == (1, 3, 8 + 16, 80)
    assert sheet[..., :8, :].max() == 0 and sheet[..., 8:, :40].max() > 0.9
    assert not torch.equal(sheet[..., 8:, :40], sheet[..., 8:, 40:])
    numbers = grid(image, GridConfig(columns=2, gap=0), numbers=torch.tensor([7, 2]))
    assert numbers.shape == sheet.shape and numbers[..., 8:, :].max() > 0.9


def test_empty_batch_and_default_columns() -> None:
    assert grid(torch.rand(9, 1, 2, 2), GridConfig(gap=0)).shape == (1, 1, 6, 6)
    assert grid(torch.rand(1, 4, 2, 2), GridConfig(gap=1))[0, 3].min() == 1


def test_resize_keeps_a_flat_image_flat_and_the_range() -> None:
    out = resize(torch.full((2, 3, 8, 8), 0.25), ResizeConfig(height=5, width=12))
    assert out.shape == (2, 3, 5, 12)
    assert torch.allclose(out, torch.tensor(0.25))
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 1
    big = resize(edge, ResizeConfig(height=32, width=32))
    assert big.min() >= 0 and big.max() <= 1
    assert resize(edge, ResizeConfig(height=16, width=16, mode="nearest")).unique().tolist() == [0, 1]


def test_an_image_of_the_right_size_stays_as_it_is() -> None:
    image = torch.rand(2, 3, 8, 6)
    for mode in ("nearest", "bilinear", "bicubic", "lanczos"):
        assert torch.equal(resize(image, ResizeConfig(height=8, width=6, mode=mode)), image)


def test_white_is_painted_and_the_rest_kept() -> None:
    grey = torch.tensor([0.0, 0.49, 0.5, 1.0]).view(1, 1, 2, 2)
    mask = to_mask(grey, MaskConfig())
    assert mask.flatten().tolist() == [False, False, True, True]
    assert torch.equal(to_mask(grey, MaskConfig(invert=True)), ~mask)
    assert to_mask(grey, MaskConfig(threshold=0.3)).flatten().tolist() == [False, True, True, True]
    image = torch.rand(1, 3, 2, 2)
    hidden = hide(image, mask, HideConfig())
    assert torch.equal(hidden[..., 0, :], image[..., 0, :]) and (hidden[..., 1, :] == 0.5).all()
