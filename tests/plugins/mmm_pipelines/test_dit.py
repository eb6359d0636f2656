"""PixArt and DiT, imported, against diffusers' own pipelines."""

from __future__ import annotations

import pytest
import torch

from tests.plugins.mmm_pipelines import tiny

pytestmark = pytest.mark.parity

DPM = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
PIXART = {
    "alpha": ("PixArtAlphaPipeline", {"sample_size": 8, "num_layers": 2}),
    "alpha 1024": ("PixArtAlphaPipeline", {"sample_size": 128, "num_layers": 2, "interpolation_scale": 2}),
    "sigma": (
        "PixArtSigmaPipeline",
        {"sample_size": 16, "num_layers": 3, "use_additional_conditions": False},
    ),
}


def pixart(kind, net):
    import diffusers

    torch.manual_seed(0)
    text, decoder = tiny.t5_text(24), tiny.vae()
    transformer = diffusers.PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=8, cross_attention_dim=24,
        caption_channels=24, norm_num_groups=8, **net,
    )  # fmt: skip
    tiny.scramble(text, transformer, decoder)
    return getattr(diffusers, kind)(
        tokenizer=tiny.t5_tokenizer(), text_encoder=text, vae=decoder, transformer=transformer,
        scheduler=diffusers.DPMSolverMultistepScheduler(**DPM),
    )  # fmt: skip


@pytest.mark.parametrize("case", PIXART)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 16, 16), (2, 24, 16)])
def test_pixart(case, batch, height, width, both, tmp_path):
    pipe = pixart(*PIXART[case])
    noise = torch.randn(batch, 4, height // 2, width // 2, generator=torch.Generator().manual_seed(3))
    prompt, negative = [" A cat IN the hat ", "the caat"][:batch], "the Hat"
    shared = {"guidance_scale": 4.0, "prompt": prompt, "height": height, "width": width}
    ours = {**shared, "negative_prompt": [negative] * batch, "steps": 5}
    theirs = {**shared, "negative_prompt": negative, "num_inference_steps": 5}
    theirs |= {"clean_caption": False, "use_resolution_binning": False}
    found, expected = both(pipe, ours, theirs, noise)
    assert (found["denoise.latents"] - expected).abs().max() <= 1e-4 * max(1.0, float(expected.abs().max()))


DIT = {
    "learned sigma": ({"out_channels": 8, "num_layers": 2}, "DDIMScheduler"),
    "three layers": ({"out_channels": 8, "num_layers": 3}, "DPMSolverMultistepScheduler"),
    "no sigma": ({"out_channels": 4, "num_layers": 1}, "DDIMScheduler"),
}


def dit(net, scheduler):
    import diffusers

    torch.manual_seed(0)
    transformer = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, sample_size=8, num_embeds_ada_norm=1000,
        norm_num_groups=8, **net,
    )  # fmt: skip
    decoder = tiny.vae()
    tiny.scramble(transformer, decoder)
    for block in transformer.transformer_blocks[1:]:  # as every trained checkpoint has it
        block.norm1.emb.load_state_dict(transformer.transformer_blocks[0].norm1.emb.state_dict())
    more = {"clip_sample": False} if scheduler == "DDIMScheduler" else {}
    return diffusers.DiTPipeline(
        transformer=transformer, vae=decoder, scheduler=getattr(diffusers, scheduler)(**DPM, **more)
    )


@pytest.mark.parametrize("case", DIT)
@pytest.mark.parametrize("batch", [1, 2])
def test_dit(case, batch, both, tmp_path, monkeypatch):
    from diffusers.pipelines.dit import pipeline_dit

    pipe = dit(*DIT[case])
    decoder = pipe.vae
    noise = torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(pipeline_dit, "randn_tensor", lambda *args, **kwargs: noise)
    seen = {}
    decode = decoder.decode
    monkeypatch.setattr(decoder, "decode", lambda z: decode(seen.setdefault("z", z)))
    labels = [7, 500][:batch]
    pipe.set_progress_bar_config(disable=True)
    pipe(class_labels=labels, guidance_scale=4.0, num_inference_steps=5, output_type="pt")
    expected = seen["z"] * decoder.config.scaling_factor
    found = both(pipe, {"label": torch.tensor(labels), "guidance_scale": 4.0, "steps": 5}, None, noise)[0]
    assert (found["denoise.latents"] - expected).abs().max() <= 1e-4 * max(1.0, float(expected.abs().max()))
