"""classifier.patch: sizes of the published discriminator, patches that do not see each other, a GAN that learns."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from mmm_graph.errors import RunError
from mmm_losses.patch.config import PatchConfig
from mmm_losses.patch.model import PatchDiscriminator
from mmm_losses.vae import ops
from mmm_losses.vae.config import AdversaryConfig


def count(config):
    with torch.device("meta"):
        return sum(p.numel() for p in PatchDiscriminator(config).parameters())


def test_full_size_is_that_of_pix2pix():
    """4 x 4 kernels 3 -> 64 -> 128 -> 256 -> 512 -> 1; where a norm follows, its scale and shift instead of a bias."""
    kernels = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert count(PatchConfig(norm="none")) == kernels + 64 + 128 + 256 + 512 + 1 == 2_764_737
    assert count(PatchConfig()) == kernels + 64 + 2 * (128 + 256 + 512) + 1
    with torch.device("meta"):
        scores = PatchDiscriminator(PatchConfig())(torch.zeros(2, 3, 256, 256))
    assert scores.shape == (2, 30 * 30)


def test_a_patch_sees_70_pixels():
    torch.manual_seed(0)
    net = PatchDiscriminator(PatchConfig(width=4, norm="none")).eval()
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    scores = net(image)
    side = round(scores.shape[1] ** 0.5)
    (grad,) = torch.autograd.grad(scores[0, side * (side // 2) + side // 2], image)
    seen = grad[0].abs().sum(0).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [70, 70]


def test_an_image_is_judged_alike_in_any_batch():
    torch.manual_seed(0)
    net = PatchDiscriminator(PatchConfig(width=4, depth=2)).train()
    images = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(net(images)[1:2], net(images[1:2]))


def test_it_learns_to_tell_bright_from_dark():
    torch.manual_seed(0)
    net = PatchDiscriminator(PatchConfig(width=4, depth=1, channels=1))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    bright, dark = 0.5 + torch.rand(8, 1, 12, 12) / 2, torch.rand(8, 1, 12, 12) / 2
    for _ in range(20):
        optimiser.zero_grad()
        ops.gan_discriminator(net(bright), net(dark), AdversaryConfig()).backward()
        optimiser.step()
    assert bool((net(bright).mean(1) > 0).all()) and bool((net(dark).mean(1) < 0).all())
    image = dark.clone().requires_grad_()
    ops.gan_generator(net(image), AdversaryConfig()).backward()
    assert float(image.grad.mean()) < 0  # brighter is better


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(RunError, match=r"E743.*16 x 40 has no patch.*at least 24"):
        PatchDiscriminator(PatchConfig(width=4))(torch.zeros(1, 3, 16, 40))
    with pytest.raises(ValidationError, match="width 48 is no multiple of 32"):
        PatchConfig(width=48)
