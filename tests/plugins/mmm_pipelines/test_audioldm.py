"""AudioLDM, imported, against diffusers' own pipeline: from texts to WAV files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.api.save import save_outputs
from mmm_graph.errors import InputError
from mmm_graph.nn.wav import read_wav
from mmm_graph.registry import load_registry
from mmm_graph.runtime.events import Result
from tests.plugins.mmm_pipelines import tiny

pytestmark = pytest.mark.parity

TEXTS, NEGATIVE = ["a cat in the hat", "the caat"], ["", "the hat"]
LAW = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear", "steps_offset": 1}
LAW |= {"clip_sample": False, "set_alpha_to_one": False}
"""Of the published checkpoints, by diffusers' conversion."""


def roberta(folder: Path) -> Any:
    """A byte-level vocabulary with a few merges, as transformers' RobertaTokenizer."""
    from transformers import RobertaTokenizer

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256))]
    letters += [chr(256 + n) for n in range(256 - len(letters))]
    pairs = ["t h", "th e", "\u0120 the", "c a", "ca t", "h a"]
    words = [*special, *letters, *("".join(pair.split()) for pair in pairs), "<mask>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]))
    return RobertaTokenizer.from_pretrained(folder, model_max_length=40)


def pipeline(folder: Path, seed: int = 0, **vocoder: Any) -> Any:
    import diffusers
    import transformers

    torch.manual_seed(seed)
    tokenizer = roberta(folder / "vocabulary")
    text = transformers.ClapTextModelWithProjection(
        transformers.ClapTextConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=24, projection_dim=12, max_position_embeddings=42,
        )
    )  # fmt: skip
    net = diffusers.UNet2DConditionModel(
        sample_size=4, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), cross_attention_dim=(8, 16),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=12, class_embeddings_concat=True,
    )  # fmt: skip
    decoder = tiny.vae(in_channels=1, out_channels=1, scaling_factor=0.9)
    sizes = {
        "model_in_dim": 8,
        "upsample_initial_channel": 16,
        "upsample_rates": [5, 2],
        "normalize_before": False,
    }
    sizes |= {
        "upsample_kernel_sizes": [16, 4],
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3]],
    }
    sound = transformers.SpeechT5HifiGan(transformers.SpeechT5HifiGanConfig(**{**sizes, **vocoder}))
    tiny.scramble(text, net, decoder, sound)
    with torch.no_grad():
        for weight in sound.parameters():
            weight.mul_(4)  # else it says almost the same of every spectrogram
    return diffusers.AudioLDMPipeline(
        vae=decoder, text_encoder=text, tokenizer=tokenizer, unet=net, vocoder=sound,
        scheduler=diffusers.DDIMScheduler(**LAW),
    )  # fmt: skip


@pytest.mark.parametrize("frames", [8, 12])
def test_texts_become_sound(tmp_path, frames):
    pipe = pipeline(tmp_path)
    folder = tiny.save(pipe, tmp_path / "checkpoint")
    made = import_graph(str(folder), tmp_path / "graph.yaml", load_registry())
    noise = torch.randn(2, 4, frames // 2, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        want = pipe(
            TEXTS, negative_prompt=NEGATIVE, guidance_scale=3.0, num_inference_steps=4, latents=noise,
            audio_length_in_s=frames * 10 / 16000 + 1e-9, output_type="pt",
        ).audios  # fmt: skip
    given = {
        "prompt": TEXTS,
        "negative_prompt": NEGATIVE,
        "guidance_scale": 3.0,
        "steps": 4,
        "frames": frames,
    }
    session = mmm.load(made.tree, base=tmp_path)
    found = session.run(**given, supply={"noise": noise}, outputs=["image", "audio"])
    assert found["audio"].shape == (2, 1, frames * 10) and want.std() > 0.05
    assert (found["audio"][:, 0] - want).abs().max() <= 1e-4 * float(want.abs().max())

    result = Result({"audio": found["audio"]})
    (saved,) = save_outputs(session.graph, session.registry, result, tmp_path / "out", origin=None)
    assert [file.name for file in saved.files] == ["audio-0.wav", "audio-1.wav"]
    samples, rate = read_wav(saved.files[1])
    assert rate == 16000 and abs(torch.from_numpy(samples.copy()) - found["audio"][1]).max() <= 1 / 32768


def test_bins_that_no_latents_give_are_refused(tmp_path):
    folder = tiny.save(pipeline(tmp_path, model_in_dim=6), tmp_path / "checkpoint")
    with pytest.raises(InputError, match=r"E612(.|\n)*model_in_dim 6 of the vocoder is not supported"):
        import_graph(str(folder), tmp_path / "graph.yaml", load_registry())
