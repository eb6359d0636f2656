"""Stable Diffusion 1.x and 2.x, imported, against diffusers' own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.plugins.mmm_pipelines import tiny

pytestmark = pytest.mark.parity

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
OFFSET = {**BETAS, "steps_offset": 1}
SD1 = {"cross_attention_dim": 16, "attention_head_dim": 2, "layers_per_block": 1}
SD2 = {**SD1, "attention_head_dim": (2, 4), "use_linear_projection": True, "layers_per_block": 2}
CASES: dict[str, tuple[dict[str, Any], str, dict[str, Any], dict[str, Any]]] = {
    "sd1 ddim": (SD1, "DDIMScheduler", {**OFFSET, "clip_sample": False, "set_alpha_to_one": False}, {}),
    "sd1 pndm": (SD1, "PNDMScheduler", {**OFFSET, "skip_prk_steps": True}, {}),
    "sd2 v": (SD2, "DDIMScheduler", {**OFFSET, "clip_sample": False, "prediction_type": "v_prediction"},
              {"hidden_act": "gelu"}),
    "sd2 euler": (SD2, "EulerDiscreteScheduler", OFFSET, {"hidden_act": "gelu", "num_hidden_layers": 2}),
}  # fmt: skip


def pipeline(
    folder: Path, unet: dict[str, Any], scheduler: str, config: dict[str, Any], text: dict[str, Any]
) -> Any:
    import diffusers

    torch.manual_seed(0)
    tokenizer = tiny.clip_tokenizer(folder / "vocabulary")
    encoder = tiny.clip_text(len(tokenizer), **text)
    net = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **unet,
    )  # fmt: skip
    decoder = tiny.vae()
    tiny.scramble(encoder, net, decoder)
    return diffusers.StableDiffusionPipeline(
        vae=decoder, text_encoder=encoder, tokenizer=tokenizer, unet=net,
        scheduler=getattr(diffusers, scheduler)(**config), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 16, 16), (2, 24, 16)])
def test_five_steps_with_guidance(case, batch, height, width, both, tmp_path):
    pipe = pipeline(tmp_path, *CASES[case])
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
    with torch.no_grad():
        image = pipe.vae.decode(expected / pipe.vae.config.scaling_factor).sample / 2 + 0.5
    assert (found["image"] - image).abs().max() <= 1e-4 * max(1.0, float(image.abs().max()))
