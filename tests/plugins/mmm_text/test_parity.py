"""The text encoder against transformers' CLIP."""

import pytest
import torch

from mmm_text.config import EncodeConfig, TextEncoderConfig
from mmm_text.keys import CLIP
from mmm_text.model import TextEncoder

pytestmark = pytest.mark.parity

SIZES = {"vocab_size": 60, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4}


@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_hidden_states_and_pooled(copy_weights, scramble, act):
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    theirs = CLIPTextConfig(
        **SIZES,
        intermediate_size=48,
        max_position_embeddings=12,
        projection_dim=10,
        hidden_act=act,
        eos_token_id=59,
        bos_token_id=58,
        pad_token_id=59,
        attn_implementation="sdpa",
    )
    reference = scramble(CLIPTextModelWithProjection(theirs))
    table = {k: (v if "projection" in v else f"text_model.{v}") for k, v in CLIP.items()}
    config = TextEncoderConfig(
        vocab_size=60,
        max_length=12,
        width=24,
        depth=3,
        num_heads=4,
        hidden=48,
        activation=act,
        eos_id=59,
        projection=True,
        pooled_dim=10,
    )
    ours = TextEncoder(config).double()
    assert copy_weights(ours, reference, table) == set()
    ids = torch.tensor([[58, 3, 4, 5, 59, 59, 59], [58, 7, 8, 9, 10, 11, 59]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 0, 0], [1] * 7])
    with torch.no_grad():
        for each in (None, mask):
            want = reference(ids, attention_mask=each, output_hidden_states=True)
            state = {"ids": ids, "mask": None if each is None else each.bool()}
            rows = torch.ones_like(ids, dtype=torch.bool) if each is None else each.bool()
            close(ours(state)["embeds"][rows], want.last_hidden_state[rows])
            close(ours(state)["pooled"], want.text_embeds)
            for layer, hidden in enumerate(want.hidden_states):
                got = ours(state, EncodeConfig(layer=layer, norm=False))
                close(got["embeds"][rows], hidden[rows])
                close(got["pooled"], want.text_embeds)


def test_full_size_is_clip_l():
    from transformers import CLIPTextConfig, CLIPTextModel

    theirs = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
    )
    with torch.device("meta"):
        ours, reference = TextEncoder(TextEncoderConfig()), CLIPTextModel(theirs)
    assert sum(p.numel() for p in ours.parameters()) == 123_060_480
    assert sorted(tuple(p.shape) for p in ours.parameters()) == sorted(
        tuple(p.shape) for p in reference.parameters()
    )


def close(got, want):
    assert (got - want).abs().max() <= 1e-10 * want.abs().max()
