"""The U-Net against diffusers'."""

import pytest
import torch

from mmm_unet.config import UNetConfig
from mmm_unet.keys import DIFFUSERS
from mmm_unet.model import UNet

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("linear", [False, True])
def test_conditional(copy_weights, scramble, linear):
    from diffusers import UNet2DConditionModel

    reference = scramble(
        UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32, 32),
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=2,
            attention_head_dim=(2, 4, 4),
            transformer_layers_per_block=(1, 2, 2),
            cross_attention_dim=12,
            norm_num_groups=8,
            use_linear_projection=linear,
            num_class_embeds=5,
        )
    )
    config = UNetConfig(
        channels=(16, 32, 32),
        attention=("cross", "cross", "none"),
        num_heads=(2, 4, 4),
        transformer_layers=(1, 2, 2),
        cond_dim=12,
        groups=8,
        linear_projection=linear,
        num_classes=5,
    )
    ours = UNet(config).double()
    assert copy_weights(ours, reference, DIFFUSERS) == set()

    x, t = torch.randn(2, 4, 8, 8, dtype=torch.float64), torch.tensor([3, 977])
    embeds, label = torch.randn(2, 7, 12, dtype=torch.float64), torch.tensor([0, 4])
    mask = torch.tensor([[True] * 7, [True] * 3 + [False] * 4])
    with torch.no_grad():
        want = reference(x, t, embeds, class_labels=label, encoder_attention_mask=mask).sample
        state = {"x": x, "t": t, "cond.embeds": embeds, "cond.label": label, "cond.mask": mask}
        got = ours(state)["pred"]
        unmasked = ours({**state, "cond.mask": None})["pred"]
    assert (got - want).abs().max() <= 1e-10 * want.abs().max()
    assert (unmasked - want).abs().max() > 1e-3
    assert (unmasked[0] - want[0]).abs().max() <= 1e-10 * want.abs().max()


@pytest.mark.parametrize(("padding", "cos_first", "shift"), [("both", True, 0), ("after", False, 1)])
def test_unconditional_pixels(copy_weights, scramble, padding, cos_first, shift):
    from diffusers import UNet2DModel

    reference = scramble(
        UNet2DModel(
            sample_size=16,
            in_channels=1,
            out_channels=1,
            block_out_channels=(8, 16, 16),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            attention_head_dim=8,
            norm_num_groups=4,
            norm_eps=1e-6,
            downsample_padding=1 if padding == "both" else 0,
            flip_sin_to_cos=cos_first,
            freq_shift=shift,
        )
    )
    config = UNetConfig(
        in_channels=1,
        out_channels=1,
        channels=(8, 16, 16),
        attention=("none", "self", "none"),
        mid_attention="self",
        head_dim=8,
        layers_per_block=1,
        groups=4,
        eps=1e-6,
        down_padding=padding,
        cos_first=cos_first,
        freq_shift=shift,
    )
    ours = UNet(config).double()
    assert copy_weights(ours, reference, DIFFUSERS) == set()
    x, t = torch.randn(2, 1, 16, 16, dtype=torch.float64), torch.tensor([0, 999])
    with torch.no_grad():
        want, got = reference(x, t).sample, ours({"x": x, "t": t})["pred"]
    assert (got - want).abs().max() <= 1e-10 * want.abs().max()


def test_full_size_is_stable_diffusion_1_5():
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        ours, reference = UNet(UNetConfig(cond_dim=768)), UNet2DConditionModel(cross_attention_dim=768)
    assert sum(p.numel() for p in ours.parameters()) == 859_520_964
    assert sorted(tuple(p.shape) for p in ours.parameters()) == sorted(
        tuple(p.shape) for p in reference.parameters()
    )
