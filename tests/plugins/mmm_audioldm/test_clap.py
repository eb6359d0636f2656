"""CLAP's text encoder against transformers' ClapTextModelWithProjection, and its full size."""

from __future__ import annotations

import json

import pytest
import torch

from mmm_audioldm.clap.config import ClapTextConfig
from mmm_audioldm.clap.foreign import CLASS, LAYOUTS, read, write
from mmm_audioldm.clap.model import ClapText
from mmm_audioldm.clap.parts import clap_parts
from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.errors import RunError

SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
SIZES |= {"vocab_size": 60, "max_position_embeddings": 14, "projection_dim": 10, "layer_norm_eps": 1e-5}
IDS = torch.tensor([[0, 7, 8, 9, 59, 2], [0, 33, 2, 1, 1, 1]])
CLOSE = 1e-7
"""Theirs takes the softmax in float32, whatever the weights are."""
SIDES = {"padded after": IDS, "padded before": IDS.flip(1), "one text": IDS[:1]}


def tiny(**more):
    import transformers

    return transformers.ClapTextModelWithProjection(transformers.ClapTextConfig(**SIZES, **more))


@pytest.mark.parity
@pytest.mark.parametrize(
    "more", [{}, {"hidden_act": "gelu_new", "projection_hidden_act": "silu"}], ids=["", "acts"]
)
def test_a_saved_model_is_the_same(more, saved, load, tmp_path):
    theirs, file = saved(tiny(**more))
    config = ClapTextConfig(**read(json.loads((tmp_path / "config.json").read_text())))
    ours = load(ClapText(config), file, LAYOUTS, config)
    for ids in SIDES.values():
        mask = ids != 1
        with torch.no_grad():
            want, got = theirs(ids, attention_mask=mask.long()), ours({"ids": ids, "mask": mask})
        assert (got["pooled"] - want.text_embeds).abs().max() <= CLOSE
        assert (got["embeds"] - want.last_hidden_state)[mask].abs().max() <= CLOSE

    save_foreign(ours, tmp_path / "ours" / LAYOUTS[0].file, LAYOUTS[0], config)
    (tmp_path / "ours" / "config.json").write_text(json.dumps(write(config)))
    again, info = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert set().union(*info.values()) <= {
        f"text_model.embeddings.{n}_ids" for n in ("position", "token_type")
    }
    assert ClapTextConfig(**read(again.config.to_dict())) == config
    assert all(torch.equal(v.double(), theirs.state_dict()[n]) for n, v in again.named_parameters())
    assert write(config)["architectures"] == [CLASS]


@pytest.mark.parity
def test_full_size():
    import transformers

    with torch.device("meta"):
        theirs = transformers.ClapTextModelWithProjection(transformers.ClapTextConfig())
        config = ClapTextConfig(**read(theirs.config.to_dict()))
        ours = ClapText(config)
    assert config == ClapTextConfig() == ClapTextConfig(**read({}))
    rows = LAYOUTS[0].theirs({n.removeprefix("parts.") for n in ours.state_dict()}, config)
    shapes = {rows[n.removeprefix("parts.")].names[0]: v.shape for n, v in ours.state_dict().items()}
    assert shapes == {n: v.shape for n, v in theirs.named_parameters()}
    assert sum(p.params for p in clap_parts(config)) == sum(p.numel() for p in theirs.parameters())


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"hidden_act": "mish"}, "hidden_act: 'mish' is not supported; expected one of gelu"),
        ({"position_embedding_type": "relative_key"}, "expected 'absolute'"),
        ({"head_dim": 3}, "head_dim: 3 is not supported"),
    ],
)
def test_what_is_refused(theirs, message):
    with pytest.raises(ValueError, match=message):
        read(theirs)


def test_what_does_not_fit():
    for ours in ({"width": 10, "num_heads": 3}, {"positions": 2}, {"vocab_size": 1}):
        with pytest.raises(ValueError, match="does not"):
            ClapTextConfig(**ours)
    config = ClapTextConfig(vocab_size=9, positions=6, width=8, num_heads=2, depth=1, hidden=8)
    with pytest.raises(RunError, match=r"E706.*5 tokens, but CLAP's text encoder has 4 positions"):
        ClapText(config)({"ids": torch.full((1, 5), 3)})
