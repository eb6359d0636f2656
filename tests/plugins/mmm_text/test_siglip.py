"""The text encoder as SigLIP's, against transformers: alone, in a file with the other tower, and at full size."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign
from mmm_text.config import TextEncoderConfig
from mmm_text.foreign import LAYOUTS
from mmm_text.model import TextEncoder
from mmm_text.siglip import read_siglip, write_siglip

SIZES = {"vocab_size": 60, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"intermediate_size": 40, "max_position_embeddings": 12}
SIZES |= {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 1}
CASES = [
    {},
    {"projection_size": 10, "hidden_act": "gelu", "num_hidden_layers": 3},
    {"num_attention_heads": 3, "layer_norm_eps": 1e-3, "intermediate_size": 17},
]
IDS = torch.tensor([[7, 4, 5, 1, 1, 1], [3, 8, 9, 10, 7, 1]])
MASK = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6])


def theirs(scramble, **case):
    from transformers import SiglipTextConfig, SiglipTextModel

    return scramble(SiglipTextModel(SiglipTextConfig(**{**SIZES, **case}, attn_implementation="sdpa")))


def read(path, config):
    ours = TextEncoder(TextEncoderConfig(**config))
    load_module(ours, open_checkpoint(path), layouts=LAYOUTS, config=ours.config, dtype=torch.float64)
    return ours.eval()


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("old", [False, True])
def test_states_and_pooled(scramble, tmp_path, case, old):
    reference = theirs(scramble, **case)
    state = {f"text_model.{n}" if old else n: v for n, v in reference.state_dict().items()}
    positions = {"text_model.embeddings.position_ids": torch.arange(12)[None]} if old else {}
    save_file(state | positions, tmp_path / "a.safetensors")
    ours = read(tmp_path / "a.safetensors", read_siglip(reference.config.to_dict()))
    with torch.no_grad():
        for mask in (None, MASK):
            want = reference(IDS, attention_mask=mask)
            got = ours({"ids": IDS, "mask": None if mask is None else mask.bool()})
            rows = torch.ones_like(IDS).bool() if mask is None else mask.bool()
            assert (got["embeds"][rows] - want.last_hidden_state[rows]).abs().max() < 1e-10
            assert (got["pooled"] - want.pooler_output).abs().max() < 1e-10


@pytest.mark.parity
def test_configs_go_both_ways_and_transformers_reads_what_is_written(scramble, tmp_path):
    from transformers import SiglipTextModel

    for case in CASES:
        said = read_siglip(theirs(scramble, **case).config.to_dict())
        assert read_siglip(write_siglip(TextEncoderConfig(**said))) == said
    ours = TextEncoder(TextEncoderConfig(**said)).eval()
    layout = next(layout for layout in LAYOUTS if layout.name == "SigLIP")
    save_foreign(ours, tmp_path / "model.safetensors", layout, ours.config)
    (tmp_path / "config.json").write_text(json.dumps(write_siglip(ours.config)))
    again, info = SiglipTextModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    with torch.no_grad():
        assert torch.allclose(again(IDS).pooler_output, ours({"ids": IDS})["pooled"], atol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["Clip", "Siglip"])
def test_half_of_a_file_with_both_towers(tmp_path, name):
    import transformers
    from transformers.models.clip.modeling_clip import CLIPModel, CLIPTextModelWithProjection

    from mmm_text.foreign import read_plain, read_projected

    text = {**SIZES, "eos_token_id": 59, "projection_dim" if name == "Clip" else "projection_size": 10}
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8}
    vision |= {"patch_size": 4, "intermediate_size": 20}
    made = {"Clip": transformers.CLIPConfig, "Siglip": transformers.SiglipConfig}[name]
    both = made(text_config=text, vision_config=vision, projection_dim=10)
    model = {"Clip": CLIPModel, "Siglip": transformers.SiglipModel}[name](both).eval()
    model.save_pretrained(tmp_path)
    said = both.text_config.to_dict()
    ours = read(tmp_path, read_projected(said) if name == "Clip" else read_siglip(said)).float()
    with torch.no_grad():
        want = model.get_text_features(IDS).pooler_output
        assert torch.allclose(ours({"ids": IDS})["pooled"], want, atol=1e-6)
    if name == "Clip":  # as the text encoders of diffusion models are, without the projection
        alone = CLIPTextModelWithProjection.from_pretrained(tmp_path).text_model
        plain = read(tmp_path, read_plain(said)).float()
        with torch.no_grad():
            assert torch.allclose(plain({"ids": IDS})["pooled"], alone(IDS).pooler_output, atol=1e-6)


FULL = {
    "base": {},
    "so400m": {
        **{
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
        },
        **{"projection_size": 1152},
    },
}


@pytest.mark.parametrize("name", FULL)
def test_full_sizes(name):
    from transformers import SiglipTextConfig, SiglipTextModel

    with torch.device("meta"):
        reference = SiglipTextModel(
            SiglipTextConfig(**FULL[name], bos_token_id=1, eos_token_id=1, pad_token_id=1)
        )
        ours = TextEncoder(TextEncoderConfig(**read_siglip(reference.config.to_dict())))
    layout = next(layout for layout in LAYOUTS if layout.name == "SigLIP, transformers 5")
    names = {n.removeprefix("parts."): v.shape for n, v in ours.state_dict().items()}
    where = layout.theirs(names, ours.config)
    there = {n: v.shape for n, v in reference.state_dict().items()}
    assert {row.names[0]: names[n] for n, row in where.items()} == there


@pytest.mark.parametrize(
    ("ours", "message"),
    [({"causal": True}, "causal: True cannot be written"), ({"pool": "eos", "eos_id": 3}, "pool: eos")],
)
def test_what_they_cannot_say_is_not_written(ours, message):
    said = {**read_siglip({}), **ours}
    with pytest.raises(ValueError, match=message):
        write_siglip(TextEncoderConfig(**said))


def test_what_we_do_not_compute_is_refused():
    with pytest.raises(ValueError, match="use_rotary: True is not supported"):
        read_siglip({"use_rotary": True})
    with pytest.raises(ValueError, match="hidden_act: 'relu' is not supported"):
        read_siglip({"hidden_act": "relu"})


@pytest.mark.parity
def test_a_graph_is_exported_in_the_class_that_is_like_it(tmp_path):
    from transformers import SiglipTextModel

    import mmm_graph as mmm

    small = {"vocab_size": 60, "max_length": 12, "width": 8, "depth": 1, "num_heads": 2, "hidden": 8}
    form = {"causal": False, "pool": "last", "projection": True, "projection_bias": True}
    graph = mmm.load(
        {
            "mmm": 1,
            "inputs": {"ids": "Ids[b,t]"},
            "models": {"words": {"kind": "encoder.text", "init": "default", "config": {**small, **form}}},
            "nodes": {"enc": {"call": "words.pooled", "in": {"ids": "$in.ids"}}},
            "outputs": {"pooled": "enc"},
        }
    )
    graph.export(tmp_path / "out")
    again, info = SiglipTextModel.from_pretrained(tmp_path / "out" / "words", output_loading_info=True)
    assert not any(info.values())
    with torch.no_grad():
        assert torch.allclose(graph.run(ids=IDS)["pooled"], again(IDS).pooler_output, atol=1e-6)
