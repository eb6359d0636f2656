"""AnimateDiff, imported whole and as an adapter beside Stable Diffusion, against diffusers' own pipeline."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError
from mmm_graph.registry import load_registry
from tests.plugins.mmm_pipelines import tiny

pytestmark = pytest.mark.parity

LAW = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "linear",
    "steps_offset": 1,
    "clip_sample": False,
}
FRAMES = 3


def parts(folder) -> dict[str, Any]:
    import diffusers

    torch.manual_seed(0)
    tokenizer = tiny.clip_tokenizer(folder / "vocabulary")
    text = tiny.clip_text(len(tokenizer))
    net = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), norm_num_groups=8, layers_per_block=1,
        cross_attention_dim=16, attention_head_dim=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    motion = diffusers.MotionAdapter(
        block_out_channels=(16, 32), motion_layers_per_block=1, motion_num_attention_heads=4,
        motion_norm_num_groups=8, motion_max_seq_length=5,
    )  # fmt: skip
    vae = tiny.vae()
    tiny.scramble(text, net, motion, vae)
    law = diffusers.DDIMScheduler(**LAW)
    return {"tokenizer": tokenizer, "text_encoder": text, "unet": net, "motion_adapter": motion, "vae": vae,
            "scheduler": law}  # fmt: skip


def test_whole_and_as_an_adapter(tmp_path):
    import diffusers

    made = parts(tmp_path)
    plain = {name: part for name, part in made.items() if name != "motion_adapter"}
    safety = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    tiny.save(diffusers.StableDiffusionPipeline(**plain, **safety), tmp_path / "sd")
    made["motion_adapter"].save_pretrained(tmp_path / "motion")
    pipe = diffusers.AnimateDiffPipeline(**made)
    whole = tiny.save(pipe, tmp_path / "whole")

    noise = torch.randn(2, 4, FRAMES, 8, 8, generator=torch.Generator().manual_seed(3))
    said = {"prompt": tiny.TEXTS, "negative_prompt": ["the hat", ""], "guidance_scale": 4.0}
    with torch.no_grad():
        told = {"num_frames": FRAMES, "num_inference_steps": 4, "latents": noise, "output_type": "latent"}
        want = pipe(**said, **told).frames
        shown = pipe.decode_latents(want) / 2 + 0.5  # b c f h w

    registry = load_registry()
    graphs = {
        "whole": import_graph(str(whole), tmp_path / "graph.yaml", registry),
        "adapter": import_graph(
            str(tmp_path / "motion"), tmp_path / "graph.yaml", registry, base=str(tmp_path / "sd")
        ),
    }
    assert any("motion_adapter" in note for note in graphs["whole"].notes)
    for name, graph in graphs.items():
        assert graph.tree["params"]["frames"]["max"] == 5, name
        session = mmm.load(graph.tree, base=tmp_path)
        given = {**said, "steps": 4, "frames": FRAMES, "height": 16, "width": 16}
        found = session.run(**given, supply={"noise": noise}, outputs=["denoise.latents", "video"])
        assert (found["denoise.latents"] - want).abs().max() <= 1e-4 * want.abs().max(), name
        assert found["video"].shape == (2, FRAMES, 3, 16, 16), name
        assert (found["video"] - shown.transpose(1, 2)).abs().max() <= 1e-4 * shown.abs().max(), name
    with pytest.raises(InputError, match=r"E612.*--base"):
        import_graph(str(tmp_path / "motion"), tmp_path / "graph.yaml", registry)
    with pytest.raises(InputError, match=r"E612.*no adapter"):
        import_graph(str(whole), tmp_path / "graph.yaml", registry, base=str(tmp_path / "sd"))
