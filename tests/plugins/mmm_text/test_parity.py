"""The text encoder against transformers' CLIP."""

import pytest
import torch

from mmm_text.config import EncodeConfig, TextEncoderConfig
from mmm_text.foreign import read_plain, read_projected
from mmm_text.keys import CLIP, HUB
from mmm_text.model import TextEncoder

pytestmark = pytest.mark.parity

SIZES = {"vocab_size": 60, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4}
SIZES |= {"intermediate_size": 48, "max_position_embeddings": 12, "projection_dim": 10}
SPECIAL = {"eos_token_id": 59, "bos_token_id": 58, "pad_token_id": 59}
CASES = [
    {"hidden_act": "quick_gelu"},
    {"hidden_act": "gelu", "layer_norm_eps": 1e-3, "num_attention_heads": 3},
    {"hidden_act": "gelu", "eos_token_id": 2, "projection_dim": 24},
    {"hidden_act": "quick_gelu", "eos_token_id": 7, "num_hidden_layers": 1},
]
IDS = torch.tensor([[58, 7, 4, 5, 59, 0, 59], [58, 3, 8, 9, 10, 7, 59]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 0, 0], [1] * 7])


def make(copy_weights, scramble, case, *, projected):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    theirs = CLIPTextConfig(**{**SIZES, **SPECIAL, **case}, attn_implementation="sdpa")
    reference = scramble((CLIPTextModelWithProjection if projected else CLIPTextModel)(theirs))
    read = read_projected if projected else read_plain
    ours = TextEncoder(TextEncoderConfig(**read(reference.config.to_dict()))).double()
    assert copy_weights(ours, reference, HUB if projected else CLIP) == set()
    return ours, reference


@pytest.mark.parametrize("case", CASES)
def test_hidden_states_and_pooled(copy_weights, scramble, case):
    ours, reference = make(copy_weights, scramble, case, projected=True)
    with torch.no_grad():
        for each, ids in ((None, IDS), (MASK, IDS), (None, IDS[1:])):
            want = reference(ids, attention_mask=each, output_hidden_states=True)
            state = {"ids": ids, "mask": None if each is None else each.bool()}
            rows = torch.ones_like(ids, dtype=torch.bool) if each is None else each.bool()
            close(ours(state)["embeds"][rows], want.last_hidden_state[rows])
            close(ours(state)["pooled"], want.text_embeds)
            for layer, hidden in enumerate(want.hidden_states):
                got = ours(state, EncodeConfig(layer=layer, norm=False))
                close(got["embeds"][rows], hidden[rows])
                close(got["pooled"], want.text_embeds)


@pytest.mark.parametrize("case", CASES)
def test_without_projection_pooled_is_the_normed_state(copy_weights, scramble, case):
    ours, reference = make(copy_weights, scramble, case, projected=False)
    with torch.no_grad():
        want, got = reference(IDS, output_hidden_states=True), ours({"ids": IDS})
        close(got["embeds"], want.last_hidden_state)
        close(got["pooled"], want.pooler_output)
        normed = reference.final_layer_norm(want.hidden_states[-2])
        close(ours({"ids": IDS}, EncodeConfig(layer=-2))["embeds"], normed)
        raw = ours({"ids": IDS}, EncodeConfig(layer=-2, norm=False))["embeds"]
        close(raw, want.hidden_states[-2])


def test_windows_are_what_theirs_makes_of_each(copy_weights, scramble):
    ours, reference = make(copy_weights, scramble, CASES[0], projected=True)
    ids = torch.randint(0, 58, (2, 36), generator=torch.Generator().manual_seed(0))
    ids[:, [9, 20, 35]] = 59
    with torch.no_grad():
        want = [reference(part, output_hidden_states=True) for part in ids.split(12, 1)]
        got = ours({"ids": ids}, EncodeConfig(layer=-2, norm=False, window=12))
    close(got["embeds"], torch.cat([each.hidden_states[-2] for each in want], 1))
    close(got["pooled"], want[0].text_embeds)


FULL = {
    "clip_l": {
        **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12},
        **{"num_attention_heads": 12, "projection_dim": 768, "eos_token_id": 2},
    },
    "openclip_h": {
        **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "hidden_act": "gelu"},
        **{"num_attention_heads": 16, "projection_dim": 512, "eos_token_id": 2},
    },
    "openclip_bigg": {
        **{"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "hidden_act": "gelu"},
        **{"num_attention_heads": 20, "projection_dim": 1280, "eos_token_id": 2},
    },
}


@pytest.mark.parametrize("name", list(FULL))
@pytest.mark.parametrize("projected", [False, True])
def test_full_sizes_have_as_many_weights(name, projected):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    read = read_projected if projected else read_plain
    with torch.device("meta"):
        ours = TextEncoder(TextEncoderConfig(**read(FULL[name])))
        reference = (CLIPTextModelWithProjection if projected else CLIPTextModel)(
            CLIPTextConfig(**FULL[name])
        )
    assert sorted(tuple(p.shape) for p in ours.parameters()) == sorted(
        tuple(p.shape) for p in reference.parameters()
    )
    if name == "clip_l" and not projected:
        assert sum(p.numel() for p in ours.parameters()) == 123_060_480
    if name == "openclip_bigg" and projected:
        assert sum(p.numel() for p in ours.parameters()) == 694_659_840


def close(got, want):
    assert (got - want).abs().max() <= 1e-10 * want.abs().max()
