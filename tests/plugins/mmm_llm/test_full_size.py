"""Published decoders on the meta device: names, shapes and numbers of weights are those of transformers' models."""

import pytest
import torch
import transformers

from mmm_llm.config import DecoderConfig
from mmm_llm.model import Decoder
from mmm_llm.parts import decoder_parts
from tests.plugins.mmm_llm.tiny import layout_of

pytestmark = pytest.mark.parity

LLAMA2 = {
    **{"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    **{"num_key_value_heads": 32, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "vocab_size": 32000},
    **{
        "pretraining_tp": 1,
        "rope_scaling": None,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float16",
    },
}
FULL = {
    "llama-2-7b": ("LlamaForCausalLM", LLAMA2, 6_738_415_616),
    "llama-2-70b": (
        "LlamaForCausalLM",
        {
            **LLAMA2,
            **{"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80},
            **{"num_attention_heads": 64, "num_key_value_heads": 8},
        },
        68_976_648_192,
    ),
    "llama-3.1-8b": (
        "LlamaForCausalLM",
        {
            **LLAMA2,
            **{
                "intermediate_size": 14336,
                "num_key_value_heads": 8,
                "vocab_size": 128256,
                "rope_theta": 500000.0,
            },
            **{
                "max_position_embeddings": 131072,
                "eos_token_id": [128001, 128008, 128009],
                "mlp_bias": False,
            },
            "rope_scaling": {
                **{"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "rope_type": "llama3"},
                "original_max_position_embeddings": 8192,
            },
        },
        8_030_261_248,
    ),
    "vicuna-7b-v1.5": (
        "LlamaForCausalLM",
        {
            **LLAMA2,
            "pad_token_id": 0,
            "_name_or_path": "vicuna-7b-v1.5",
            "use_cache": True,
            "max_length": 4096,
        },
        6_738_415_616,
    ),
    "mistral-7b-v0.1": (
        "MistralForCausalLM",
        {
            **{"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "vocab_size": 32000},
            **{
                "num_attention_heads": 32,
                "num_key_value_heads": 8,
                "sliding_window": 4096,
                "rms_norm_eps": 1e-5,
            },
            **{"max_position_embeddings": 32768, "rope_theta": 10000.0, "tie_word_embeddings": False},
        },
        7_241_732_096,
    ),
    "qwen2.5-7b": (
        "Qwen2ForCausalLM",
        {
            **{
                "hidden_size": 3584,
                "intermediate_size": 18944,
                "num_hidden_layers": 28,
                "vocab_size": 152064,
            },
            **{
                "num_attention_heads": 28,
                "num_key_value_heads": 4,
                "rms_norm_eps": 1e-6,
                "rope_theta": 1000000.0,
            },
            **{"max_position_embeddings": 131072, "sliding_window": 131072, "max_window_layers": 28},
            **{"use_sliding_window": False, "use_mrope": False, "tie_word_embeddings": False},
        },
        7_615_616_512,
    ),
    "qwen3-8b": (
        "Qwen3ForCausalLM",
        {
            **{
                "hidden_size": 4096,
                "intermediate_size": 12288,
                "num_hidden_layers": 36,
                "vocab_size": 151936,
            },
            **{"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "rope_theta": 1000000},
            **{"max_position_embeddings": 40960, "sliding_window": None, "max_window_layers": 36},
            **{"use_sliding_window": False, "attention_bias": False, "rope_scaling": None},
        },
        8_190_735_360,
    ),
    "smollm2-135m": (
        "LlamaForCausalLM",
        {
            **{"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "vocab_size": 49152},
            **{"num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192},
            **{
                "rope_theta": 100000,
                "tie_word_embeddings": True,
                "rms_norm_eps": 1e-5,
                "rope_interleaved": False,
            },
            **{"is_llama_config": True, "transformers.js_config": {"dtype": "q4"}},
        },
        134_515_008,
    ),
    "opt-2.7b": (
        "OPTForCausalLM",
        {
            **{"hidden_size": 2560, "ffn_dim": 10240, "num_hidden_layers": 32, "num_attention_heads": 32},
            **{
                "max_position_embeddings": 2048,
                "vocab_size": 50272,
                "word_embed_proj_dim": 2560,
                "dropout": 0.1,
            },
            **{"do_layer_norm_before": True, "_remove_final_layer_norm": False, "prefix": "</s>"},
        },
        2_651_596_800,
    ),
    "opt-350m": (
        "OPTForCausalLM",
        {
            **{"hidden_size": 1024, "ffn_dim": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
            **{"max_position_embeddings": 2048, "vocab_size": 50272, "word_embed_proj_dim": 512},
            **{"do_layer_norm_before": False, "_remove_final_layer_norm": False},
        },
        331_196_416,
    ),
    "gpt2": (
        "GPT2LMHeadModel",
        {
            **{
                "n_embd": 768,
                "n_layer": 12,
                "n_head": 12,
                "n_positions": 1024,
                "n_ctx": 1024,
                "vocab_size": 50257,
            },
            **{"activation_function": "gelu_new", "summary_type": "cls_index", "layer_norm_epsilon": 1e-5},
            "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        },
        124_439_808,
    ),
}


@pytest.mark.parametrize("name", list(FULL))
def test_names_shapes_and_counts(name):
    kind, published, count = FULL[name]
    layout = layout_of(kind)
    config = DecoderConfig.model_validate(layout.read_config({"architectures": [kind], **published}))
    class_ = getattr(transformers, kind)
    with torch.device("meta"):
        ours, theirs = Decoder(config), class_(class_.config_class(**published))
    assert DecoderConfig.model_validate(layout.read_config(theirs.config.to_dict())) == config
    shapes = {key.removeprefix("parts."): tuple(value.shape) for key, value in ours.state_dict().items()}
    found = {
        n: place.whole(shapes[key])
        for key, place in layout.theirs(shapes, config).items()
        for n in place.names
    }
    found |= {"lm_head.weight": found[f"{_table(kind)}.weight"]} if config.tied else {}
    assert found == {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()) == count
    held = {part.name: part.params for part in decoder_parts(config)}
    assert held == {key: sum(p.numel() for p in part.parameters()) for key, part in ours.parts.items()}


def _table(kind):
    return {"OPTForCausalLM": "model.decoder.embed_tokens", "GPT2LMHeadModel": "transformer.wte"}.get(
        kind, "model.embed_tokens"
    )


def test_llama_2_7b_is_the_default():
    assert DecoderConfig.model_validate(layout_of("LlamaForCausalLM").read_config(LLAMA2)) == DecoderConfig()
