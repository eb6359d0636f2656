"""Rotary positions of transformers' configs, in the words of version 5 and of older ones, beyond the first context."""

import pytest
import torch

from mmm_graph.nn.rope_config import RopeConfig
from mmm_llm.config import DecoderConfig
from mmm_llm.rope import SAID, read_rope, write_rope
from tests.plugins.mmm_llm.tiny import SIZES, greedy, layout_of, logits, pair

ORIGINAL = 16
PAIRS = SIZES["hidden_size"] // SIZES["num_attention_heads"] // 2
SHORT, LONG = [1.0 + i / 8 for i in range(PAIRS)], [1.5 + i for i in range(PAIRS)]
STRETCHED = {"original_max_position_embeddings": ORIGINAL}
SCALINGS = {
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 4.0, **STRETCHED},
    "yarn-factors": {"factor": 4.0, "attention_factor": 0.7, "beta_fast": 8.0, "beta_slow": 2.0, **STRETCHED},
    "yarn-mscale": {"factor": 4.0, "mscale": 0.8, "mscale_all_dim": 0.5, "truncate": False, **STRETCHED},
    "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **STRETCHED},
    "longrope": {"short_factor": SHORT, "long_factor": LONG, **STRETCHED},
    "longrope-factor": {"factor": 2.0, "short_factor": SHORT, "long_factor": LONG, **STRETCHED},
}


def settings(name):
    kind = name.partition("-")[0]
    after = kind in ("llama3", "longrope")  # for these the config names the longer context
    theta = {"rope_theta": 500.0, "rope_type": kind}
    length = {"max_position_embeddings": 6 * ORIGINAL if after else ORIGINAL}
    return {**SIZES, **length, "rope_parameters": {**theta, **SCALINGS[name]}}


@pytest.mark.parity
@pytest.mark.parametrize("length", [ORIGINAL - 2, 3 * ORIGINAL])
@pytest.mark.parametrize("name", list(SCALINGS))
@torch.no_grad()
def test_texts_within_and_beyond_the_first_context(tmp_path, name, length):
    ours, config, theirs = pair(tmp_path, "LlamaForCausalLM", settings(name))
    ids = torch.randint(1, 61, (2, length), generator=torch.Generator().manual_seed(1))
    assert config.rope.type == name.partition("-")[0] and config.context >= 4 * ORIGINAL
    want = theirs(ids).logits
    assert (logits(ours, ids) - want).abs().max() <= 1e-5 * max(1, float(want.abs().max()))
    want = theirs.generate(ids[:1], max_new_tokens=8, do_sample=False)[:, length:]
    assert torch.equal(greedy(ours, config, ids[:1], 8)[0], want)


@pytest.mark.parametrize("name", list(SCALINGS))
def test_configs_go_both_ways(name):
    theirs = settings(name)
    layout = layout_of("LlamaForCausalLM")
    config = DecoderConfig.model_validate(layout.read_config(theirs))
    said = {k: v for k, v in theirs["rope_parameters"].items() if k != "rope_theta"}
    old = {**theirs, "rope_parameters": None, "rope_scaling": said, "rope_theta": 500.0}
    assert DecoderConfig.model_validate(layout.read_config(old)) == config
    older = {
        **old,
        "rope_scaling": {**{k: v for k, v in said.items() if k != "rope_type"}, "type": said["rope_type"]},
    }
    assert DecoderConfig.model_validate(layout.read_config(older)) == config
    assert DecoderConfig.model_validate(layout.read_config(layout.write_config(config))) == config


def test_what_is_missing_is_the_default():
    assert RopeConfig(**read_rope(SAID, 100)) == RopeConfig()
    said = {**SAID, "rope_scaling": {"type": "yarn", "factor": 2.0}, "rope_theta": 1e6}
    assert RopeConfig(**read_rope(said, 100)) == RopeConfig(theta=1e6, type="yarn", factor=2.0, original=100)
    assert write_rope(RopeConfig()) == {"rope_theta": 10000.0, "rope_scaling": None}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"rope_type": "axial"}, "rope_type: 'axial' is not supported; known are default, linear"),
        (
            {"rope_type": "linear", "factor": 2.0, "mrope_section": [1, 2]},
            "mrope_section: .* of rope_type linear",
        ),
        (
            {"rope_type": "default", "partial_rotary_factor": 0.5},
            "partial_rotary_factor: 0.5 is not supported",
        ),
        ({"full_attention": {"rope_type": "default"}}, "full_attention"),
    ],
)
def test_what_we_do_not_compute_is_refused(said, message):
    with pytest.raises(ValueError, match=message):
        read_rope({**SAID, "rope_parameters": said}, 100)
