"""SD3 and SD3.5, imported, against diffusers' own pipeline."""

from __future__ import annotations

import pytest
import torch

from tests.plugins.mmm_pipelines import tiny

pytestmark = pytest.mark.parity

CASES = {
    "sd3": {"num_layers": 2},
    "sd3.5 large": {"num_layers": 3, "qk_norm": "rms_norm"},
    "sd3.5 medium": {"num_layers": 3, "qk_norm": "rms_norm", "dual_attention_layers": (0, 1)},
}


def pipeline(folder, net):
    import diffusers

    torch.manual_seed(0)
    first, second = tiny.clip_tokenizer(folder / "a"), tiny.clip_tokenizer(folder / "b", pad="!")
    texts = (
        tiny.clip_text(len(first), width=16, projection=16),
        tiny.clip_text(len(second), width=24, projection=20, hidden_act="gelu"),
        tiny.t5_text(48),
    )
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8, in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8,
        joint_attention_dim=48, caption_projection_dim=16, pooled_projection_dim=36, pos_embed_max_size=12, **net,
    )  # fmt: skip
    decoder = tiny.vae(
        scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False
    )
    tiny.scramble(*texts, transformer, decoder)
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer, vae=decoder, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=texts[0], text_encoder_2=texts[1], text_encoder_3=texts[2],
        tokenizer=first, tokenizer_2=second, tokenizer_3=tiny.t5_tokenizer(),
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 16, 16), (2, 24, 16)])
def test_five_steps_with_guidance(case, batch, height, width, both, tmp_path):
    pipe = pipeline(tmp_path, CASES[case])
    noise = torch.randn(batch, 4, height // 2, width // 2, generator=torch.Generator().manual_seed(3))
    prompt, negative = tiny.TEXTS[:batch], ["the hat", ""][:batch]
    shared = {
        "guidance_scale": 4.0,
        "prompt": prompt,
        "negative_prompt": negative,
        "height": height,
        "width": width,
    }
    found, expected = both(pipe, {**shared, "steps": 5}, {**shared, "num_inference_steps": 5}, noise)
    assert (found["denoise.latents"] - expected).abs().max() <= 1e-4 * max(1.0, float(expected.abs().max()))
