from __future__ import annotations

import pytest
import torch

from mmm_diffusion import config as c
from mmm_diffusion.guidance import CFG, NoGuidance


def branches(seed=0):
    return list(
        torch.randn(2, 3, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    )


def test_cfg_is_a_line_through_both_predictions():
    cond, uncond = branches()
    found = CFG(c.CFGConfig(scale=7.5)).combine([cond, uncond])
    torch.testing.assert_close(found, -6.5 * uncond + 7.5 * cond)
    torch.testing.assert_close(CFG(c.CFGConfig(scale=0)).combine([cond, uncond]), uncond)


def test_scale_one_asks_once():
    cond, _ = branches()
    assert CFG(c.CFGConfig(scale=1)).combine([cond]) is cond
    assert NoGuidance(c.NoGuidanceConfig()).combine([cond], i=3) is cond


def test_rescale_brings_the_deviation_back():
    cond, uncond = branches()
    full = CFG(c.CFGConfig(scale=9, rescale=1)).combine([cond, uncond])
    torch.testing.assert_close(full.std(dim=(1, 2, 3)), cond.std(dim=(1, 2, 3)))
    plain, half = (CFG(c.CFGConfig(scale=9, rescale=r)).combine([cond, uncond]) for r in (0, 0.5))
    torch.testing.assert_close(half, (full + plain) / 2)


def test_what_is_pointwise_can_be_combined_in_pieces():
    parts = [x[:, :, 1:3] for x in branches()]
    assert NoGuidance(c.NoGuidanceConfig()).pointwise and c.NoGuidanceConfig().pointwise()
    for rescale in (0, 0.5):
        config = c.CFGConfig(scale=9, rescale=rescale)
        guide = CFG(config)
        alike = torch.equal(guide.combine(parts), guide.combine(branches())[:, :, 1:3])
        assert guide.pointwise == config.pointwise() == alike == (rescale == 0)


@pytest.mark.parity
@pytest.mark.parametrize("rescale", [0.3, 0.7])
def test_rescale_agrees_with_diffusers(rescale):
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    cond, uncond = branches()
    plain = CFG(c.CFGConfig(scale=5)).combine([cond, uncond])
    theirs = rescale_noise_cfg(plain, cond, guidance_rescale=rescale)
    torch.testing.assert_close(CFG(c.CFGConfig(scale=5, rescale=rescale)).combine([cond, uncond]), theirs)


def test_a_wrong_number_of_branches_is_refused():
    cond, uncond = branches()
    with pytest.raises(ValueError, match="found 1"):
        CFG(c.CFGConfig()).combine([cond])
    with pytest.raises(ValueError, match="found 2"):
        NoGuidance(c.NoGuidanceConfig()).combine([cond, uncond])
