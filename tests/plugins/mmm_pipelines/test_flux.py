"""FLUX.1, imported, against diffusers' own pipeline."""

from __future__ import annotations

import pytest
import torch

from tests.plugins.mmm_pipelines import tiny

pytestmark = pytest.mark.parity

DYNAMIC = {"use_dynamic_shifting": True, "base_image_seq_len": 16, "max_image_seq_len": 300000}
CASES = {
    "dev": ({"num_layers": 1, "num_single_layers": 2, "guidance_embeds": True}, {"shift": 3.0, **DYNAMIC}),
    "schnell": ({"num_layers": 2, "num_single_layers": 1, "guidance_embeds": False}, {"shift": 1.0}),
    "deeper": ({"num_layers": 2, "num_single_layers": 3, "guidance_embeds": True}, {"shift": 3.0, **DYNAMIC}),
}


def pipeline(folder, net, scheduler):
    import diffusers

    torch.manual_seed(0)
    tokenizer = tiny.clip_tokenizer(folder / "a")
    texts = tiny.clip_text(len(tokenizer)), tiny.t5_text(24)
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=16, num_attention_heads=2, attention_head_dim=16, joint_attention_dim=24, pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8), **net,
    )  # fmt: skip
    decoder = tiny.vae(
        scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False
    )
    tiny.scramble(*texts, transformer, decoder)
    return diffusers.FluxPipeline(
        transformer=transformer, vae=decoder, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**scheduler),
        text_encoder=texts[0], text_encoder_2=texts[1], tokenizer=tokenizer, tokenizer_2=tiny.t5_tokenizer(),
    )  # fmt: skip


def packed(latents):
    """b c h w -> b l 4c, as diffusers' pipeline holds them."""
    b, c, h, w = latents.shape
    return latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, 4 * c)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 16, 16), (2, 24, 16)])
def test_five_steps(case, batch, height, width, both, tmp_path):
    net, scheduler = CASES[case]
    pipe = pipeline(tmp_path, net, scheduler)
    noise = torch.randn(batch, 4, height // 2, width // 2, generator=torch.Generator().manual_seed(3))
    shared = {"prompt": tiny.TEXTS[:batch], "height": height, "width": width}
    if net["guidance_embeds"]:
        shared["guidance_scale"] = 2.5
    theirs = {**shared, "num_inference_steps": 5, "latents": packed(noise)}
    found, expected = both(pipe, {**shared, "steps": 5}, theirs, noise)
    ours = packed(found["denoise.latents"])
    assert (ours - expected).abs().max() <= 1e-4 * max(1.0, float(expected.abs().max()))
