"""SDXL, imported, against diffusers' own pipeline."""

from __future__ import annotations

import pytest
import torch

from tests.plugins.mmm_pipelines import tiny

pytestmark = pytest.mark.parity

EULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
         "timestep_spacing": "leading"}  # fmt: skip
CASES = {
    "as released": ({"transformer_layers_per_block": (1, 2), "attention_head_dim": (2, 4)}, True),
    "one layer": ({"transformer_layers_per_block": 1, "attention_head_dim": 2}, True),
    "empty text is encoded": ({"transformer_layers_per_block": (1, 1), "attention_head_dim": (4, 2)}, False),
}


def pipeline(folder, unet, zeros):
    import diffusers

    torch.manual_seed(0)
    first, second = tiny.clip_tokenizer(folder / "a"), tiny.clip_tokenizer(folder / "b", pad="!")
    texts = (
        tiny.clip_text(len(first)),
        tiny.clip_text(len(second), width=24, projection=20, hidden_act="gelu"),
    )
    net = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), norm_num_groups=8, layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=40, use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=68, **unet,
    )  # fmt: skip
    decoder = tiny.vae(scaling_factor=0.13025)
    tiny.scramble(*texts, net, decoder)
    return diffusers.StableDiffusionXLPipeline(
        vae=decoder, text_encoder=texts[0], text_encoder_2=texts[1], tokenizer=first, tokenizer_2=second, unet=net,
        scheduler=diffusers.EulerDiscreteScheduler(**EULER), force_zeros_for_empty_prompt=zeros,
        add_watermarker=False,
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 16, 16), (2, 24, 16)])
def test_five_steps_with_guidance(case, batch, height, width, both, tmp_path):
    unet, zeros = CASES[case]
    pipe = pipeline(tmp_path, unet, zeros)
    noise = torch.randn(batch, 4, height // 2, width // 2, generator=torch.Generator().manual_seed(3))
    shared = {"guidance_scale": 4.0, "prompt": tiny.TEXTS[:batch], "height": height, "width": width}
    found, expected = both(pipe, {**shared, "steps": 5}, {**shared, "num_inference_steps": 5}, noise)
    assert (found["denoise.latents"] - expected).abs().max() <= 1e-4 * max(1.0, float(expected.abs().max()))


def test_a_negative_prompt(both, tmp_path):
    pipe = pipeline(tmp_path, *CASES["as released"])
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    shared = {"prompt": tiny.TEXTS, "negative_prompt": ["the hat", "a caat"], "height": 16, "width": 16}
    found, expected = both(pipe, {**shared, "steps": 3}, {**shared, "num_inference_steps": 3}, noise)
    assert (found["denoise.latents"] - expected).abs().max() <= 1e-4 * max(1.0, float(expected.abs().max()))
