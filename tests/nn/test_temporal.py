"""Layers along the frames: identity at first, each pixel by itself, and how clips lie in memory."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmm_graph.nn.temporal import FrameConv, TemporalConv, TemporalTransformer, as_clip, as_frames

LAYERS = {"conv": lambda: TemporalConv(8, 4), "transformer": lambda: TemporalTransformer(8, 2, 6, 4)}


def test_clips_are_frames_in_memory() -> None:
    frames = torch.randn(6, 4, 3, 5)
    clip = as_clip(frames, 2)
    assert clip.shape == (2, 4, 3, 3, 5) and torch.equal(clip[1, :, 2], frames[5])
    assert as_frames(clip).data_ptr() == frames.data_ptr() and torch.equal(as_frames(clip), frames)


def test_the_convolution_is_that_in_three_dimensions() -> None:
    layer, x = FrameConv(4, 6).double(), torch.randn(2, 4, 5, 3, 2, dtype=torch.float64)
    wanted = F.conv3d(x, layer.weight[..., None], layer.bias, padding=(1, 0, 0))
    assert torch.allclose(layer(x), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_starts_as_the_identity_and_then_frames_see_each_other(kind: str) -> None:
    layer, x = LAYERS[kind]().double(), torch.randn(2, 8, 4, 3, 5, dtype=torch.float64)
    assert torch.equal(layer(x), x)
    for weight in layer.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    base = layer(x)
    changed = x.clone()
    changed[0, :, 0] *= 2
    moved = (layer(changed) - base).abs().amax((1, 3, 4))
    assert moved[0].min() > 0 and not moved[1].any()
    one = x[:, :, :1]
    assert layer(one).shape == one.shape
