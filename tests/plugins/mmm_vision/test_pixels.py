"""The pixel codec."""

from __future__ import annotations

import torch

from mmm_graph.nn.noise import Noise
from mmm_vision.pixels.config import NoiseConfig, PixelsConfig
from mmm_vision.pixels.model import Pixels


def test_decode_inverts_encode_and_cuts() -> None:
    codec = Pixels(PixelsConfig(channels=1))
    image = torch.rand(2, 1, 4, 4)
    assert torch.allclose(codec.decode(codec.encode(image)), image, atol=1e-6)
    assert codec.encode(image).min() < 0
    assert codec.decode(torch.tensor([-3.0, 3.0])).tolist() == [0, 1]


def test_noise_is_keyed_by_element_not_by_batch() -> None:
    codec = Pixels(PixelsConfig(channels=3))
    config = NoiseConfig(height=4, width=5)
    both = codec.noise(None, config, Noise((1,), "noise", (0, 1), ()))
    second = codec.noise(None, config, Noise((1,), "noise", (1,), ()))
    assert both.shape == (2, 3, 4, 5)
    assert torch.equal(both[1:], second) and not torch.equal(both[0], both[1])
