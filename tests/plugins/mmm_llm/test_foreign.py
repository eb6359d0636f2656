"""transformers' configs of decoders."""

import pytest
import transformers

from mmm_graph.registry import GENERIC
from mmm_llm import foreign
from mmm_llm.config import DecoderConfig
from tests.plugins.mmm_llm.tiny import CASES, layout_of


def read(name, theirs):
    return DecoderConfig.model_validate(layout_of(name).read_config(theirs))


@pytest.mark.parity
@pytest.mark.parametrize("case", list(CASES))
def test_configs_go_both_ways(case):
    name, settings = CASES[case]
    kind = getattr(transformers, name).config_class
    config = read(name, kind(**settings).to_dict())
    assert read(name, {"architectures": [name], **settings}) == config
    written = layout_of(name).write_config(config)
    assert written["architectures"] == [name] and written["model_type"] == kind.model_type
    assert read(name, kind(**{k: v for k, v in written.items() if k != "model_type"}).to_dict()) == config


@pytest.mark.parity
@pytest.mark.parametrize("name", list(foreign.FIELDS))
def test_missing_fields_are_their_defaults(name):
    assert read(name, {}) == read(name, getattr(transformers, name).config_class().to_dict())


@pytest.mark.parity
@pytest.mark.parametrize("name", list(foreign.FIELDS))
def test_all_of_their_fields_are_known(name):
    fields = foreign.FIELDS[name]
    known = {field for field, _ in fields.sizes.values()} | fields.others.keys() | fields.fixed.keys()
    assert getattr(transformers, name).config_class().to_dict().keys() - known - fields.meaningless == set()
    assert not known & fields.meaningless - GENERIC


@pytest.mark.parametrize(
    ("name", "theirs", "message"),
    [
        (
            "LlamaForCausalLM",
            {"model_type": "llama4"},
            "model_type: 'llama4' is not supported; expected 'llama'",
        ),
        (
            "LlamaForCausalLM",
            {"hidden_act": "xielu"},
            "hidden_act: 'xielu' is not supported; expected one of silu",
        ),
        ("LlamaForCausalLM", {"quantization_config": {}}, "quantization_config: {} is not supported"),
        ("LlamaForCausalLM", {"rope_interleaved": True}, "rope_interleaved: True is not supported"),
        ("LlamaForCausalLM", {"num_key_value_heads": 5}, "num_heads 32 is not a multiple of num_kv_heads 5"),
        ("Qwen2ForCausalLM", {"use_mrope": True}, "use_mrope: True is not supported"),
        ("OPTForCausalLM", {"layer_norm_elementwise_affine": False}, "layer_norm_elementwise_affine: False"),
        ("OPTForCausalLM", {"activation_function": "mish"}, "activation_function: 'mish'"),
        (
            "GPT2LMHeadModel",
            {"scale_attn_by_inverse_layer_idx": True},
            "scale_attn_by_inverse_layer_idx: True",
        ),
        ("GPT2LMHeadModel", {"add_cross_attention": True}, "add_cross_attention: True"),
    ],
)
def test_what_we_do_not_compute_is_refused(name, theirs, message):
    with pytest.raises(ValueError, match=message):
        read(name, theirs)


FULL, NEAR = "full_attention", "sliding_attention"


@pytest.mark.parametrize(
    ("theirs", "found"),
    [
        ({"use_sliding_window": False, "sliding_window": 8, "max_window_layers": 1}, (None, 0)),
        ({"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}, (8, 1)),
        ({"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 9}, (None, 0)),
        ({"use_sliding_window": True, "sliding_window": 8, "layer_types": [FULL, FULL, NEAR]}, (8, 2)),
        ({"use_sliding_window": True, "sliding_window": 8, "layer_types": [NEAR] * 3}, (8, 0)),
        ({"use_sliding_window": True, "sliding_window": 8, "layer_types": [NEAR, FULL, NEAR]}, "layer_types"),
        (
            {"use_sliding_window": False, "sliding_window": 8, "layer_types": [NEAR] * 3},
            "use_sliding_window is false",
        ),
    ],
)
@pytest.mark.parametrize("name", ["Qwen2ForCausalLM", "Qwen3ForCausalLM"])
def test_which_blocks_have_a_window(name, theirs, found):
    theirs = {"num_hidden_layers": 3, **theirs}
    if isinstance(found, str):
        with pytest.raises(ValueError, match=found):
            read(name, theirs)
        return
    config = read(name, theirs)
    assert (config.window, config.window_from) == found
    assert read(name, layout_of(name).write_config(config)) == config


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        (
            "LlamaForCausalLM",
            {"qk_norm": True},
            "qk_norm: True cannot be written: a LlamaForCausalLM has none",
        ),
        ("MistralForCausalLM", {"qkv_bias": True}, "qkv_bias: True"),
        ("Qwen2ForCausalLM", {}, "qkv_bias: False"),
        ("OPTForCausalLM", {}, "norm: rms"),
    ],
)
def test_a_class_that_cannot_say_a_config_is_not_written(name, more, message):
    config = DecoderConfig(width=16, depth=1, num_heads=2, hidden=8, vocab_size=9, **more)
    with pytest.raises(ValueError, match=message):
        layout_of(name).write_config(config)
