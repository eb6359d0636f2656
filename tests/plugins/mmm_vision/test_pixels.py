"""The pixel codec."""

from __future__ import annotations

import torch

from mmm_graph.nn.noise import Noise
from mmm_vision.pixels.config import NoiseConfig, PixelsConfig
from mmm_vision.pixels.model import Pixels
from mmm_vision.pixels.node import pixel_nodes


def test_decode_inverts_encode_and_cuts() -> None:
    codec = Pixels(PixelsConfig(channels=1))
    image = torch.rand(2, 1, 4, 4)
    assert torch.allclose(codec.decode(codec.encode(image)), image, atol=1e-6)
    assert codec.encode(image).min() < 0
    assert codec.decode(torch.tensor([-3.0, 3.0])).tolist() == [0, 1]


def test_rows_are_coded_alone_and_said_to_be() -> None:
    codec, image = Pixels(PixelsConfig(channels=1)), torch.rand(2, 1, 4, 4)
    assert torch.equal(codec.encode(image[:, :, 1:3]), codec.encode(image)[:, :, 1:3])
    assert torch.equal(codec.decode(image[:, :, 1:3]), codec.decode(image)[:, :, 1:3])
    methods = pixel_nodes()[0].methods
    assert {name: m.rowwise for name, m in methods.items()} == {
        "encode": True,
        "decode": True,
        "mask": False,
        "noise": False,
    }


def test_noise_is_keyed_by_element_not_by_batch() -> None:
    codec = Pixels(PixelsConfig(channels=3))
    config = NoiseConfig(height=4, width=5)
    both = codec.noise(None, config, Noise((1,), "noise", (0, 1), ()))
    second = codec.noise(None, config, Noise((1,), "noise", (1,), ()))
    assert both.shape == (2, 3, 4, 5)
    assert torch.equal(both[1:], second) and not torch.equal(both[0], both[1])
