"""TextToVideoSDPipeline, imported, against diffusers' own: from prompt to files of video, and back to a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.cli.main import main
from mmm_graph.registry import load_registry
from tests.plugins.mmm_pipelines import tiny
from tests.plugins.mmm_video.test_unet import SMALL

pytestmark = pytest.mark.parity

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
FRAMES, STEPS, SIZE = 3, 4, {"height": 16, "width": 24}


def pipeline(folder: Path, **scheduler: Any) -> Any:
    import diffusers

    torch.manual_seed(0)
    tokenizer = tiny.clip_tokenizer(folder / "vocabulary")
    encoder = tiny.clip_text(len(tokenizer), hidden_act="gelu")
    net = diffusers.UNet3DConditionModel(**{**SMALL, "cross_attention_dim": 16})
    decoder = tiny.vae()
    tiny.scramble(encoder, net, decoder)
    law = {**BETAS, "clip_sample": False, "set_alpha_to_one": False, **scheduler}
    return diffusers.TextToVideoSDPipeline(
        vae=decoder, text_encoder=encoder, tokenizer=tokenizer, unet=net,
        scheduler=diffusers.DDIMScheduler(**law),
    )  # fmt: skip


@pytest.mark.parametrize(("batch", "prediction"), [(2, "epsilon"), (1, "v_prediction")])
def test_from_prompt_to_video_as_diffusers_does(batch, prediction, tmp_path):
    pipe = pipeline(tmp_path, prediction_type=prediction)
    folder = tiny.save(pipe, tmp_path / "checkpoint")
    made = import_graph(str(folder), tmp_path / "graph.yaml", load_registry())
    assert made.tree["models"]["unet"]["kind"] == "denoiser.unet3d"
    noise = torch.randn(batch, 4, FRAMES, 8, 12, generator=torch.Generator().manual_seed(3))
    told = {
        "prompt": tiny.TEXTS[:batch],
        "negative_prompt": ["the hat", ""][:batch],
        "guidance_scale": 4.0,
        **SIZE,
    }

    session = mmm.load(made.tree, base=tmp_path)
    found = session.run(
        **told, steps=STEPS, frames=FRAMES, supply={"noise": noise}, outputs=["denoise.latents", "video"]
    )
    with torch.no_grad():
        theirs = {**told, "num_inference_steps": STEPS, "num_frames": FRAMES, "latents": noise}
        expected = pipe(**theirs, output_type="latent").frames
        video = pipe.decode_latents(expected).transpose(1, 2) / 2 + 0.5
    assert found["denoise.latents"].shape == noise.shape
    assert (found["denoise.latents"] - expected).abs().max() <= 1e-4 * max(1.0, float(expected.abs().max()))
    assert found["video"].shape == (batch, FRAMES, 3, 16, 24)
    assert (found["video"] - video).abs().max() <= 1e-4 * max(1.0, float(video.abs().max()))
    drawn = session.run(**told, steps=1, frames=2, seed=1, outputs=["noise"])["noise"]
    assert drawn.shape == (batch, 4, 2, 8, 12) and abs(float(drawn.std()) - 1) < 0.2


def test_a_film_runs_itself_again(tmp_path, monkeypatch):
    folder = tiny.save(pipeline(tmp_path), tmp_path / "checkpoint")
    tree = import_graph(str(folder), tmp_path / "graph.yaml", load_registry()).tree
    (tmp_path / "graph.yaml").write_text(json.dumps(tree))
    monkeypatch.chdir(tmp_path)
    sets = {"prompt": "the cat", "steps": "1", "frames": "2", "height": "16", "width": "16"}
    options = [text for key, value in sets.items() for text in ("--set", f"{key}={value}")]
    for name, out, told in (("graph.yaml", "one", options), ("one/video.mp4", "two", [])):
        with pytest.raises(SystemExit) as end:
            main(["run", name, "-o", out, *told])
        assert not end.value.code
    one, two = (Path(out, "video.mp4").read_bytes() for out in ("one", "two"))
    assert one == two


def test_all_tensors_come_back(tmp_path):
    pipe = pipeline(tmp_path)
    folder = tiny.save(pipe, tmp_path / "in")
    made = import_graph(str(folder), tmp_path / "g.yaml", load_registry())
    mmm.load(made.tree, base=tmp_path).export(tmp_path / "out")
    again = type(pipe).from_pretrained(tmp_path / "out")
    for part, module in pipe.components.items():
        if isinstance(module, nn.Module):
            new = again.components[part].state_dict()
            assert module.state_dict().keys() == new.keys()
            assert all(torch.equal(value, new[key]) for key, value in module.state_dict().items())
    assert type(again.scheduler) is type(pipe.scheduler)
